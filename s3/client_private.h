#ifndef S3_CLIENT_PRIVATE_H
#define S3_CLIENT_PRIVATE_H

#include <pthread.h>
#include <stddef.h>

#include "crypto/digest.h"
#include "s3/client.h"
#include "s3/deadline.h"
#include "s3/http.h"
#include "s3/result.h"
#include "s3/sigv4.h"

/* What the files of the S3 client share; nobody else includes this. */

#define S3_PUT_MAX   ((uint64_t)5 << 30) /* bytes of a PUT, part or copy */
#define S3_PART_MIN  ((uint64_t)5 << 20)
#define S3_PARTS_MAX 10000
#define S3_PAIRS_MAX 24 /* of a query, and of headers besides metadata */

/* What is asked of the server for each object; "" or NULL where nothing is. */
struct s3_object_conf {
	char *storage_class, *acl, *sse, *kms_key_id;
	char customer_key[BASE64_SIZE(S3_CUSTOMER_KEY_LEN)]; /* as base64 */
	char customer_md5[BASE64_SIZE(DIGEST_MD5_LEN)];
};

MUST_CHECK int s3_object_conf_init(struct s3_object_conf *o,
				   const struct s3_conf *conf);
void s3_object_conf_clear(struct s3_object_conf *o);

struct s3 {
	struct store store; /* first: this is what callers hold */
	struct http *http;
	struct s3_credentials *cred;
	char *scheme; /* "https" */
	char *host; /* with its port; NULL: AWS's of the region */
	char *bucket;
	char *name; /* of the endpoint, for messages: "https://host:port" */
	int in_host; /* the bucket is in the host name, not in the path */
	uint64_t part_size, copy_max;
	unsigned connections, retries, timeout_s;
	int requester_pays, look_will_do;
	struct s3_object_conf object;
	struct uploads *uploads; /* under way, and where that is noted */

	pthread_mutex_t mutex; /* all below */
	char region[64];
	long skew_s; /* the server's clock minus ours */
	int probed; /* `caps` and `etag_bare` are known */
	int etag_bare; /* PUT wants If-Match without quotes */
	struct store_caps caps;
	struct store_counters count;
};

struct uploads; /* see upload_private.h */

struct s3 *s3_of(struct store *s);

/* One request.  Zero-initialise, fill, send, clear.  Strings are borrowed. */
struct s3_request {
	const char *method;
	const char *key; /* NULL: the bucket itself */
	uint64_t *counter; /* in `count`: which kind this is */
	struct sigv4_pair query[S3_PAIRS_MAX];
	size_t query_len;
	struct sigv4_pair headers[S3_PAIRS_MAX]; /* names in lower case */
	size_t headers_len;
	const struct meta *meta; /* sent as x-amz-meta-*; or NULL */
	const struct store_source *body; /* or NULL */
	uint64_t body_off, body_len;
	const char *body_sha256; /* in hex; NULL without a body */
	int once, slow; /* as in struct http_request */
	/* Gets the body of a 2xx answer; NULL: it is collected instead. */
	http_sink_fn *sink;
	void *sink_arg;
};

struct s3_answer {
	struct http_answer http;
	struct bytes body; /* bounded */
};

void s3_query(struct s3_request *req, const char *name, const char *value);
void s3_header(struct s3_request *req, const char *name, const char *value);

/* What a request does with objects, for the headers that go along with it. */
#define S3_CREATES 1u /* PUT, copy, and the begin of an upload in parts */
#define S3_TOUCHES 2u /* HEAD, GET, a part */
#define S3_COPIES  4u /* has a source in the bucket */
void s3_object_headers(struct s3 *s, struct s3_request *req, unsigned roles);

/*
 * Content-Type, Content-Encoding and metadata of `head` (NULL: the defaults)
 * as headers of the request.
 */
void s3_describe(struct s3_request *req, const struct store_head *head);

/*
 * Sign and send; where the answer tells us our region or our clock is wrong,
 * learn it and send once more.  0 for a 2xx answer, which the caller clears
 * with s3_answer_clear(); else as store_ops, with the line in `call->error`.
 */
MUST_CHECK int s3_send(struct s3 *s, const struct s3_request *req,
		       const struct store_call *call, struct s3_answer *out);
void s3_answer_clear(struct s3_answer *answer);

/* The errno that an answer other than 2xx means, and its line. */
int s3_refused(struct s3 *s, const struct s3_request *req,
	       const struct http_answer *http, const struct bytes *body,
	       const struct store_call *call);

/* An error in a 200: -EAGAIN or what s3_refused() makes of it, never 0. */
int s3_refused_late(struct s3 *s, const struct s3_request *req,
		    const struct s3_answer *answer,
		    const struct store_call *call);

/* A deadline of its own for one step of a call, with the same budget. */
void s3_deadline(struct s3 *s, struct deadline *deadline,
		 struct store_call *call);

/*
 * Wait to repeat a step whose `attempt` (from 1) answered -EAGAIN: non-zero if
 * it is time; 0 with `*rc` if there is to be none.
 */
int s3_again_later(struct s3 *s, unsigned attempt,
		   const struct store_call *call, int *rc);

/* The server's clock as it answered, in seconds; 0 if it does not say. */
int64_t s3_answer_date(const struct http_answer *http);

/* What the headers say of the object, but for its length. */
void s3_stat_parse(struct store_stat *out, const struct http_answer *http);

/* In hex.  `md5` is "" where the server looks at SHA-256 itself. */
struct s3_digests {
	char sha256[DIGEST_HEX];
	char md5[2 * DIGEST_MD5_LEN + 1];
};

/* Of a part of a source.  0, -EINTR, -ENOMEM, the source's. */
MUST_CHECK int s3_hash(struct s3 *s, struct s3_digests *out,
		       const struct store_source *src, uint64_t off,
		       uint64_t len, const struct store_call *call);

/* Does the ETag of what arrived say that it is not what was sent? */
int s3_is_damaged(const struct s3_digests *sent, const char *etag);

/*
 * -EIO for an object that is there, with this ETag, and is not what was sent:
 * so that whoever tries again replaces just that.
 */
int s3_damaged(const struct store_call *call, const char *etag, const char *fmt,
	       ...) __attribute__((format(printf, 3, 4)));

/* Has the object with this ETag that length?  0, or s3_damaged(). */
MUST_CHECK int s3_stored_check(struct s3 *s, const char *key, uint64_t len,
			       const char *etag, const struct store_call *call);

/* Is the body of a 2xx answer an <Error>?  0, or as s3_refused_late(). */
MUST_CHECK int s3_hidden_error(struct s3 *s, const struct s3_request *req,
			       const struct s3_answer *answer,
			       const struct store_call *call);

/* "etag" with quotes, or bare where the server wants that of `puts`. */
void s3_etag_header(struct s3 *s, char out[STORE_ETAG_MAX + 2],
		    const char *etag, int puts);

/* What a condition's server-side support is: see s3_guard(). */
struct s3_conditions {
	int send; /* put the headers on the request */
	int guard; /* look with a HEAD just before: the server ignores them */
};

/*
 * How to keep what `call` asks of an operation of which the server is known
 * to keep if_match and if_absent, or not.
 */
struct s3_conditions s3_conditions(struct s3 *s, const struct store_call *call,
				   int keeps_match, int keeps_absent);

/* The HEAD: 0, -ESTALE, -EEXIST, or why it could not be asked. */
MUST_CHECK int s3_guard(struct s3 *s, const char *key, const char *if_match,
			int if_absent, const struct store_call *call);

/* `call` without its conditions. */
struct store_call s3_unconditional(const struct store_call *call);

struct store_caps s3_caps(struct s3 *s);
int s3_is_probed(struct s3 *s); /* else s3_caps() says nothing yet */

/* The operations that have files of their own; as in store.h. */
int s3_head(struct store *s, const char *key, const struct store_call *call,
	    struct store_stat *out);
int s3_get(struct store *s, const char *key, uint64_t off, uint64_t len,
	   const struct store_call *call, store_sink_fn *sink, void *sink_arg,
	   struct store_stat *out);
int s3_put(struct store *s, const char *key, const struct store_source *src,
	   const struct store_head *head, const struct store_call *call,
	   struct store_stat *out);
int s3_copy(struct store *s, const char *from, const char *to,
	    const struct store_head *head, const struct store_call *call,
	    struct store_stat *out);
int s3_remove(struct store *s, const char *key, const struct store_call *call);
int s3_list(struct store *s, const struct store_list *what,
	    const struct store_call *call, store_list_fn *fn, void *fn_arg);
int s3_probe(struct store *s, const char *prefix,
	     const struct store_call *call);

/* As put, in parts of at least `part_size` bytes. */
MUST_CHECK int s3_put_parts(struct s3 *s, const char *key,
			    const struct store_source *src,
			    const struct store_head *head,
			    const struct store_call *call,
			    struct store_stat *out);

/* 0 also if there is no such upload any more. */
MUST_CHECK int s3_upload_abort(struct s3 *s, const char *key, const char *id,
			       const struct store_call *call);

/* Append the value of x-amz-copy-source, with its NUL.  0 or -ENOMEM. */
MUST_CHECK int s3_copy_source(struct s3 *s, const char *from,
			      struct bytes *out);

/* As copy, of a source of any length, whose `source` is what HEAD said. */
MUST_CHECK int s3_copy_parts(struct s3 *s, const char *from, const char *to,
			     const struct store_head *head,
			     const struct store_stat *source,
			     const struct store_call *call,
			     struct store_stat *out);

#endif
