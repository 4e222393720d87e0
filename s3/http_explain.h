#ifndef S3_HTTP_EXPLAIN_H
#define S3_HTTP_EXPLAIN_H

#include "crypto/bytes.h"
#include "s3/store.h"

/* Why an exchange came to nothing. */
enum http_failure {
	HTTP_BROKEN, /* off, or damaged: whatever is worth another try */
	HTTP_OURS, /* a callback of ours ended it, with `rc` */
	HTTP_STALLED, /* no byte moved for `idle_ms` */
	HTTP_TIMED_OUT,
	HTTP_UNRESOLVED, /* no address of that name */
	HTTP_UNCONNECTED, /* `os` may say why */
	HTTP_SILENT, /* it hung up without a word */
	HTTP_TOO_LONG, /* headers */
	HTTP_NO_MEMORY,
	HTTP_REFUSED, /* its certificate, by us */
	HTTP_BAD_CA, /* the file of who vouches for it cannot be used */
	HTTP_BAD_CERTIFICATE, /* ours cannot be used */
	HTTP_NO_CERTIFICATE, /* it wants one of us */
	HTTP_NO_TLS,
	HTTP_NO_HTTP,
};

struct http_failed {
	enum http_failure kind;
	const char *name; /* of the server: "https://host:port" */
	const char *text; /* what the library says of it */
	int rc;
	int os; /* errno of connect(2), or 0 */
	uint64_t idle_ms;
};

/*
 * One line for a person in call->error, unless it is HTTP_OURS and has one.
 * -EAGAIN, with its cause, for what may go better another time; else an errno
 * that no second try changes.
 */
MUST_CHECK int http_explain(const struct http_failed *f,
			    const struct store_call *call);

#endif
