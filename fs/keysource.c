#include "fs/keysource.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/keytext.h"

#define SOURCE_MAX   ((size_t)4096) /* bytes of a file or an output */
#define KILL_MS      1000 /* what is killed is gone sooner */
#define REAP_STEP_NS 5000000
#define MAKE         "make one with: mount.deltaglider --generate-key"

/* All that must not lie in ordinary memory. */
struct scratch {
	char text[SOURCE_MAX + 1]; /* one more, to see that there is more */
	size_t len;
	struct aead_key key;
};

struct words {
	char **argv; /* ends with NULL */
	size_t size; /* bytes of the one block they are in */
};

static int is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * One word of a line that starts with one: as a shell would read it, were there
 * nothing to expand.  It takes no more room than it has in the line.
 */
static int word_copy(const char **line, char **to)
{
	const char *p = *line;
	char *out = *to, quote = '\0';

	for (; *p && (quote || !is_blank(*p)); p++) {
		if (quote && *p == quote) {
			quote = '\0';
			continue;
		}
		if (!quote && (*p == '\'' || *p == '"')) {
			quote = *p;
			continue;
		}
		if (*p == '\\' && quote != '\'') {
			/* Within "..." it stands for itself before others. */
			if (!quote || (p[1] && strchr("\"\\$`", p[1])))
				p++;
			if (!*p)
				return -EINVAL;
		}
		*out++ = *p;
	}
	*out++ = '\0';
	*line = p;
	*to = out;
	return quote ? -EINVAL : 0;
}

static void words_free(struct words *w)
{
	if (w->argv)
		bytes_wipe(w->argv, w->size);
	free(w->argv);
}

/* 0; -EINVAL: a quote or a backslash without its end; -ENOMEM. */
static int words_split(struct words *w, const char *line)
{
	size_t len = strlen(line), most = (len + 1) / 2, n = 0;
	char *text;
	int err = 0;

	w->size = (most + 1) * sizeof(*w->argv) + len + 1;
	w->argv = calloc(1, w->size);
	if (!w->argv)
		return -ENOMEM;
	text = (char *)(w->argv + most + 1);
	while (!err) {
		while (is_blank(*line))
			line++;
		if (!*line)
			return 0;
		w->argv[n++] = text;
		err = word_copy(&line, &text);
	}
	words_free(w);
	return err;
}

static void describe_command(const char *line, char *buf, size_t len)
{
	struct words w;

	if (words_split(&w, line)) {
		(void)snprintf(buf, len, "command");
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

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int spawn_attributes(posix_spawnattr_t *attr)
{
	static const int plain[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };
	sigset_t none, defaults;
	int err;

	(void)sigemptyset(&none);
	(void)sigemptyset(&defaults);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		(void)sigaddset(&defaults, plain[i]);
	err = posix_spawnattr_setsigmask(attr, &none);
	if (!err)
		err = posix_spawnattr_setsigdefault(attr, &defaults);
	if (!err)
		err = posix_spawnattr_setpgroup(attr, 0);
	if (!err)
		err = posix_spawnattr_setflags(
			attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
				      POSIX_SPAWN_SETPGROUP);
	return err;
}

/*
 * Start it with `out` for its standard output.  0 or an errno above 0, as
 * posix_spawn(3) has it.
 */
static int spawn(char **argv, int out, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int err;

	err = posix_spawn_file_actions_init(&files);
	if (err)
		return err;
	err = posix_spawnattr_init(&attr);
	if (err)
		goto destroy_files;
	/* In this order: `out` is 0 where that was closed. */
	err = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (!err)
		err = posix_spawn_file_actions_addopen(
			&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!err)
		err = spawn_attributes(&attr);
	if (!err)
		err = posix_spawnp(pid, argv[0], &files, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
destroy_files:
	(void)posix_spawn_file_actions_destroy(&files);
	return err;
}

/* All that comes until the other end is closed. */
static int drain(int fd, int64_t deadline, struct scratch *x)
{
	while (x->len <= SOURCE_MAX) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)left);
		if (n > 0) {
			n = read(fd, x->text + x->len,
				 sizeof(x->text) - x->len);
			if (!n)
				return 0;
		}
		if (n > 0)
			x->len += (size_t)n;
		else if (n < 0 && errno != EINTR)
			return -errno;
	}
	return -EFBIG;
}

static int reap(pid_t pid, int64_t deadline, int *status)
{
	static const struct timespec step = { .tv_nsec = REAP_STEP_NS };

	for (;;) {
		pid_t got = waitpid(pid, status, WNOHANG);

		if (got == pid)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (now_ms() >= deadline)
			return -ETIMEDOUT;
		(void)nanosleep(&step, NULL);
	}
}

/* Run it to its end, whichever comes first.  0 if it came by itself. */
static int watch(pid_t pid, int fd, int limit_ms, struct scratch *x,
		 int *status)
{
	int64_t deadline = now_ms() + limit_ms;
	int err = drain(fd, deadline, x);

	if (!err)
		err = reap(pid, deadline, status);
	if (!err || err == -ECHILD)
		return err;
	(void)kill(-pid, SIGKILL);
	(void)kill(pid, SIGKILL); /* it may have left for another group */
	/* Not for ever: it may have become another user's, as by sudo(8). */
	(void)reap(pid, now_ms() + KILL_MS, status);
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
	int ends[2], err, status = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return fail(s, -errno, why, "%s", strerrordesc_np(errno));
	err = spawn(argv, ends[1], &pid);
	(void)close(ends[1]);
	if (err) {
		(void)close(ends[0]);
		return fail(s, -err, why,
			    "%s: name a program by its absolute path",
			    strerrordesc_np(err));
	}
	err = watch(pid, ends[0], limit_ms, x, &status);
	(void)close(ends[0]);
	if (err == -ETIMEDOUT)
		return fail(s, err, why,
			    "not done within %g s: it must not ask or wait",
			    limit_ms / 1e3);
	if (err == -EFBIG)
		return fail(s, err, why,
			    "more than %zu bytes: it must print the key alone",
			    SOURCE_MAX);
	err = command_verdict(s, err, status, why);
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
