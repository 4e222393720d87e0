/* One exchange with an endpoint for keys. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "s3/credentials_private.h"
#include "s3/error.h"
#include "s3/http.h"

#define ANSWER_MAX  ((size_t)65536)
#define HEADERS_MAX 8

int cred_url(struct cred_url *out, const char *url)
{
	const char *host;
	const char *p;
	struct cred_url u = { 0 };

	u.is_https = strncasecmp(url, "https://", 8) == 0;
	if (!u.is_https && strncasecmp(url, "http://", 7) != 0)
		return -EINVAL;
	host = url + 7 + u.is_https;
	u.host = host;
	/* No user, and nothing that another parser may read as an end. */
	u.host_len = strspn(host, "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]");
	u.path = host + u.host_len;
	if (u.host_len == 0 || u.host_len > 255 ||
	    (*u.path != '/' && *u.path != '\0'))
		return -EINVAL;
	for (p = u.path; *p; p++)
		if (*p <= 0x20 || *p > 0x7e || *p == '#' || *p == '\\')
			return -EINVAL;
	*out = u;
	return 0;
}

struct sink {
	struct bytes body;
	int too_long;
};

static int on_body(void *arg, const struct http_answer *answer,
		   const void *data, size_t len)
{
	struct sink *s = arg;

	(void)answer;
	if (len > ANSWER_MAX - s->body.len) {
		s->too_long = 1;
		return -EIO;
	}
	return bytes_append(&s->body, data, len);
}

static int body_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

static int perform(const struct cred_request *req, const char *host,
		   const struct store_call *call, struct sink *sink,
		   struct http_answer *answer)
{
	const struct http_conf conf = { .name = req->what,
					.connections = 1,
					.connect_ms = 1000 * req->timeout_s,
					.stall_ms = 1000 * req->timeout_s,
					.ca_file = req->ca_file,
					.no_proxy = req->no_proxy };
	struct sigv4_pair headers[HEADERS_MAX + 1];
	struct bytes body =
		req->body != NULL ? *req->body : (struct bytes)BYTES_INIT;
	const struct store_source source = { body.len, body_read, &body };
	struct http_request http = { .method = req->method,
				     .url = req->url,
				     .headers = headers,
				     .headers_len = req->headers_len + 1,
				     .body = req->body != NULL ? &source : NULL,
				     .body_len = body.len,
				     .sink = on_body,
				     .sink_arg = sink };
	struct http *h;
	int rc;

	if (req->headers_len > HEADERS_MAX)
		return store_fail(call, -EINVAL, "too many headers");
	if (req->headers_len > 0)
		memcpy(headers, req->headers,
		       req->headers_len * sizeof(*headers));
	headers[req->headers_len] = (struct sigv4_pair){ "host", host };
	if (http_new(&h, &conf) != 0)
		return store_fail(call, -ENOMEM, "out of memory");
	rc = http_perform(h, &http, call, answer);
	http_free(h);
	return rc;
}

int cred_http(const struct cred_request *req, const struct store_call *call,
	      struct cred_answer *out)
{
	struct http_answer answer = { .status = 0 };
	struct sink sink = { BYTES_INIT, 0 };
	struct cred_url url;
	char host[256];
	int rc;

	if (cred_url(&url, req->url) != 0)
		return store_fail(call, -EINVAL, "%s: not a URL", req->what);
	memcpy(host, url.host, url.host_len);
	host[url.host_len] = '\0';
	rc = perform(req, host, call, &sink, &answer);
	if (rc != 0 && sink.too_long)
		(void)store_fail(call, rc,
				 "%s: an answer of more than %zu "
				 "bytes",
				 req->what, ANSWER_MAX);
	if (rc != 0)
		goto clear_body;
	rc = bytes_append(&sink.body, "", 1);
	if (rc != 0) {
		(void)store_fail(call, rc, "out of memory");
		goto clear_answer;
	}
	sink.body.len--;
	out->status = answer.status;
	out->body = sink.body;
	http_answer_clear(&answer);
	return 0;

clear_answer:
	http_answer_clear(&answer);
clear_body:
	bytes_clear(&sink.body);
	return rc;
}
