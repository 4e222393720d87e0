/* What sources of keys say: keys, times, small files, and who is asked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "s3/credentials_private.h"
#include "s3/date.h"
#include "s3/error.h"
#include "s3/http.h"
#include "s3/json.h"

#define FILE_MAX ((size_t)16384)

const char *cred_env(const char *name)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets any by then */
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

static int copy_key(char *out, size_t cap, const char *in, const char *name,
		    const struct store_call *call)
{
	size_t len = in != NULL ? strlen(in) : 0;
	size_t i;

	if (len >= cap)
		return store_fail(call, -EINVAL,
				  "the %s has %zu bytes, %zu is the most", name,
				  len, cap - 1);
	/* They go into headers. */
	for (i = 0; i < len; i++)
		if (in[i] <= 0x20 || in[i] > 0x7e)
			return store_fail(call, -EINVAL,
					  "the %s has a blank or another "
					  "character that no key has",
					  name);
	if (len > 0)
		memcpy(out, in, len);
	out[len] = '\0';
	return 0;
}

int cred_take(struct cred_keys *out, const char *what,
	      const char *const parts[3], const struct store_call *call)
{
	const char *access = parts[0] != NULL && *parts[0] ? parts[0] : NULL;
	const char *secret = parts[1] != NULL && *parts[1] ? parts[1] : NULL;
	struct s3_keys k = { .access_key = "" };
	int rc;

	if (access == NULL && secret == NULL)
		return -ENOENT;
	if (access == NULL || secret == NULL)
		return store_fail(
			call, -EINVAL, "%s: there is %s, but no %s", what,
			access != NULL ? "an access key" : "a secret key",
			access != NULL ? "secret key" : "access key");
	rc = copy_key(k.access_key, sizeof(k.access_key), access, "access key",
		      call);
	if (rc == 0)
		rc = copy_key(k.secret_key, sizeof(k.secret_key), secret,
			      "secret key", call);
	if (rc == 0)
		rc = copy_key(k.session_token, sizeof(k.session_token),
			      parts[2], "session token", call);
	if (rc == 0)
		out->keys = k;
	bytes_wipe(&k, sizeof(k));
	return rc;
}

int cred_expiry(struct cred_keys *out, const char *what, const char *text,
		const struct store_call *call)
{
	struct timespec ts;

	if (date_iso(&ts, text) != 0)
		return store_fail(call, -EIO,
				  "%s: when its keys end is no time", what);
	out->expires_s = ts.tv_sec;
	return 0;
}

int cred_current(const struct cred_keys *k, const char *what, int64_t now_s,
		 const struct store_call *call)
{
	if (k->expires_s == 0 || k->expires_s > now_s)
		return 0;
	return store_fail(call, -EIO,
			  "%s: its keys ended %lld s ago by our clock: is that "
			  "right?",
			  what, (long long)(now_s - k->expires_s));
}

/* Strings that may be missing. */
static int optional(const struct json *j, const char *name, const char **out)
{
	int rc = json_text(j, name, out);

	return rc == -ENOENT ? 0 : rc;
}

static int json_keys(struct cred_keys *out, const char *what,
		     enum cred_form form, const struct json *j,
		     const struct store_call *call)
{
	const char *parts[3] = { NULL, NULL, NULL };
	const char *expires = NULL;
	const char *token =
		form == CRED_FORM_PROCESS ? "SessionToken" : "Token";
	int64_t version = 1;
	int rc = 0;

	if (form == CRED_FORM_PROCESS &&
	    (json_number(j, "Version", &version) != 0 || version != 1))
		return store_fail(call, -EIO,
				  "%s: its JSON is not of \"Version\": 1",
				  what);
	if (optional(j, "AccessKeyId", &parts[0]) != 0 ||
	    optional(j, "SecretAccessKey", &parts[1]) != 0 ||
	    optional(j, token, &parts[2]) != 0 ||
	    optional(j, "Expiration", &expires) != 0)
		return store_fail(call, -EIO,
				  "%s: its JSON has something else than "
				  "strings for keys",
				  what);
	rc = cred_take(out, what, parts, call);
	if (rc == -ENOENT)
		return store_fail(call, -EIO, "%s: its JSON has no keys", what);
	if (rc != 0)
		return rc;
	out->expires_s = 0;
	if (expires == NULL || *expires == '\0')
		return 0;
	return cred_expiry(out, what, expires, call);
}

int cred_json(struct cred_keys *out, const char *what, enum cred_form form,
	      struct bytes *text, const struct store_call *call)
{
	struct cred_keys k = { .renewable = 1 };
	struct json *j;
	int rc;

	rc = json_parse(&j, text->data, text->len);
	bytes_clear(text);
	if (rc == -ENOMEM)
		return store_fail(call, rc, "out of memory");
	if (rc != 0)
		return store_fail(call, rc,
				  "%s: what it gives is no JSON object", what);
	rc = json_keys(&k, what, form, j, call);
	json_free(j);
	(void)snprintf(k.source, sizeof(k.source), "%s", what);
	if (rc == 0)
		*out = k;
	bytes_wipe(&k, sizeof(k));
	return rc;
}

/* Up to FILE_MAX bytes of it. */
static int file_bytes(struct bytes *out, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return store_errno();
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	for (;;) {
		ssize_t n;
		int rc = bytes_reserve(out, 4096);

		if (rc != 0)
			return rc;
		n = read(fd, out->data + out->len, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EIO;
		if (n == 0)
			return 0;
		out->len += (size_t)n;
		if (out->len > FILE_MAX)
			return -EINVAL;
	}
}

static int is_header_text(const struct bytes *b)
{
	size_t i;

	for (i = 0; i < b->len; i++)
		if (b->data[i] < 0x20 || b->data[i] > 0x7e)
			return 0;
	return b->len > 0;
}

int cred_file(struct bytes *out, const char *path,
	      const struct store_call *call)
{
	struct bytes b = BYTES_INIT;
	int rc;
	/* What is no file must not be waited for. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return store_fail(call, store_errno(), "cannot open %s: %s",
				  path, store_strerror(errno));
	rc = file_bytes(&b, fd);
	(void)close(fd);
	while (rc == 0 && b.len > 0 &&
	       (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == '\r'))
		b.len--;
	if (rc == 0 && !is_header_text(&b))
		rc = -EINVAL;
	if (rc == 0)
		rc = bytes_append(&b, "", 1);
	if (rc != 0) {
		bytes_clear(&b);
		return store_fail(call, rc,
				  rc == -EINVAL ? "%s: no token, which is "
						  "one line of text"
						: "cannot read %s",
				  path);
	}
	b.len--;
	bytes_clear(out);
	*out = b;
	return 0;
}
