#ifndef S3_ERROR_H
#define S3_ERROR_H

#include <errno.h>

#include "s3/store.h"

/* What a call that was not given one asks for: nothing. */
extern const struct store_call store_call_none;

/*
 * Put one line into `call->error`, if there is one, with `cause` -rc, and
 * return `rc`.  What is not printable ASCII in it becomes '?'.
 */
int store_fail(const struct store_call *call, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same for what another try may make better: -EAGAIN, which becomes `cause`
 * (an errno) if none does.
 */
int store_again(const struct store_call *call, int cause, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* store_fail() into an error that may be NULL. */
int store_error_set(struct store_error *error, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* -errno, which is below 0 whatever errno is. */
static inline int store_errno(void)
{
	int err = errno;

	return err > 0 ? -err : -EIO;
}

/* What the system calls an errno, negative or not. */
const char *store_strerror(int rc);

/* Non-zero if the caller wants the call to end. */
int store_cancelled(const struct store_call *call);

/* 0; -EINVAL for an empty key, -ENAMETOOLONG: with the line in `call`. */
MUST_CHECK int store_key_check(const struct store_call *call, const char *key);

#endif
