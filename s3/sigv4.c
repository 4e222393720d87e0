#include "s3/sigv4.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/digest.h"

int sigv4_date(char out[SIGV4_DATE_MAX], time_t when)
{
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL || tm.tm_year > 9999 - 1900 ||
	    tm.tm_year < 0)
		return -EINVAL;
	if (strftime(out, SIGV4_DATE_MAX, "%Y%m%dT%H%M%SZ", &tm) !=
	    SIGV4_DATE_MAX - 1)
		return -EINVAL;
	return 0;
}

int sigv4_encode(struct bytes *out, const void *in, size_t len, int keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char *p = in;
	size_t i;

	if (bytes_reserve(out, 3 * len) != 0)
		return -ENOMEM;
	for (i = 0; i < len; i++) {
		unsigned char c = p[i];

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    (c >= '0' && c <= '9') || c == '-' || c == '.' ||
		    c == '_' || c == '~' || (c == '/' && keep_slash)) {
			out->data[out->len++] = c;
		} else {
			out->data[out->len++] = '%';
			out->data[out->len++] = (uint8_t)digits[c >> 4];
			out->data[out->len++] = (uint8_t)digits[c & 15];
		}
	}
	return 0;
}

/* One "name=value" of the query, both encoded, each with a NUL. */
struct encoded_pair {
	struct bytes name, value;
};

static int encode_str(struct bytes *out, const char *s)
{
	int rc = sigv4_encode(out, s, strlen(s), 0);

	return rc != 0 ? rc : bytes_append(out, "", 1);
}

/* By encoded name, then by encoded value: '=' takes no part. */
static int encoded_pair_cmp(const void *a, const void *b)
{
	const struct encoded_pair *x = a;
	const struct encoded_pair *y = b;
	int c = strcmp((char *)x->name.data, (char *)y->name.data);

	if (c != 0)
		return c;
	return strcmp((char *)x->value.data, (char *)y->value.data);
}

int sigv4_query(struct bytes *out, const struct sigv4_pair *query, size_t len)
{
	struct encoded_pair *pairs;
	size_t i;
	int rc = 0;

	if (len == 0)
		return 0;
	pairs = calloc(len, sizeof(*pairs));
	if (pairs == NULL)
		return -ENOMEM;
	for (i = 0; i < len && rc == 0; i++) {
		rc = encode_str(&pairs[i].name, query[i].name);
		if (rc == 0)
			rc = encode_str(&pairs[i].value, query[i].value);
	}
	if (rc == 0)
		qsort(pairs, len, sizeof(*pairs), encoded_pair_cmp);
	for (i = 0; i < len && rc == 0; i++)
		rc = bytes_printf(out, "%s%s=%s", i == 0 ? "" : "&",
				  (char *)pairs[i].name.data,
				  (char *)pairs[i].value.data);
	for (i = 0; i < len; i++) {
		bytes_clear(&pairs[i].name);
		bytes_clear(&pairs[i].value);
	}
	free(pairs);
	return rc;
}

/* Headers by name; those of one name stay in the order they were given. */
static int header_cmp(const void *a, const void *b)
{
	const struct sigv4_pair *const *x = a;
	const struct sigv4_pair *const *y = b;
	int c = strcasecmp((*x)->name, (*y)->name);

	if (c != 0)
		return c;
	return *x < *y ? -1 : *x > *y;
}

static int append_lower(struct bytes *out, const char *s)
{
	for (; *s; s++) {
		char c = *s;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (bytes_append(out, &c, 1) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The value without blanks at its ends, runs of them made one. */
static int append_trimmed(struct bytes *out, const char *s)
{
	while (is_space(*s))
		s++;
	for (; *s; s++) {
		char c = *s;

		if (is_space(c)) {
			while (is_space(s[1]))
				s++;
			if (s[1] == '\0')
				break;
			c = ' ';
		}
		if (bytes_append(out, &c, 1) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* Either "name:value\n" for each header, or their names, "a;b". */
static int append_headers(struct bytes *out, const struct sigv4_request *req,
			  int names_only)
{
	const struct sigv4_pair **by_name;
	size_t i;
	int rc = 0;

	/* NOLINTNEXTLINE(bugprone-sizeof-expression): of pointers, yes */
	by_name = calloc(req->headers_len + 1, sizeof(*by_name));
	if (by_name == NULL)
		return -ENOMEM;
	for (i = 0; i < req->headers_len; i++)
		by_name[i] = &req->headers[i];
	/* NOLINTNEXTLINE(bugprone-sizeof-expression) */
	qsort(by_name, req->headers_len, sizeof(*by_name), header_cmp);
	for (i = 0; i < req->headers_len && rc == 0; i++) {
		int again = i > 0 && strcasecmp(by_name[i]->name,
						by_name[i - 1]->name) == 0;

		if (names_only) {
			if (again)
				continue;
			if (i > 0)
				rc = bytes_append_str(out, ";");
			if (rc == 0)
				rc = append_lower(out, by_name[i]->name);
			continue;
		}
		if (again) {
			out->data[out->len - 1] = ','; /* was '\n' */
		} else {
			rc = append_lower(out, by_name[i]->name);
			if (rc == 0)
				rc = bytes_append_str(out, ":");
		}
		if (rc == 0)
			rc = append_trimmed(out, by_name[i]->value);
		if (rc == 0)
			rc = bytes_append_str(out, "\n");
	}
	free(by_name);
	return rc;
}

int sigv4_canonical(struct bytes *out, const struct sigv4_request *req)
{
	int rc = bytes_printf(out, "%s\n%s\n", req->method, req->path);

	if (rc == 0)
		rc = sigv4_query(out, req->query, req->query_len);
	if (rc == 0)
		rc = bytes_append_str(out, "\n");
	if (rc == 0)
		rc = append_headers(out, req, 0);
	if (rc == 0)
		rc = bytes_append_str(out, "\n");
	if (rc == 0)
		rc = append_headers(out, req, 1);
	if (rc == 0)
		rc = bytes_printf(out, "\n%s", req->payload);
	return rc;
}

int sigv4_string_to_sign(struct bytes *out, const struct sigv4_request *req,
			 const struct sigv4_scope *scope)
{
	struct bytes canonical = BYTES_INIT;
	uint8_t digest[DIGEST_LEN];
	char hex[DIGEST_HEX];
	int rc;

	rc = sigv4_canonical(&canonical, req);
	if (rc == 0)
		rc = digest_buffer(canonical.data, canonical.len, digest);
	if (rc == 0) {
		hex_encode(hex, digest, sizeof(digest));
		rc = bytes_printf(out,
				  "AWS4-HMAC-SHA256\n%s\n"
				  "%.8s/%s/%s/aws4_request\n%s",
				  scope->date, scope->date, scope->region,
				  scope->service, hex);
	}
	bytes_clear(&canonical);
	return rc;
}

/* The key of the day, region and service, from the secret one. */
static int signing_key(uint8_t out[DIGEST_LEN], const struct sigv4_scope *scope)
{
	struct bytes secret = BYTES_INIT;
	const char *const steps[] = { scope->region, scope->service,
				      "aws4_request" };
	uint8_t key[DIGEST_LEN];
	uint8_t next[DIGEST_LEN];
	size_t i;
	int rc;

	rc = bytes_append_str(&secret, "AWS4");
	if (rc == 0)
		rc = bytes_append_str(&secret, scope->secret_key);
	if (rc == 0)
		rc = digest_hmac(secret.data, secret.len, scope->date, 8, key);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && rc == 0; i++) {
		rc = digest_hmac(key, sizeof(key), steps[i], strlen(steps[i]),
				 next);
		if (rc == 0)
			memcpy(key, next, sizeof(key));
	}
	if (rc == 0)
		memcpy(out, key, sizeof(key));
	bytes_clear(&secret);
	bytes_wipe(key, sizeof(key));
	bytes_wipe(next, sizeof(next));
	return rc;
}

int sigv4_authorization(struct bytes *out, const struct sigv4_request *req,
			const struct sigv4_scope *scope)
{
	struct bytes text = BYTES_INIT;
	uint8_t key[DIGEST_LEN];
	uint8_t mac[DIGEST_LEN];
	char hex[DIGEST_HEX];
	int rc;

	rc = sigv4_string_to_sign(&text, req, scope);
	if (rc != 0)
		goto clear_text;
	rc = signing_key(key, scope);
	if (rc != 0)
		goto clear_text;
	rc = digest_hmac(key, sizeof(key), text.data, text.len, mac);
	if (rc != 0)
		goto wipe_key;
	hex_encode(hex, mac, sizeof(mac));
	rc = bytes_printf(out,
			  "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/"
			  "aws4_request, SignedHeaders=",
			  scope->access_key, scope->date, scope->region,
			  scope->service);
	if (rc == 0)
		rc = append_headers(out, req, 1);
	if (rc == 0)
		rc = bytes_printf(out, ", Signature=%s", hex);
wipe_key:
	bytes_wipe(key, sizeof(key));
clear_text:
	bytes_clear(&text);
	return rc;
}
