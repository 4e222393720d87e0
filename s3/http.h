#ifndef S3_HTTP_H
#define S3_HTTP_H

#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/sigv4.h"
#include "s3/store.h"

/*
 * One HTTP exchange at a time on each of a few connections that are kept.
 * Knows nothing of S3.  Thread-safe.
 */
struct http;

struct http_conf {
	const char *name; /* of the server, for messages; copied */
	unsigned connections; /* at once; further requests wait for one */
	unsigned connect_ms; /* the most to wait for a connection */
	unsigned stall_ms; /* the most to wait for the next byte; 0: for ever */
	/* PEM file of those who may vouch for the server; copied.  NULL: the
	   system's. */
	const char *ca_file;
	/* PEM files of a certificate of ours and its key; copied; or NULL. */
	const char *client_cert, *client_key;
	/* Bytes of bodies a second, of all connections together; 0: no limit. */
	uint64_t upload_rate, download_rate;
	int no_proxy; /* whatever the environment says */
};

/* 0 or -ENOMEM. */
MUST_CHECK int http_new(struct http **out, const struct http_conf *conf);
void http_free(struct http *h); /* no request may be under way */

#define HTTP_HEADERS_MAX 65536 /* bytes of an answer's headers that we take */

struct http_answer {
	int status;
	int complete; /* the empty line behind the headers has come */
	struct bytes headers; /* "name\0value\0", names in lower case */
	uint64_t bytes_in, bytes_out; /* of bodies */
};

/*
 * Takes the next bytes of an answer's body; the status and the headers are
 * complete.  An error ends the request, which returns it.
 */
typedef int http_sink_fn(void *arg, const struct http_answer *answer,
			 const void *data, size_t len);

struct http_request {
	const char *method;
	const char *url; /* percent-encoded; sent as it is */
	const struct sigv4_pair *headers; /* all of them, "host" too */
	size_t headers_len;
	const struct store_source *body; /* or NULL */
	uint64_t body_off, body_len; /* the part of `body` to send */
	/*
	 * Send it once: a kept connection that turns out to be dead after
	 * bytes went out is -EAGAIN, not a silent second try.
	 */
	int once;
	int slow; /* the answer may take twice as long as others */
	http_sink_fn *sink;
	void *sink_arg;
};

/*
 * 0 if the server answered, whatever its status: the caller clears `out`
 * with http_answer_clear().  -EAGAIN with the cause: not reached, timed out
 * (as above, or call->deadline is over), broken off.  -EINTR; -EIO: not HTTP, a
 * certificate that does not check.  Or what the sink or the source returned.
 * `call->error` has the line.
 *
 * A sink or source must not wait for another request to the same server: all
 * connections may be in use by such.
 */
MUST_CHECK int http_perform(struct http *h, const struct http_request *req,
			    const struct store_call *call,
			    struct http_answer *out);

/*
 * Take a line of an answer's headers, with its end; a status line starts a new
 * set.  What is no header is ignored.  0; -E2BIG past HTTP_HEADERS_MAX;
 * -ENOMEM.
 */
MUST_CHECK int http_answer_line(struct http_answer *answer, const char *line,
				size_t len);

/* The header's value, or NULL.  `name` in lower case. */
const char *http_header(const struct http_answer *answer, const char *name);

/* Each header in turn.  Non-zero ends it and is returned. */
int http_each(const struct http_answer *answer,
	      int (*fn)(void *arg, const char *name, const char *value),
	      void *arg);

void http_answer_clear(struct http_answer *answer);

#endif
