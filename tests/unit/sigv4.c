/*
 * The signer against AWS's published vectors, where their folder is, and
 * against the S3 examples of its documentation.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <cmocka.h>

#include "crypto/digest.h"
#include "s3/meta.h"
#include "s3/sigv4.h"

#define EMPTY_SHA256                       \
	"e3b0c44298fc1c149afbf4c8996fb924" \
	"27ae41e4649b934ca495991b7852b855"
#define PAIRS_MAX 16

/* A request in memory, as a vector describes it. */
struct vector {
	char request[4096], expected[4096], payload[DIGEST_HEX];
	char access_key[128], secret_key[128], token[512];
	char region[64], service[64], date[SIGV4_DATE_MAX];
	char path[512], query_text[1024], length[24];
	struct sigv4_pair headers[PAIRS_MAX], query[PAIRS_MAX];
	struct sigv4_request req;
};

/* The file's text, without the line ends behind it.  0 or -1. */
static int slurp(char *out, size_t cap, const char *dir, const char *name)
{
	char path[1024];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (f == NULL)
		return -1;
	n = fread(out, 1, cap - 1, f);
	(void)fclose(f);
	out[n] = '\0';
	return 0;
}

/* The string that `name` has in a flat JSON text, or "". */
static void json_string(char *out, size_t cap, const char *json,
			const char *name)
{
	char quoted[64];
	const char *p;
	size_t n;

	out[0] = '\0';
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", name);
	p = strstr(json, quoted);
	if (p == NULL)
		return;
	p = strchr(p + strlen(quoted), '"');
	assert_non_null(p);
	n = strcspn(p + 1, "\"");
	assert_true(n < cap);
	memcpy(out, p + 1, n);
	out[n] = '\0';
}

static void add_header(struct vector *v, const char *name, const char *value)
{
	assert_true(v->req.headers_len < PAIRS_MAX);
	v->headers[v->req.headers_len++] = (struct sigv4_pair){ name, value };
}

/* What the request line has encoded, as it was before. */
static void decode(char *text)
{
	char raw[512];
	int len = meta_decode(raw, sizeof(raw), text);

	assert_true(len >= 0);
	memcpy(text, raw, (size_t)len + 1);
}

static void parse_query(struct vector *v, char *p)
{
	while (p != NULL && *p != '\0') {
		char *next = strchr(p, '&');
		char *eq;

		if (next != NULL)
			*next++ = '\0';
		eq = strchr(p, '=');
		if (eq != NULL)
			*eq++ = '\0';
		decode(p);
		if (eq != NULL)
			decode(eq);
		assert_true(v->req.query_len < PAIRS_MAX);
		v->query[v->req.query_len++] =
			(struct sigv4_pair){ p, eq != NULL ? eq : "" };
		p = next;
	}
}

/* "GET /path?query HTTP/1.1", of which the path may have spaces. */
static void parse_request_line(struct vector *v, char *line)
{
	struct bytes path = BYTES_INIT;
	char *target = strchr(line, ' ');
	char *end;
	char *query;

	assert_non_null(target);
	*target++ = '\0';
	end = strstr(target, " HTTP/1.1");
	assert_non_null(end);
	*end = '\0';
	query = strchr(target, '?');
	if (query != NULL)
		*query++ = '\0';
	assert_int_equal(sigv4_encode(&path, target, strlen(target), 1), 0);
	assert_true(path.len < sizeof(v->path));
	memcpy(v->path, path.data, path.len);
	v->path[path.len] = '\0';
	bytes_clear(&path);
	v->req.method = line;
	v->req.path = v->path;
	if (query != NULL) {
		(void)snprintf(v->query_text, sizeof(v->query_text), "%s",
			       query);
		parse_query(v, v->query_text);
	}
}

/* The headers up to the empty line; what follows is the body. */
static char *parse_headers(struct vector *v, char *p)
{
	while (*p != '\0' && *p != '\n') {
		char *end = p;
		char *colon = strchr(p, ':');

		/* A line that begins with a blank belongs to the one before. */
		do
			end = strchr(end + 1, '\n');
		while (end != NULL && (end[1] == ' ' || end[1] == '\t'));
		assert_non_null(colon);
		*colon = '\0';
		if (end != NULL)
			*end = '\0';
		add_header(v, p, colon + 1);
		if (end == NULL)
			return p + strlen(colon + 1);
		p = end + 1;
	}
	return *p == '\n' ? p + 1 : p;
}

/* 1 if the vector asks for something we do not do. */
static int vector_load(struct vector *v, const char *dir)
{
	char json[2048];
	char time_text[64];
	uint8_t digest[DIGEST_LEN];
	struct tm tm = { 0 };
	char *body;
	char *eol;

	memset(v, 0, sizeof(*v));
	v->req.headers = v->headers;
	v->req.query = v->query;
	assert_int_equal(slurp(json, sizeof(json), dir, "context.json"), 0);
	if (strstr(json, "\"normalize\": true") != NULL &&
	    strstr(dir, "normalized") != NULL)
		return 1;
	json_string(v->access_key, sizeof(v->access_key), json,
		    "access_key_id");
	json_string(v->secret_key, sizeof(v->secret_key), json,
		    "secret_access_key");
	json_string(v->token, sizeof(v->token), json, "token");
	json_string(v->region, sizeof(v->region), json, "region");
	json_string(v->service, sizeof(v->service), json, "service");
	json_string(time_text, sizeof(time_text), json, "timestamp");
	assert_non_null(strptime(time_text, "%Y-%m-%dT%H:%M:%SZ", &tm));
	assert_int_equal(sigv4_date(v->date, timegm(&tm)), 0);
	assert_int_equal(
		slurp(v->request, sizeof(v->request), dir, "request.txt"), 0);
	eol = strchr(v->request, '\n');
	assert_non_null(eol);
	*eol = '\0';
	body = parse_headers(v, eol + 1);
	parse_request_line(v, v->request);
	assert_int_equal(digest_buffer(body, strlen(body), digest), 0);
	hex_encode(v->payload, digest, sizeof(digest));
	v->req.payload = v->payload;
	add_header(v, "X-Amz-Date", v->date);
	if (strstr(json, "\"sign_body\": true") != NULL)
		add_header(v, "x-amz-content-sha256", v->payload);
	/* Where it says so, the token is added after signing. */
	if (v->token[0] != '\0' &&
	    strstr(json, "\"omit_session_token\": true") == NULL)
		add_header(v, "X-Amz-Security-Token", v->token);
	return 0;
}

static void expect_text(struct vector *v, const char *dir, const char *file,
			const struct bytes *got)
{
	assert_int_equal(slurp(v->expected, sizeof(v->expected), dir, file), 0);
	if (got->len != strlen(v->expected) ||
	    memcmp(got->data, v->expected, got->len) != 0)
		fail_msg("%s/%s: got\n%.*s\n", dir, file, (int)got->len,
			 (char *)got->data);
}

static void vector_check(const char *dir)
{
	static struct vector v;
	struct sigv4_scope scope = { v.access_key, v.secret_key, v.region,
				     v.service, v.date };
	struct bytes out = BYTES_INIT;
	char *signature;

	if (vector_load(&v, dir))
		return;
	assert_int_equal(sigv4_canonical(&out, &v.req), 0);
	expect_text(&v, dir, "header-canonical-request.txt", &out);
	bytes_clear(&out);
	assert_int_equal(sigv4_string_to_sign(&out, &v.req, &scope), 0);
	expect_text(&v, dir, "header-string-to-sign.txt", &out);
	bytes_clear(&out);
	assert_int_equal(sigv4_authorization(&out, &v.req, &scope), 0);
	assert_int_equal(bytes_append(&out, "", 1), 0);
	signature = strstr((char *)out.data, "Signature=");
	assert_non_null(signature);
	assert_int_equal(slurp(v.expected, sizeof(v.expected), dir,
			       "header-signature.txt"),
			 0);
	assert_string_equal(signature + strlen("Signature="), v.expected);
	bytes_clear(&out);
}

/* The folder of the vectors, or NULL. */
static DIR *vectors_open(char *path, size_t cap)
{
	const char *given = getenv("DG_TEST_SIGV4_VECTORS");
	const char *slash = strrchr(__FILE__, '/');
	DIR *d;

	if (given != NULL) {
		(void)snprintf(path, cap, "%s", given);
		return opendir(path);
	}
	(void)snprintf(path, cap, "%.*s/../../../shared/fixtures/sigv4",
		       (int)(slash - __FILE__), __FILE__);
	d = opendir(path);
	if (d == NULL) {
		(void)snprintf(path, cap, "../shared/fixtures/sigv4");
		d = opendir(path);
	}
	return d;
}

static void published_vectors(void **state)
{
	char path[512];
	char dir[1024];
	struct dirent *e;
	unsigned count = 0;
	DIR *d = vectors_open(path, sizeof(path));

	(void)state;
	if (d == NULL) {
		print_message("no folder of vectors: set "
			      "DG_TEST_SIGV4_VECTORS\n");
		skip();
	}
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "get-", 4) != 0 &&
		    strncmp(e->d_name, "post-", 5) != 0)
			continue;
		(void)snprintf(dir, sizeof(dir), "%s/%s", path, e->d_name);
		vector_check(dir);
		count++;
	}
	closedir(d);
	assert_true(count >= 30);
}

/* The four requests of "Signature Calculations for the Authorization Header". */
static void documented_examples(void **state)
{
	static const struct sigv4_scope scope = {
		"AKIAIOSFODNN7EXAMPLE",
		"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3",
		"20130524T000000Z"
	};
	static const char host[] = "examplebucket.s3.amazonaws.com";
	static const char put_sha[] = "44ce7dd67c959e0d3524ffac1771dfbb"
				      "a87d2b6b4b4e99e42034a8b803f8b072";
	const struct sigv4_pair get[] = {
		{ "host", host },
		{ "range", "bytes=0-9" },
		{ "x-amz-content-sha256", EMPTY_SHA256 },
		{ "x-amz-date", scope.date },
	};
	const struct sigv4_pair put[] = {
		{ "x-amz-storage-class", "REDUCED_REDUNDANCY" },
		{ "x-amz-date", scope.date },
		{ "x-amz-content-sha256", put_sha },
		{ "Host", host },
		{ "Date", "Fri, 24 May 2013 00:00:00 GMT" },
	};
	const struct sigv4_pair plain[] = {
		{ "Host", host },
		{ "x-amz-content-sha256", EMPTY_SHA256 },
		{ "x-amz-date", scope.date },
	};
	const struct sigv4_pair lifecycle[] = { { "lifecycle", "" } };
	const struct sigv4_pair list[] = { { "prefix", "J" },
					   { "max-keys", "2" } };
	const struct {
		struct sigv4_request req;
		const char *signature;
	} cases[] = {
		{ { "GET", "/test.txt", NULL, 0, get, 4, EMPTY_SHA256 },
		  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036b"
		  "db41" },
		{ { "PUT", "/test%24file.text", NULL, 0, put, 5, put_sha },
		  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece1"
		  "08bd" },
		{ { "GET", "/", lifecycle, 1, plain, 3, EMPTY_SHA256 },
		  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783"
		  "543" },
		{ { "GET", "/", list, 2, plain, 3, EMPTY_SHA256 },
		  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc"
		  "6f7" },
	};
	struct bytes out = BYTES_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *signature;

		assert_int_equal(
			sigv4_authorization(&out, &cases[i].req, &scope), 0);
		assert_int_equal(bytes_append(&out, "", 1), 0);
		signature = strstr((char *)out.data, "Signature=");
		assert_non_null(signature);
		assert_string_equal(signature + strlen("Signature="),
				    cases[i].signature);
		bytes_clear(&out);
	}
}

static void encoding(void **state)
{
	static const struct sigv4_pair query[] = {
		{ "b", "2" },          { "a", "=&" }, { "a", "" },
		{ "a b", "\xc3\xa9" }, { "a-", "1" },
	};
	struct bytes out = BYTES_INIT;
	char date[SIGV4_DATE_MAX];

	(void)state;
	assert_int_equal(sigv4_encode(&out, "a /+%~\x01\xff", 8, 1), 0);
	assert_int_equal(bytes_append(&out, "", 1), 0);
	assert_string_equal((char *)out.data, "a%20/%2B%25~%01%FF");
	bytes_clear(&out);
	/* Sorted as pairs: "a" comes before "a-" although '=' is behind '-'. */
	assert_int_equal(sigv4_query(&out, query, 5), 0);
	assert_int_equal(bytes_append(&out, "", 1), 0);
	assert_string_equal((char *)out.data,
			    "a=&a=%3D%26&a%20b=%C3%A9&a-=1&b=2");
	bytes_clear(&out);
	assert_int_equal(sigv4_date(date, 1369353600), 0);
	assert_string_equal(date, "20130524T000000Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(documented_examples),
		cmocka_unit_test(encoding),
	};

	return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
