#include "s3/http_explain.h"

#include <errno.h>
#include <string.h>

#include "s3/error.h"
#include "s3/http.h"

/* What no second try makes better, or 0. */
static int explain_permanent(const struct http_failed *f,
			     const struct store_call *call)
{
	switch (f->kind) {
	case HTTP_OURS:
		/* A sink may have said it better. */
		if (call->error != NULL && call->error->text[0] != '\0')
			return f->rc;
		return store_fail(call, f->rc, "%s: %s", f->name,
				  f->rc == -EINTR ? "interrupted"
						  : store_strerror(f->rc));
	case HTTP_TOO_LONG:
		return store_fail(call, -EIO,
				  "%s: headers of more than %d bytes", f->name,
				  HTTP_HEADERS_MAX);
	case HTTP_NO_MEMORY:
		return store_fail(call, -ENOMEM, "out of memory");
	case HTTP_REFUSED:
		return store_fail(
			call, -EIO,
			"%s: its TLS certificate is not accepted: %s; give ca_file= the authority's certificate",
			f->name, f->text);
	case HTTP_BAD_CA:
		return store_fail(call, -EINVAL,
				  "%s: ca_file= cannot be used: %s", f->name,
				  f->text);
	case HTTP_BAD_CERTIFICATE:
		return store_fail(
			call, -EINVAL,
			"%s: client_cert= or client_key= cannot be used: %s",
			f->name, f->text);
	case HTTP_NO_CERTIFICATE:
		return store_fail(
			call, -EACCES,
			"%s wants to see a certificate: give client_cert= and client_key=",
			f->name);
	case HTTP_NO_TLS:
		return store_fail(call, -EIO,
				  "%s: no TLS there: give an http:// endpoint?",
				  f->name);
	case HTTP_NO_HTTP:
		return store_fail(call, -EIO, "%s: no HTTP answer: %s", f->name,
				  f->text);
	default:
		return 0;
	}
}

static int cause_of(const struct http_failed *f)
{
	switch (f->kind) {
	case HTTP_UNRESOLVED:
		return EHOSTUNREACH;
	case HTTP_UNCONNECTED:
		return f->os == ETIMEDOUT ? ETIMEDOUT : EHOSTUNREACH;
	case HTTP_TIMED_OUT:
	case HTTP_STALLED:
		return ETIMEDOUT;
	default:
		return EIO;
	}
}

int http_explain(const struct http_failed *f, const struct store_call *call)
{
	int rc = explain_permanent(f, call);
	int cause = cause_of(f);
	const char *text = f->text;

	if (rc != 0)
		return rc;
	if (f->kind == HTTP_UNCONNECTED && f->os != 0)
		text = store_strerror(f->os);
	if (f->kind == HTTP_STALLED)
		return store_again(call, cause, "%s: no byte moved for %.1f s",
				   f->name, (double)f->idle_ms / 1000);
	if (cause == EHOSTUNREACH)
		return store_again(call, cause,
				   "cannot connect to %s: %s: is the endpoint "
				   "right, and is the server up?",
				   f->name, text);
	if (f->kind == HTTP_SILENT)
		return store_again(call, cause,
				   "%s: it hangs up without an answer%s",
				   f->name,
				   strncmp(f->name, "http:", 5) == 0
					   ? ": is it an https:// endpoint?"
					   : "");
	return store_again(call, cause, "%s: %s", f->name, text);
}
