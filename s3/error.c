#include "s3/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct store_call store_call_none;

static void error_write(struct store_error *error, int rc, const char *fmt,
			va_list ap) __attribute__((format(printf, 3, 0)));

static void error_write(struct store_error *error, int rc, const char *fmt,
			va_list ap)
{
	char *p;

	memset(error, 0, sizeof(*error));
	error->cause = -rc;
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): by callers */
	if (vsnprintf(error->text, sizeof(error->text), fmt, ap) < 0)
		error->text[0] = '\0';
	for (p = error->text; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
}

int store_fail(const struct store_call *call, int rc, const char *fmt, ...)
{
	va_list ap;

	if (call->error == NULL)
		return rc;
	va_start(ap, fmt);
	error_write(call->error, rc, fmt, ap);
	va_end(ap);
	return rc;
}

int store_again(const struct store_call *call, int cause, const char *fmt, ...)
{
	va_list ap;

	if (call->error == NULL)
		return -EAGAIN;
	va_start(ap, fmt);
	error_write(call->error, -cause, fmt, ap);
	va_end(ap);
	return -EAGAIN;
}

int store_error_set(struct store_error *error, int rc, const char *fmt, ...)
{
	va_list ap;

	if (error == NULL)
		return rc;
	va_start(ap, fmt);
	error_write(error, rc, fmt, ap);
	va_end(ap);
	return rc;
}

const char *store_strerror(int rc)
{
	/* glibc's needs no lock for the numbers that it knows. */
	return strerror(rc < 0 ? -rc : rc); /* NOLINT(concurrency-mt-unsafe) */
}

int store_cancelled(const struct store_call *call)
{
	return call->cancel != NULL && call->cancel(call->cancel_arg) != 0;
}

int store_key_check(const struct store_call *call, const char *key)
{
	size_t len = strlen(key);

	if (len == 0)
		return store_fail(call, -EINVAL, "a key may not be empty");
	if (len > STORE_KEY_MAX)
		return store_fail(call, -ENAMETOOLONG,
				  "key of %zu bytes, %d is the most: %.60s...",
				  len, STORE_KEY_MAX, key);
	return 0;
}
