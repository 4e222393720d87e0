#include "fs/keysource.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "crypto/subprocess.h"
#include "crypto/words.h"
#include "fs/keytext.h"

#define SOURCE_MAX ((size_t)4096) /* bytes of a file or an output */
#define MAKE       "make one with: mount.deltaglider --generate-key"

/* All that must not lie in ordinary memory. */
struct scratch {
	char text[SOURCE_MAX + 1]; /* one more, to see that there is more */
	size_t len;
	struct aead_key key;
};

static void describe_command(const char *line, char *buf, size_t len)
{
	struct words w;

	if (words_split(&w, line)) {
		(void)snprintf(buf, len, "command");
		return;
	}
	if (w.argv[0] && keytext_is(w.argv[0])) {
		(void)snprintf(buf, len, "command ...");
		words_free(&w);
		return;
	}
	/* "TOKEN=secret get-key": not as a shell takes it, yet written so. */
	(void)snprintf(buf, len, "command %.*s",
		       w.argv[0] ? (int)strcspn(w.argv[0], "=") : 0,
		       w.argv[0] ? w.argv[0] : "");
	words_free(&w);
}

void keysource_describe(const struct keysource *s, char *buf, size_t len)
{
	switch (s->from) {
	case KEYSOURCE_EPHEMERAL:
		(void)snprintf(buf, len, "this mount alone (random)");
		break;
	case KEYSOURCE_ENVIRONMENT:
		(void)snprintf(buf, len, "the environment ($%s)",
			       KEYSOURCE_VARIABLE);
		break;
	case KEYSOURCE_FILE:
		(void)snprintf(buf, len, "file %s", s->what);
		break;
	case KEYSOURCE_COMMAND:
		describe_command(s->what, buf, len);
		break;
	}
}

/* "key file /etc/key: " and what is wrong with it; returns `err`. */
__attribute__((format(printf, 4, 5))) static int
fail(const struct keysource *s, int err, char *why, const char *fmt, ...)
{
	char name[160], text[OPTION_WHY - sizeof(name) - 8];
	va_list ap;

	keysource_describe(s, name, sizeof(name));
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)snprintf(why, OPTION_WHY, "%s%s: %s",
		       s->from < KEYSOURCE_FILE ? "" : "key ", name, text);
	for (; *why; why++)
		if ((unsigned char)*why < ' ')
			*why = '?'; /* one line, whatever the path */
	return err;
}

/* x->text to x->key. */
static int key_parse(const struct keysource *s, struct scratch *x, char *why)
{
	int err = 0;

	if (s->from == KEYSOURCE_FILE && x->len == AEAD_KEY_LEN)
		memcpy(x->key.bytes, x->text, AEAD_KEY_LEN);
	else
		err = keytext_parse(x->text, x->len, &x->key);
	if (err == -ENODATA)
		return fail(s, err, why, "there is no key: " MAKE);
	if (err)
		return fail(s, err, why,
			    "not a key, 44 characters of base64: " MAKE);
	if (bytes_equal(x->key.bytes, x->key.bytes + 1, AEAD_KEY_LEN - 1))
		return fail(s, -EINVAL, why,
			    "a key whose bytes are all the same: " MAKE);
	return 0;
}

static int file_check(const struct keysource *s, int fd, char *why)
{
	struct stat st;

	if (fstat(fd, &st))
		return fail(s, -errno, why, "%s", strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return fail(s, -EINVAL, why,
			    "not a regular file: name one that holds the key");
	if (st.st_uid != geteuid() && st.st_uid)
		return fail(s, -EPERM, why,
			    "it belongs to user %u: chown it to user %u",
			    st.st_uid, geteuid());
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return fail(s, -EACCES, why,
			    "others may %s it (mode %04o): chmod 600 it",
			    st.st_mode & (S_IRGRP | S_IROTH) ? "read" : "use",
			    st.st_mode & 07777);
	return 0;
}

static int file_read(const struct keysource *s, struct scratch *x, char *why)
{
	int fd, err;
	ssize_t n;

	/* O_NONBLOCK: a pipe has no writer to wait for. */
	fd = open(s->what, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail(
			s, -errno, why,
			"%s: name a file with the key that user %u can read",
			strerrordesc_np(errno), geteuid());
	err = file_check(s, fd, why);
	while (!err && x->len <= SOURCE_MAX) {
		n = read(fd, x->text + x->len, sizeof(x->text) - x->len);
		if (!n)
			break;
		if (n > 0)
			x->len += (size_t)n;
		else if (errno != EINTR)
			err = fail(s, -errno, why, "%s",
				   strerrordesc_np(errno));
	}
	(void)close(fd);
	if (!err && x->len > SOURCE_MAX)
		err = fail(s, -EFBIG, why,
			   "more than %zu bytes where a key has 44: " MAKE,
			   SOURCE_MAX);
	return err;
}

static int command_verdict(const struct keysource *s, int err, int status,
			   char *why)
{
	if (err == -ECHILD)
		return fail(s, err, why,
			    "how it ended is lost: do not ignore SIGCHLD");
	if (err)
		return fail(s, err, why, "%s", strerrordesc_np(-err));
	if (WIFSIGNALED(status))
		return fail(
			s, -EIO, why,
			"killed by signal %d: run it by hand, without a shell",
			WTERMSIG(status));
	if (WEXITSTATUS(status))
		return fail(s, -EIO, why,
			    "exit status %d: run it by hand, without a shell",
			    WEXITSTATUS(status));
	return 0;
}

static int command_run(const struct keysource *s, char **argv, int limit_ms,
		       struct scratch *x, char *why)
{
	struct subprocess p = { .buf = x->text, .room = sizeof(x->text) };
	int err = subprocess_read(argv, limit_ms, &p);

	x->len = p.len;
	if (err && !p.started)
		return fail(s, err, why,
			    "%s: name a program by its absolute path",
			    strerrordesc_np(-err));
	if (err == -ETIMEDOUT)
		return fail(s, err, why,
			    "not done within %g s: it must not ask or wait",
			    limit_ms / 1e3);
	if (err == -EFBIG)
		return fail(s, err, why,
			    "more than %zu bytes: it must print the key alone",
			    SOURCE_MAX);
	err = command_verdict(s, err, p.status, why);
	if (!err && !x->len)
		err = fail(s, -ENODATA, why,
			   "printed nothing: it must print the key");
	return err;
}

static int command_read(const struct keysource *s, int limit_ms,
			struct scratch *x, char *why)
{
	struct words w;
	int err = words_split(&w, s->what);

	if (err == -EINVAL)
		return fail(s, err, why,
			    "a quote or a backslash without its end");
	if (err)
		return fail(s, err, why, "%s", strerrordesc_np(-err));
	if (!w.argv[0] || !*w.argv[0])
		err = fail(s, -EINVAL, why, "empty: name a program");
	else if (*w.argv[0] != '/' && strchr(w.argv[0], '/'))
		err = fail(s, -EINVAL, why,
			   "name the program by its absolute path");
	else
		err = command_run(s, w.argv, limit_ms, x, why);
	words_free(&w);
	return err;
}

static int text_read(const struct keysource *s, int limit_ms, struct scratch *x,
		     char *why)
{
	if (s->from == KEYSOURCE_FILE)
		return file_read(s, x, why);
	if (s->from == KEYSOURCE_COMMAND)
		return command_read(s, limit_ms, x, why);
	x->len = strnlen(s->what, sizeof(x->text));
	memcpy(x->text, s->what, x->len);
	return 0;
}

/* A key in the wrong place must not be shown by a message about it. */
static int is_key_itself(const struct keysource *s, struct scratch *x)
{
	const char *what = s->what;
	int is = 0;

	if (s->from != KEYSOURCE_FILE && s->from != KEYSOURCE_COMMAND)
		return 0;
	/* Relative ones were made absolute: any tail after a slash may be it. */
	for (; what && !is; what = strchr(what, '/')) {
		what += *what == '/';
		if (strlen(what) >= sizeof(x->text))
			continue;
		memcpy(x->text, what, strlen(what) + 1);
		is = !keytext_parse(x->text, strlen(what), &x->key);
	}
	bytes_wipe(x, sizeof(*x));
	return is;
}

int keysource_load_within(const struct keysource *s, int limit_ms,
			  struct aead_key *out, char why[OPTION_WHY])
{
	struct scratch *x = secret_new(sizeof(*x));
	int err;

	if (!x)
		return fail(s, -ENOMEM, why, "no memory for secrets is left");
	if (is_key_itself(s, x)) {
		(void)snprintf(
			why, OPTION_WHY,
			"the cache's key stands where a %s is to be named: put it into a file and give cache_key_file= that",
			s->from == KEYSOURCE_FILE ? "file" : "command");
		secret_free(x, sizeof(*x));
		return -EINVAL;
	}
	if (s->from == KEYSOURCE_EPHEMERAL) {
		err = aead_key_random(&x->key);
		if (err)
			err = fail(s, err, why, "no random bytes");
	} else {
		err = text_read(s, limit_ms, x, why);
		if (!err)
			err = key_parse(s, x, why);
	}
	if (!err)
		*out = x->key;
	secret_free(x, sizeof(*x));
	return err;
}

int keysource_load(const struct keysource *s, struct aead_key *out,
		   char why[OPTION_WHY])
{
	return keysource_load_within(s, KEYSOURCE_COMMAND_MS, out, why);
}

int keysource_take_environment(char **out)
{
	static const char name[] = KEYSOURCE_VARIABLE "=";
	size_t name_len = sizeof(name) - 1;
	char *text = NULL;

	/* Not getenv(3): there may be two of them. */
	for (char **e = environ; e && *e; e++) {
		char *value = *e + name_len;
		size_t len;

		if (strncmp(*e, name, name_len) != 0)
			continue;
		len = strlen(value);
		if (len && !text) {
			text = secret_new(len + 1);
			if (!text)
				return -ENOMEM;
			memcpy(text, value, len);
		}
		/* In place: the kernel shows these very bytes. */
		bytes_wipe(value, len);
	}
	*out = text;
	/* It fails for names with '=' only. */
	// NOLINTNEXTLINE(concurrency-mt-unsafe): there is but one thread
	(void)unsetenv(KEYSOURCE_VARIABLE);
	return 0;
}
