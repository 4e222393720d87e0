/* The keys that a program prints: credential_process in a profile. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "crypto/subprocess.h"
#include "crypto/words.h"
#include "s3/credentials_private.h"
#include "s3/error.h"

#define LIMIT_MS   60000
#define OUTPUT_MAX ((size_t)65536)
#define SAID_MAX   ((size_t)200)

static int is_cancelled(void *arg)
{
	return store_cancelled(arg);
}

/* How it ended, and the first line of what it said about it. */
static int ended(const char *what, const struct subprocess *p,
		 const struct store_call *call)
{
	int len = (int)p->said_len;
	const char *end = memchr(p->said, '\n', p->said_len);

	if (end != NULL)
		len = (int)(end - p->said);
	if (WIFSIGNALED(p->status))
		return store_fail(call, -EIO, "%s: killed by signal %d: %.*s",
				  what, WTERMSIG(p->status), len, p->said);
	if (WEXITSTATUS(p->status) != 0)
		return store_fail(call, -EIO, "%s: exit status %d: %.*s", what,
				  WEXITSTATUS(p->status), len, p->said);
	return 0;
}

static int verdict(const char *what, int rc, const struct subprocess *p,
		   const struct store_call *call)
{
	if (rc == 0 || (rc == -ECHILD && p->started && p->len > 0))
		return rc == 0 ? ended(what, p, call) : 0;
	if (!p->started)
		return store_fail(call, rc, "%s: cannot run it: %s", what,
				  store_strerror(rc));
	if (rc == -ETIMEDOUT)
		return store_again(call, ETIMEDOUT, "%s: not done within %d s",
				   what, LIMIT_MS / 1000);
	if (rc == -EFBIG)
		return store_fail(call, rc,
				  "%s: it printed more than %zu "
				  "bytes",
				  what, OUTPUT_MAX);
	return store_fail(call, rc, "%s: %s", what,
			  rc == -EINTR ? "interrupted" : store_strerror(rc));
}

static int run(const char *what, char **argv, const struct store_call *call,
	       struct bytes *out)
{
	char said[SAID_MAX];
	struct store_call asked = *call;
	struct subprocess p = { .said = said,
				.said_room = sizeof(said),
				.cancel = is_cancelled,
				.cancel_arg = &asked };
	int rc;

	if (bytes_reserve(out, OUTPUT_MAX) != 0)
		return store_fail(call, -ENOMEM, "out of memory");
	p.buf = (char *)out->data;
	p.room = OUTPUT_MAX;
	rc = subprocess_read(argv, LIMIT_MS, &p);
	out->len = p.len;
	rc = verdict(what, rc, &p, call);
	bytes_wipe(said, sizeof(said));
	if (rc != 0)
		bytes_clear(out);
	return rc;
}

int credential_process_fetch(const struct cred_conf *conf, const char *name,
			     const char *line, const struct store_call *call,
			     struct cred_keys *out)
{
	struct bytes text = BYTES_INIT;
	struct words w;
	char what[256];
	int rc;

	(void)snprintf(what, sizeof(what),
		       "credential_process of profile %.60s", name);
	rc = words_split(&w, line);
	if (rc != 0)
		return store_fail(call, rc, "%s: %s", what,
				  rc == -EINVAL ? "a quote or a backslash "
						  "without its end"
						: "out of memory");
	if (w.argv[0] == NULL || *w.argv[0] == '\0')
		rc = store_fail(call, -EINVAL, "%s: no command", what);
	else
		rc = run(what, w.argv, call, &text);
	words_free(&w);
	if (rc != 0)
		return rc;
	rc = cred_json(out, what, CRED_FORM_PROCESS, &text, call);
	return rc == 0 ? cred_current(out, what, conf->now_s, call) : rc;
}
