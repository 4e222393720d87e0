/* head and get over S3. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/client_private.h"
#include "s3/error.h"

/* A decimal number and nothing else up to `end`. */
static int number_parse(uint64_t *out, const char *s, const char *end)
{
	uint64_t n = 0;

	if (s == end)
		return -EINVAL;
	for (; s < end; s++) {
		if (*s < '0' || *s > '9' ||
		    n > (UINT64_MAX - (uint64_t)(*s - '0')) / 10)
			return -EINVAL;
		n = 10 * n + (uint64_t)(*s - '0');
	}
	*out = n;
	return 0;
}

static int length_parse(uint64_t *out, const struct http_answer *http)
{
	const char *value = http_header(http, "content-length");

	if (value == NULL)
		return -EINVAL;
	return number_parse(out, value, value + strlen(value));
}

/* "bytes FIRST-LAST/TOTAL" */
static int range_parse(uint64_t *first, uint64_t *last, uint64_t *total,
		       const struct http_answer *http)
{
	const char *value = http_header(http, "content-range");
	const char *dash;
	const char *slash;

	if (value == NULL || strncmp(value, "bytes ", 6) != 0)
		return -EINVAL;
	value += 6;
	dash = strchr(value, '-');
	slash = strchr(value, '/');
	if (dash == NULL || slash == NULL || dash > slash ||
	    number_parse(first, value, dash) != 0 ||
	    number_parse(last, dash + 1, slash) != 0 ||
	    number_parse(total, slash + 1, slash + strlen(slash)) != 0)
		return -EINVAL;
	return 0;
}

int s3_head(struct store *store, const char *key, const struct store_call *call,
	    struct store_stat *out)
{
	struct s3 *s = s3_of(store);
	struct s3_request req = { .method = "HEAD",
				  .key = key,
				  .counter = &s->count.head };
	char etag[STORE_ETAG_MAX + 2];
	struct s3_answer answer;
	struct store_stat st;
	int rc;

	call = call != NULL ? call : &store_call_none;
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	if (call->if_match != NULL) {
		s3_etag_header(s, etag, call->if_match, 0);
		s3_header(&req, "if-match", etag);
	}
	s3_object_headers(s, &req, S3_TOUCHES);
	rc = s3_send(s, &req, call, &answer);
	if (rc != 0)
		return rc;
	s3_stat_parse(&st, &answer.http);
	if (length_parse(&st.len, &answer.http) != 0)
		rc = store_fail(call, -EIO,
				"HEAD of \"%.80s\" at %.80s: no length", key,
				s->name);
	else if (call->if_match != NULL && strcmp(st.etag, call->if_match) != 0)
		rc = store_fail(call, -ESTALE, "\"%.80s\" was replaced", key);
	else
		*out = st;
	s3_answer_clear(&answer);
	return rc;
}

/* A download under way. */
struct download {
	struct s3 *s;
	const char *key;
	const struct store_call *call;
	uint64_t off, len, total;
	uint64_t got;
	int checked; /* what the headers say is what was asked for */
	store_sink_fn *sink;
	void *sink_arg;
	char etag[STORE_ETAG_MAX];
	int sink_rc; /* its own error, which nothing may replace */
};

/* Are these the bytes we asked for? */
static int headers_check(struct download *d, const struct http_answer *http)
{
	const char *etag = http_header(http, "etag");
	uint64_t first, last;

	result_unquote(d->etag, etag != NULL ? etag : "");
	if (d->call->if_match != NULL &&
	    strcmp(d->etag, d->call->if_match) != 0)
		return store_fail(d->call, -ESTALE, "\"%.80s\" was replaced",
				  d->key);
	if (http->status == 206) {
		if (range_parse(&first, &last, &d->total, http) != 0 ||
		    first != d->off || last < first)
			return store_fail(d->call, -EIO,
					  "GET of \"%.80s\" at %.80s: not the "
					  "range that was asked for",
					  d->key, d->s->name);
		if (last - first != d->len - 1)
			return store_fail(d->call, -EIO,
					  "\"%.80s\" at %.80s has %llu bytes, "
					  "fewer than asked for",
					  d->key, d->s->name,
					  (unsigned long long)d->total);
	} else if (http->status != 200 || d->off != 0 ||
		   length_parse(&d->total, http) != 0 || d->total != d->len) {
		/* Without an ETag it is no object, but an error in disguise. */
		if (http_header(http, "etag") == NULL)
			return store_again(d->call, EIO,
					   "GET of \"%.80s\" at %.80s: an "
					   "answer without an object",
					   d->key, d->s->name);
		return store_fail(d->call, -EIO,
				  "GET of \"%.80s\" at %.80s: the server does "
				  "not keep to the range (HTTP %d)",
				  d->key, d->s->name, http->status);
	}
	d->checked = 1;
	return 0;
}

static int on_data(void *arg, const struct http_answer *http, const void *data,
		   size_t len)
{
	struct download *d = arg;
	int rc = d->checked ? 0 : headers_check(d, http);

	if (rc == 0 && len > d->len - d->got)
		rc = -EIO;
	if (rc == 0) {
		rc = d->sink(d->sink_arg, data, len);
		d->got += len;
	}
	d->sink_rc = rc;
	return rc;
}

/* The same checks for an answer whose body was empty. */
static int download_end(struct download *d, const struct s3_answer *answer)
{
	int rc = d->checked ? 0 : headers_check(d, &answer->http);

	if (rc == 0 && d->got != d->len)
		rc = store_again(d->call, EIO,
				 "GET of \"%.80s\" at %.80s: broke off after "
				 "%llu bytes",
				 d->key, d->s->name,
				 (unsigned long long)d->got);
	return rc;
}

/* NOLINTNEXTLINE(readability-function-size): store_ops has eight, too */
int s3_get(struct store *store, const char *key, uint64_t off, uint64_t len,
	   const struct store_call *call, store_sink_fn *sink, void *sink_arg,
	   struct store_stat *out)
{
	struct s3 *s = s3_of(store);
	struct store_error error = { 0 };
	struct store_call own;
	struct download d = { .s = s,
			      .key = key,
			      .call = &own,
			      .off = off,
			      .len = len,
			      .sink = sink,
			      .sink_arg = sink_arg };
	struct s3_request req = { .method = "GET",
				  .key = key,
				  .counter = &s->count.get,
				  .sink = on_data,
				  .sink_arg = &d };
	char etag[STORE_ETAG_MAX + 2];
	char range[64];
	struct s3_answer answer;
	int rc;

	own = call != NULL ? *call : store_call_none;
	own.error = &error;
	if (len == 0)
		return 0;
	rc = store_key_check(&own, key);
	if (rc == 0 && len - 1 > UINT64_MAX - off)
		rc = store_fail(&own, -EIO, "\"%.80s\" does not reach as far",
				key);
	if (rc != 0)
		goto give_error;
	(void)snprintf(range, sizeof(range), "bytes=%llu-%llu",
		       (unsigned long long)off,
		       (unsigned long long)(off + len - 1));
	s3_header(&req, "range", range);
	if (own.if_match != NULL) {
		s3_etag_header(s, etag, own.if_match, 0);
		s3_header(&req, "if-match", etag);
	}
	s3_object_headers(s, &req, S3_TOUCHES);
	rc = s3_send(s, &req, &own, &answer);
	if (d.sink_rc != 0)
		rc = d.sink_rc;
	if (rc != 0)
		goto give_error;
	rc = download_end(&d, &answer);
	if (rc == 0 && out != NULL) {
		s3_stat_parse(out, &answer.http);
		out->len = d.total;
	}
	s3_answer_clear(&answer);
give_error:
	if (rc != 0 && call != NULL && call->error != NULL) {
		/* So that whoever goes on gets the rest of the same version. */
		memcpy(error.etag, d.etag, sizeof(error.etag));
		*call->error = error;
	}
	return rc;
}
