#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "crypto/clock.h"
#include "s3/client_private.h"
#include "s3/credentials.h"
#include "s3/date.h"
#include "s3/error.h"

#define EMPTY_SHA256                       \
	"e3b0c44298fc1c149afbf4c8996fb924" \
	"27ae41e4649b934ca495991b7852b855"
#define BODY_MAX     ((size_t)16 << 20) /* a page of a listing is 3 MB at most */
#define META_PAIRS   256
#define PAIRS_ALL    (S3_PAIRS_MAX + META_PAIRS + 6)
#define LEARN_MAX    4 /* region, clock, keys, and the request itself */
#define SKEW_SUSPECT 600 /* s; servers refuse from 900 */
#define STALE_MS     300000 /* a signature that waited so long to be sent */

void s3_query(struct s3_request *req, const char *name, const char *value)
{
	req->query[req->query_len++] = (struct sigv4_pair){ name, value };
}

void s3_header(struct s3_request *req, const char *name, const char *value)
{
	req->headers[req->headers_len++] = (struct sigv4_pair){ name, value };
}

void s3_describe(struct s3_request *req, const struct store_head *head)
{
	const char *type = NULL;

	if (head != NULL) {
		type = head->content_type;
		req->meta = head->meta;
		if (head->content_encoding != NULL &&
		    head->content_encoding[0] != '\0')
			s3_header(req, "content-encoding",
				  head->content_encoding);
	}
	s3_header(req, "content-type",
		  type != NULL ? type : "application/octet-stream");
}

/* One attempt: what it is made of, and what it found. */
struct attempt {
	struct s3 *s;
	const struct s3_request *req;
	const struct store_call *call;
	char region[64];
	char date[SIGV4_DATE_MAX];
	struct s3_keys keys;
	int is_signed;
	long skew_s; /* as it was taken for when it was signed, */
	uint64_t signed_ms; /* which was then */
	struct bytes host, path, query, url;
	struct bytes meta; /* names and values, each with its NUL */
	struct bytes authorization;
	struct sigv4_pair headers[PAIRS_ALL];
	size_t headers_len;
	struct bytes body;
	int too_long;
};

static void attempt_free(struct attempt *a)
{
	bytes_wipe(&a->keys, sizeof(a->keys));
	bytes_clear(&a->host);
	bytes_clear(&a->path);
	bytes_clear(&a->query);
	bytes_clear(&a->url);
	bytes_clear(&a->meta);
	bytes_clear(&a->authorization);
	bytes_clear(&a->body);
	free(a);
}

static int end_string(struct bytes *b)
{
	return bytes_append(b, "", 1);
}

/* What S3 takes for a key: UTF-8, in its shortest form, without surrogates. */
static int is_utf8(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p != 0) {
		unsigned more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0;
		uint32_t c = *p, least[] = { 0, 0x80, 0x800, 0x10000 };

		if (*p > 0xf4 || (*p >= 0x80 && more == 0))
			return 0;
		c &= more == 0 ? 0x7f : 0x3fu >> more;
		p++;
		for (unsigned i = 0; i < more; i++, p++) {
			if ((*p & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (*p & 0x3f);
		}
		if (c < least[more] || c > 0x10ffff ||
		    (c >= 0xd800 && c < 0xe000))
			return 0;
	}
	return 1;
}

/* Where to: the host, the path and the query, as they are signed and sent. */
static int make_url(struct attempt *a)
{
	struct s3 *s = a->s;
	const char *key = a->req->key != NULL ? a->req->key : "";
	int rc = 0;

	if (s->in_host)
		rc = bytes_printf(&a->host, "%s.", s->bucket);
	if (rc == 0)
		rc = s->host != NULL
			     ? bytes_append_str(&a->host, s->host)
			     : bytes_printf(&a->host, "s3.%s.amazonaws.com%s",
					    a->region,
					    strncmp(a->region, "cn-", 3) == 0
						    ? ".cn"
						    : "");
	if (rc == 0)
		rc = end_string(&a->host);
	if (rc == 0 && !s->in_host)
		rc = bytes_printf(&a->path, "/%s", s->bucket);
	if (rc == 0 && (s->in_host || a->req->key != NULL))
		rc = bytes_append_str(&a->path, "/");
	if (rc == 0)
		rc = sigv4_encode(&a->path, key, strlen(key), 1);
	if (rc == 0)
		rc = end_string(&a->path);
	if (rc == 0)
		rc = sigv4_query(&a->query, a->req->query, a->req->query_len);
	if (rc == 0)
		rc = end_string(&a->query);
	if (rc == 0)
		rc = bytes_printf(&a->url, "%s://%s%s%s%s", s->scheme,
				  (char *)a->host.data, (char *)a->path.data,
				  a->req->query_len != 0 ? "?" : "",
				  (char *)a->query.data);
	return rc == 0 ? end_string(&a->url) : rc;
}

static int add_header(struct attempt *a, const char *name, const char *value)
{
	if (a->headers_len == PAIRS_ALL)
		return -EINVAL;
	a->headers[a->headers_len++] = (struct sigv4_pair){ name, value };
	return 0;
}

static int append_meta(void *arg, const char *name, const char *value)
{
	struct attempt *a = arg;
	int rc = bytes_printf(&a->meta, "x-amz-meta-%s", name);

	if (rc == 0)
		rc = end_string(&a->meta);
	if (rc == 0)
		rc = bytes_append_str(&a->meta, value);
	return rc == 0 ? end_string(&a->meta) : rc;
}

static int add_meta(struct attempt *a)
{
	const char *p;
	const char *end;
	int rc;

	if (a->req->meta == NULL)
		return 0;
	rc = meta_each(a->req->meta, append_meta, a);
	p = (char *)a->meta.data;
	end = p + a->meta.len;
	while (rc == 0 && p < end) {
		const char *value = p + strlen(p) + 1;

		rc = add_header(a, p, value);
		p = value + strlen(value) + 1;
	}
	return rc;
}

/* All headers, of which all are signed, and the signature over them. */
static int make_headers(struct attempt *a)
{
	const struct s3_request *req = a->req;
	const char *sha =
		req->body_sha256 != NULL ? req->body_sha256 : EMPTY_SHA256;
	const struct sigv4_scope scope = { a->keys.access_key,
					   a->keys.secret_key, a->region, "s3",
					   a->date };
	struct sigv4_request to_sign = { .method = req->method,
					 .path = (char *)a->path.data,
					 .query = req->query,
					 .query_len = req->query_len,
					 .headers = a->headers,
					 .payload = sha };
	size_t i;
	int rc = 0;

	for (i = 0; i < req->headers_len && rc == 0; i++)
		rc = add_header(a, req->headers[i].name, req->headers[i].value);
	if (rc == 0)
		rc = add_meta(a);
	if (rc == 0)
		rc = add_header(a, "host", (char *)a->host.data);
	if (rc == 0 && a->s->requester_pays)
		rc = add_header(a, "x-amz-request-payer", "requester");
	if (rc != 0 || !a->is_signed)
		return rc;
	a->signed_ms = clock_ms();
	rc = sigv4_date(a->date, time(NULL) + a->skew_s);
	if (rc == 0)
		rc = add_header(a, "x-amz-date", a->date);
	if (rc == 0)
		rc = add_header(a, "x-amz-content-sha256", sha);
	if (rc == 0 && a->keys.session_token[0] != '\0')
		rc = add_header(a, "x-amz-security-token",
				a->keys.session_token);
	to_sign.headers_len = a->headers_len;
	if (rc == 0)
		rc = sigv4_authorization(&a->authorization, &to_sign, &scope);
	if (rc == 0)
		rc = end_string(&a->authorization);
	if (rc == 0)
		rc = add_header(a, "authorization",
				(char *)a->authorization.data);
	return rc;
}

/* The body of an answer: a good one goes to the caller's sink, if any. */
static int on_body(void *arg, const struct http_answer *answer,
		   const void *data, size_t len)
{
	struct attempt *a = arg;

	if (answer->status / 100 == 2 && a->req->sink != NULL)
		return a->req->sink(a->req->sink_arg, answer, data, len);
	if (len > BODY_MAX - a->body.len) {
		a->too_long = 1;
		return -EIO;
	}
	return bytes_append(&a->body, data, len);
}

static void count(struct s3 *s, uint64_t *what, uint64_t n)
{
	pthread_mutex_lock(&s->mutex);
	*what += n;
	pthread_mutex_unlock(&s->mutex);
}

static int attempt_send(struct attempt *a, struct http_answer *out)
{
	const struct s3_request *req = a->req;
	struct http_request http = { .method = req->method,
				     .url = (char *)a->url.data,
				     .headers = a->headers,
				     .headers_len = a->headers_len,
				     .body = req->body,
				     .body_off = req->body_off,
				     .body_len = req->body_len,
				     .once = req->once,
				     .slow = req->slow,
				     .sink = on_body,
				     .sink_arg = a };
	int rc;

	count(a->s, req->counter, 1);
	rc = http_perform(a->s->http, &http, a->call, out);
	if (rc != 0) {
		count(a->s, &a->s->count.errors, 1);
		if (a->too_long)
			(void)store_fail(a->call, rc,
					 "%s: an answer of more than %zu bytes",
					 a->s->name, BODY_MAX);
		return rc;
	}
	count(a->s, &a->s->count.bytes_in, out->bytes_in);
	count(a->s, &a->s->count.bytes_out, out->bytes_out);
	return 0;
}

/* Did the answer name another region than the one we signed for? */
static int learn_region(struct attempt *a, const struct http_answer *http)
{
	const char *region = http_header(http, "x-amz-bucket-region");
	struct result_error error;
	struct s3 *s = a->s;
	const char *p;

	if (http->status != 301 && http->status != 307 && http->status != 400)
		return 0;
	if (region == NULL &&
	    result_error(&error, a->body.data, a->body.len) == 0)
		region = error.region;
	if (region == NULL || *region == '\0' ||
	    strlen(region) >= sizeof(s->region) ||
	    strcmp(region, a->region) == 0)
		return 0;
	/* It becomes part of a host name. */
	for (p = region; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		      *p == '-'))
			return 0;
	pthread_mutex_lock(&s->mutex);
	memcpy(s->region, region, strlen(region) + 1);
	pthread_mutex_unlock(&s->mutex);
	return 1;
}

/* Did it refuse our clock?  A HEAD's answer does not say, but has the time. */
static int learn_clock(struct attempt *a, const struct http_answer *http)
{
	const char *date = http_header(http, "date");
	struct result_error error = { .code = "" };
	struct timespec ts;
	struct s3 *s = a->s;
	long skew;

	if (http->status != 403 || date == NULL || date_http(&ts, date) != 0)
		return 0;
	if (a->body.len > 0 &&
	    result_error(&error, a->body.data, a->body.len) != 0)
		return 0;
	if (strcmp(error.code, "RequestTimeTooSkewed") != 0 && a->body.len > 0)
		return 0;
	skew = (long)(ts.tv_sec - time(NULL));
	/* By what this one was signed with: another may have learned it. */
	if (labs(skew - a->skew_s) <= SKEW_SUSPECT)
		return a->is_signed && clock_ms() - a->signed_ms > STALE_MS;
	pthread_mutex_lock(&s->mutex);
	s->skew_s = skew;
	pthread_mutex_unlock(&s->mutex);
	return 1;
}

/* Did it refuse keys that have been replaced meanwhile, or can be? */
static int learn_keys(struct attempt *a, const struct http_answer *http)
{
	struct result_error error = { .code = "" };

	if (!a->is_signed || http->status / 100 != 4 || http->status == 404 ||
	    http->status == 412)
		return 0;
	if (a->body.len > 0 &&
	    result_error(&error, a->body.data, a->body.len) != 0)
		return 0;
	return s3_credentials_expired(a->s->cred, &a->keys, http->status,
				      error.code, a->call);
}

/* One signed exchange.  `*again`: something was learned, send once more. */
static int attempt(struct s3 *s, const struct s3_request *req,
		   const struct store_call *call, struct s3_answer *out,
		   int *again)
{
	struct http_answer http;
	struct attempt *a;
	int rc;

	*again = 0;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return store_fail(call, -ENOMEM, "out of memory");
	a->s = s;
	a->req = req;
	a->call = call;
	pthread_mutex_lock(&s->mutex);
	memcpy(a->region, s->region, sizeof(a->region));
	a->skew_s = s->skew_s;
	pthread_mutex_unlock(&s->mutex);
	if (req->key != NULL && !is_utf8(req->key)) {
		rc = store_fail(call, -EILSEQ,
				"%s: S3 takes only names that are UTF-8",
				s->name);
		goto free_attempt;
	}
	rc = s3_credentials_get(s->cred, call, &a->keys);
	a->is_signed = rc == 0;
	if (rc != 0 && rc != -ENOENT)
		goto free_attempt;
	rc = make_url(a);
	if (rc == 0)
		rc = make_headers(a);
	if (rc != 0) {
		(void)store_fail(call, rc, "cannot sign a request: %s",
				 store_strerror(rc));
		goto free_attempt;
	}
	rc = attempt_send(a, &http);
	if (rc != 0)
		goto free_attempt;
	if (http.status / 100 == 2) {
		out->http = http;
		out->body = a->body;
		a->body = (struct bytes)BYTES_INIT;
		goto free_attempt;
	}
	*again = learn_region(a, &http) || learn_clock(a, &http) ||
		 learn_keys(a, &http);
	/* That there is none, or another, is an answer and no error. */
	if (http.status != 404 && http.status != 412)
		count(s, &s->count.errors, 1);
	rc = s3_refused(s, req, &http, &a->body, call);
	http_answer_clear(&http);
free_attempt:
	attempt_free(a);
	return rc;
}

int s3_send(struct s3 *s, const struct s3_request *req,
	    const struct store_call *call, struct s3_answer *out)
{
	int again = 1;
	int rc = 0;
	int i;

	for (i = 0; i < LEARN_MAX && again; i++)
		rc = attempt(s, req, call, out, &again);
	return rc;
}

void s3_answer_clear(struct s3_answer *answer)
{
	http_answer_clear(&answer->http);
	bytes_clear(&answer->body);
}
