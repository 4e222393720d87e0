/* What the server's answers mean. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/client_private.h"
#include "s3/date.h"
#include "s3/error.h"

#define RETRY_AFTER_MAX 300 /* s; what asks for more is not believed */

/* What a code means where its status alone would mislead. */
static const struct {
	const char *code;
	int rc;
} known_codes[] = {
	{ "AuthorizationHeaderMalformed", -EACCES },
	{ "BadDigest", -EAGAIN },
	{ "ConditionalRequestConflict", -EAGAIN },
	{ "EntityTooLarge", -EFBIG },
	{ "ExpiredToken", -EACCES },
	{ "IncompleteBody", -EAGAIN },
	{ "InternalError", -EAGAIN },
	{ "InvalidAccessKeyId", -EACCES },
	{ "InvalidToken", -EACCES },
	{ "KeyTooLong", -ENAMETOOLONG },
	{ "KeyTooLongError", -ENAMETOOLONG },
	{ "NotImplemented", -EIO },
	{ "OperationAborted", -EAGAIN },
	{ "QuotaExceeded", -EDQUOT },
	{ "RequestLimitExceeded", -EAGAIN },
	{ "RequestTimeout", -EAGAIN },
	{ "ServiceUnavailable", -EAGAIN },
	{ "SlowDown", -EAGAIN },
	{ "Throttling", -EAGAIN },
	{ "ThrottlingException", -EAGAIN },
	{ "TooManyRequests", -EAGAIN },
	{ "XAmzContentSHA256Mismatch", -EAGAIN },
	{ "XMinioStorageFull", -EDQUOT },
};

static int status_meaning(int status, const struct store_call *call)
{
	switch (status) {
	case 404:
		return call->if_match != NULL ? -ESTALE : -ENOENT;
	case 412:
		if (call->if_match != NULL)
			return -ESTALE;
		return call->if_absent ? -EEXIST : -EIO;
	case 401:
	case 403:
	case 407:
		return -EACCES;
	case 408:
	case 425:
	case 429:
		return -EAGAIN;
	case 413:
		return -EFBIG;
	case 414:
		return -ENAMETOOLONG;
	case 501:
	case 505:
		return -EIO;
	case 507:
		return -EDQUOT;
	default:
		return status >= 500 ? -EAGAIN : -EIO;
	}
}

static int meaning(int status, const char *code, const struct store_call *call)
{
	size_t i;

	for (i = 0; i < sizeof(known_codes) / sizeof(known_codes[0]); i++)
		if (strcmp(code, known_codes[i].code) == 0)
			return known_codes[i].rc;
	return status_meaning(status, call);
}

/* What to do about it, for what a person can do something about. */
static const char *remedy(const char *code)
{
	static const struct {
		const char *code, *text;
	} remedies[] = {
		{ "NoSuchBucket", "create the bucket, or check its name" },
		{ "InvalidAccessKeyId", "check the access key" },
		{ "SignatureDoesNotMatch", "check the secret key" },
		{ "AccessDenied",
		  "check what these keys are allowed to do, or give some" },
		{ "ExpiredToken", "get a new session token" },
		{ "InvalidToken", "check the session token" },
		{ "RequestTimeTooSkewed", "set the clock" },
		{ "PermanentRedirect", "check region and endpoint" },
		{ "AuthorizationHeaderMalformed", "check the region" },
		{ "IllegalLocationConstraintException", "check the region" },
		{ "InvalidObjectName", "this server wants keys in UTF-8" },
		{ "QuotaExceeded", "free some space, or raise the quota" },
		{ "MetadataTooLarge", "the metadata passes 2 KB" },
	};
	size_t i;

	for (i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (strcmp(code, remedies[i].code) == 0)
			return remedies[i].text;
	return NULL;
}

static unsigned retry_after(const struct http_answer *http)
{
	const char *value = http_header(http, "retry-after");
	struct timespec ts;
	long s;
	char *end;

	if (value == NULL)
		return 0;
	s = strtol(value, &end, 10);
	if (end == value || *end != '\0') {
		if (date_http(&ts, value) != 0)
			return 0;
		s = (long)(ts.tv_sec - time(NULL));
	}
	if (s < 0)
		return 0;
	return s < RETRY_AFTER_MAX ? (unsigned)s : RETRY_AFTER_MAX;
}

/* "GET of "key" in bucket "b" at http://host: Code (HTTP 403): remedy" */
static void write_line(struct s3 *s, const struct s3_request *req, int status,
		       const struct result_error *error,
		       struct store_error *out)
{
	const char *why = remedy(error->code);
	char what[128] = "";
	int rc = -out->cause;
	struct store_error was = *out;

	if (why == NULL)
		why = error->message;
	/* All that the answer to a HEAD says of it. */
	if (why[0] == '\0' && status == 400 && req->key != NULL &&
	    s->object.customer_key[0] == '\0')
		why = "stored under a customer key? give sse_customer_key_file=";
	if (why[0] == '\0' && error->code[0] == '\0' && req->key == NULL)
		why = "is this an S3 server's endpoint?";
	if (strcmp(error->code, "NoSuchBucket") == 0) {
		(void)store_error_set(out, rc,
				      "bucket \"%.63s\" does not exist at "
				      "%.80s: %s",
				      s->bucket, s->name, why);
	} else {
		if (req->key != NULL)
			(void)snprintf(what, sizeof(what), " of \"%.80s\"",
				       req->key);
		(void)store_error_set(
			out, rc,
			"%s%s in bucket \"%.63s\" at %.80s: %s (HTTP %d)%s%s",
			req->method, what, s->bucket, s->name,
			error->code[0] != '\0' ? error->code : "refused",
			status, why[0] != '\0' ? ": " : "", why);
	}
	memcpy(out->code, was.code, sizeof(out->code));
	out->http_status = was.http_status;
	out->retry_after_s = was.retry_after_s;
}

static int refused(struct s3 *s, const struct s3_request *req, int status,
		   const struct result_error *error, unsigned retry_after_s,
		   const struct store_call *call)
{
	int rc = meaning(status, error->code, call);
	struct store_error line = { .http_status = status,
				    .retry_after_s = retry_after_s };

	if (call->error == NULL)
		return rc;
	line.cause = rc != -EAGAIN                    ? -rc
		     : status == 504 || status == 408 ? ETIMEDOUT
						      : EIO;
	memcpy(line.code, error->code, sizeof(line.code));
	write_line(s, req, status, error, &line);
	*call->error = line;
	return rc;
}

int s3_refused(struct s3 *s, const struct s3_request *req,
	       const struct http_answer *http, const struct bytes *body,
	       const struct store_call *call)
{
	const char *region = http_header(http, "x-amz-bucket-region");
	struct result_error error = { .code = "" };

	/* No body, or not ours: the status has to do. */
	if (result_error(&error, body->data, body->len) != 0) {
		memset(&error, 0, sizeof(error));
		if (http->status == 404 && req->key != NULL)
			(void)snprintf(error.message, sizeof(error.message),
				       "no such object");
	}
	if (http->status / 100 == 3 && region != NULL)
		(void)snprintf(error.message, sizeof(error.message),
			       "the bucket is in region %.32s", region);
	/* The bucket itself may be missing; a condition has no say in that. */
	if (strcmp(error.code, "NoSuchBucket") == 0) {
		struct store_call plain = s3_unconditional(call);

		return refused(s, req, http->status, &error, 0, &plain);
	}
	return refused(s, req, http->status, &error, retry_after(http), call);
}

int s3_refused_late(struct s3 *s, const struct s3_request *req,
		    const struct s3_answer *answer,
		    const struct store_call *call)
{
	struct result_error error;

	if (result_error(&error, answer->body.data, answer->body.len) != 0)
		return store_again(
			call, EIO,
			"%s of \"%.80s\" at %.80s: the answer is cut",
			req->method, req->key != NULL ? req->key : "", s->name);
	if (strcmp(error.code, "PreconditionFailed") == 0)
		return refused(s, req, 412, &error, 0, call);
	/* Begun with a 200, so nothing that the request could be blamed for. */
	return refused(s, req, 500, &error, retry_after(&answer->http), call);
}

int s3_hidden_error(struct s3 *s, const struct s3_request *req,
		    const struct s3_answer *answer,
		    const struct store_call *call)
{
	struct result_error error;

	if (result_error(&error, answer->body.data, answer->body.len) != 0)
		return 0;
	return s3_refused_late(s, req, answer, call);
}

void s3_deadline(struct s3 *s, struct deadline *deadline,
		 struct store_call *call)
{
	deadline_init(deadline, (uint64_t)s->timeout_s * 1000,
		      call->deadline != NULL ? call->deadline->budget : NULL);
	call->deadline = deadline;
}

int s3_again_later(struct s3 *s, unsigned attempt,
		   const struct store_call *call, int *rc)
{
	int wait;

	if (attempt > s->retries)
		return 0;
	wait = deadline_backoff(attempt, call->error, call);
	if (wait == -ETIMEDOUT)
		return 0; /* with the error that it was tried for */
	if (wait != 0) {
		*rc = wait;
		return 0;
	}
	pthread_mutex_lock(&s->mutex);
	s->count.retries++;
	pthread_mutex_unlock(&s->mutex);
	return 1;
}

static int value_is_plain(const char *s)
{
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			return 0;
	return 1;
}

/* One header.  Values that are no plain ASCII are kept percent-encoded. */
static int on_header(void *arg, const char *name, const char *value)
{
	static const char prefix[] = "x-amz-meta-";
	struct meta *m = arg;
	char encoded[META_VALUE_MAX];
	int rc = 0;

	if (strcmp(name, "x-amz-missing-meta") == 0)
		m->truncated = 1;
	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	if (!value_is_plain(value)) {
		rc = meta_encode(encoded, sizeof(encoded), value,
				 strlen(value));
		value = encoded;
	}
	if (rc == 0)
		rc = meta_set(m, name + sizeof(prefix) - 1, value);
	if (rc != 0)
		m->truncated = 1;
	return 0;
}

static void header_copy(char *out, size_t cap, const struct http_answer *http,
			const char *name)
{
	const char *value = http_header(http, name);

	(void)snprintf(out, cap, "%s", value != NULL ? value : "");
}

int64_t s3_answer_date(const struct http_answer *http)
{
	const char *date = http_header(http, "date");
	struct timespec ts;

	return date != NULL && date_http(&ts, date) == 0 ? ts.tv_sec : 0;
}

/*
 * Of what is encrypted with a key of its own the ETag is none, whatever it
 * looks like: AWS's API reference, "Object", ETag.
 */
static int is_md5(const char *etag, const struct http_answer *http)
{
	const char *sse = http_header(http, "x-amz-server-side-encryption");
	uint8_t md5[DIGEST_MD5_LEN];

	return strlen(etag) == 2 * sizeof(md5) &&
	       hex_decode(md5, sizeof(md5), etag) == 0 &&
	       (sse == NULL || strcmp(sse, "AES256") == 0) &&
	       http_header(http,
			   "x-amz-server-side-encryption-customer-algorithm") ==
		       NULL;
}

void s3_stat_parse(struct store_stat *out, const struct http_answer *http)
{
	const char *etag = http_header(http, "etag");
	const char *modified = http_header(http, "last-modified");

	memset(out, 0, sizeof(*out));
	result_unquote(out->etag, etag != NULL ? etag : "");
	out->etag_is_md5 = is_md5(out->etag, http);
	/* Without a time that we can read it is 1970. */
	if (modified == NULL || date_http(&out->mtime, modified) != 0)
		out->mtime = (struct timespec){ 0, 0 };
	out->date_s = s3_answer_date(http);
	header_copy(out->content_type, sizeof(out->content_type), http,
		    "content-type");
	header_copy(out->content_encoding, sizeof(out->content_encoding), http,
		    "content-encoding");
	(void)http_each(http, on_header, &out->meta); /* never ends early */
}
