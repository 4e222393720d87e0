#ifndef S3_SIGV4_H
#define S3_SIGV4_H

#include <stddef.h>
#include <time.h>

#include "crypto/bytes.h"

/*
 * AWS Signature Version 4, in the headers, as S3 wants it: the path is
 * percent-encoded exactly once and never normalised.  Pure: no I/O, no clock.
 */

struct sigv4_pair {
	const char *name, *value;
};

/* All is borrowed. */
struct sigv4_request {
	const char *method;
	const char *path; /* as sent: starts with '/', encoded once */
	const struct sigv4_pair *query; /* not encoded, in any order */
	size_t query_len;
	/* Those to sign, in any order; "host" and "x-amz-date" among them. */
	const struct sigv4_pair *headers;
	size_t headers_len;
	const char *payload; /* SHA-256 in hex, or "UNSIGNED-PAYLOAD" */
};

struct sigv4_scope {
	const char *access_key, *secret_key;
	const char *region, *service;
	const char *date; /* the x-amz-date: see sigv4_date() */
};

#define SIGV4_DATE_MAX 17 /* "20130524T000000Z" and its NUL */

/* 0, or -EINVAL for a time that has no such form. */
MUST_CHECK int sigv4_date(char out[SIGV4_DATE_MAX], time_t when);

/*
 * Append `len` bytes of `in`, percent-encoded but for A-Z a-z 0-9 - . _ ~, and
 * '/' where `keep_slash`.  0 or -ENOMEM.
 */
MUST_CHECK int sigv4_encode(struct bytes *out, const void *in, size_t len,
			    int keep_slash);

/*
 * Append the query, encoded and sorted, without '?': what is signed is what is
 * to be sent.  0 or -ENOMEM.
 */
MUST_CHECK int sigv4_query(struct bytes *out, const struct sigv4_pair *query,
			   size_t len);

/* Append the canonical request.  0 or -ENOMEM. */
MUST_CHECK int sigv4_canonical(struct bytes *out,
			       const struct sigv4_request *req);

/* Append the string to sign.  0, -ENOMEM or -EIO. */
MUST_CHECK int sigv4_string_to_sign(struct bytes *out,
				    const struct sigv4_request *req,
				    const struct sigv4_scope *scope);

/* Append the value of the header "Authorization".  0, -ENOMEM or -EIO. */
MUST_CHECK int sigv4_authorization(struct bytes *out,
				   const struct sigv4_request *req,
				   const struct sigv4_scope *scope);

#endif
