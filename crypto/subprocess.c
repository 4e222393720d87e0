#include "crypto/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/clock.h"

#define KILL_MS      1000 /* what is killed is gone sooner */
#define REAP_STEP_NS 5000000
#define CANCEL_MS    200

/* What we have of a program that runs. */
struct running {
	struct subprocess *p;
	pid_t pid;
	int out, said; /* our ends of its pipes; -1: none, or it is closed */
	uint64_t deadline; /* clock_ms() */
};

/* In the child: what it must not have of us.  Between fork and exec. */
static void become_plain(void)
{
	static const int plain[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM };
	sigset_t none;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		(void)signal(plain[i], SIG_DFL);
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	/* A mount that is interrupted leaves nobody behind. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/*
 * As execvp(3), which would give what is no program to a shell.  Returns with
 * the error in errno.
 */
static void execute(char **argv, const char *path)
{
	int denied = 0;

	if (strchr(argv[0], '/')) {
		(void)execv(argv[0], argv);
		return;
	}
	errno = ENOENT;
	while (*path) {
		char whole[PATH_MAX];
		size_t len = strcspn(path, ":");

		if ((size_t)snprintf(whole, sizeof(whole), "%.*s%s%s", (int)len,
				     path, len ? "/" : "./",
				     argv[0]) < sizeof(whole))
			(void)execv(whole, argv);
		if (errno == EACCES)
			denied = 1;
		else if (errno != ENOENT && errno != ENOTDIR)
			return;
		path += len + (path[len] == ':');
	}
	errno = denied ? EACCES : ENOENT;
}

/* The rest of it.  Returns if the program cannot be run: errno says why. */
static void become(char **argv, const char *path, const int ends[2],
		   pid_t parent)
{
	int null;

	become_plain();
	if (getppid() != parent)
		return;
	if (dup2(ends[0], STDOUT_FILENO) < 0 ||
	    (ends[1] >= 0 && dup2(ends[1], STDERR_FILENO) < 0))
		return;
	null = open("/dev/null", O_RDONLY);
	if (null < 0 || (null != STDIN_FILENO && dup2(null, STDIN_FILENO) < 0))
		return;
	execute(argv, path);
}

/* The child of `parent`: `out`, `err` (or -1), and where to say what failed. */
static void child(char **argv, const char *path, const int from[3],
		  pid_t parent)
{
	int ends[2] = { -1, -1 }, back, err;

	/* They may have the numbers of ours that were closed. */
	ends[0] = fcntl(from[0], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (from[1] >= 0)
		ends[1] = fcntl(from[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	back = fcntl(from[2], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (ends[0] >= 0 && back >= 0 && (from[1] < 0 || ends[1] >= 0))
		become(argv, path, ends, parent);
	err = errno;
	(void)!write(back, &err, sizeof(err));
	_exit(127);
}

/*
 * Start it with `out` for its standard output and `err_out`, if it is not
 * -1, for its standard error.  0 or -errno, which comes back through a pipe
 * that a program that runs has closed.
 */
static int spawn(char **argv, int out, int err_out, pid_t *pid)
{
	// NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it any more
	const char *path = getenv("PATH");
	pid_t parent = getpid();
	int said[2], err = 0;
	ssize_t n;

	if (pipe2(said, O_CLOEXEC))
		return -errno;
	*pid = fork();
	if (!*pid) {
		const int from[3] = { out, err_out, said[1] };

		child(argv, path ? path : "/bin:/usr/bin", from, parent);
	}
	if (*pid < 0)
		err = errno;
	(void)close(said[1]);
	do
		n = *pid < 0 ? 0 : read(said[0], &err, sizeof(err));
	while (n < 0 && errno == EINTR);
	(void)close(said[0]);
	if (err && *pid > 0)
		(void)waitpid(*pid, NULL, 0);
	return -err;
}

/* What there is of its standard error, without waiting. */
static void listen_said(struct running *r)
{
	struct subprocess *p = r->p;
	char dropped[512];
	ssize_t n;

	while (r->said >= 0) {
		size_t room = p->said_room - p->said_len;

		n = room ? read(r->said, p->said + p->said_len, room)
			 : read(r->said, dropped, sizeof(dropped));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0) {
			p->said_len += room ? (size_t)n : 0;
			continue;
		}
		(void)close(r->said);
		r->said = -1;
	}
}

/* 0, or why it must end now. */
static int may_go_on(const struct running *r)
{
	if (clock_ms() >= r->deadline)
		return -ETIMEDOUT;
	return r->p->cancel && r->p->cancel(r->p->cancel_arg) ? -EINTR : 0;
}

/* All that comes until the other end is closed. */
static int drain(struct running *r)
{
	struct subprocess *p = r->p;
	int err;

	while (p->len < p->room) {
		struct pollfd fds[] = { { .fd = r->out, .events = POLLIN },
					{ .fd = r->said, .events = POLLIN } };
		int64_t left = (int64_t)(r->deadline - clock_ms());
		ssize_t n;

		err = may_go_on(r);
		if (err)
			return err;
		if (left < 0)
			left = 0;
		if (p->cancel && left > CANCEL_MS)
			left = CANCEL_MS;
		n = poll(fds, 2, (int)left);
		if (n < 0 && errno != EINTR)
			return -errno;
		listen_said(r);
		if (n <= 0 || !fds[0].revents)
			continue;
		n = read(r->out, p->buf + p->len, p->room - p->len);
		if (!n)
			return 0;
		if (n > 0)
			p->len += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return -EFBIG;
}

static int reap(struct running *r, int may_cancel)
{
	static const struct timespec step = { .tv_nsec = REAP_STEP_NS };
	int err;

	for (;;) {
		pid_t got = waitpid(r->pid, &r->p->status, WNOHANG);

		listen_said(r);
		if (got == r->pid)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		err = may_go_on(r);
		if (err == -ETIMEDOUT || (err && may_cancel))
			return err;
		(void)nanosleep(&step, NULL);
	}
}

/* Run it to its end, whichever comes first.  0 if it came by itself. */
static int watch(struct running *r)
{
	int err = drain(r);

	if (!err)
		err = reap(r, 1);
	if (!err || err == -ECHILD)
		return err;
	(void)kill(-r->pid, SIGKILL);
	(void)kill(r->pid, SIGKILL); /* it may have left for another group */
	/* Not for ever: it may have become another user's, as by sudo(8). */
	r->deadline = clock_ms() + KILL_MS;
	(void)reap(r, 0);
	return err;
}

int subprocess_read(char **argv, int limit_ms, struct subprocess *p)
{
	struct running r = { .p = p, .pid = -1, .said = -1 };
	int ends[2], said[2] = { -1, -1 }, err;

	p->started = p->status = 0;
	p->len = p->said_len = 0;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	r.out = ends[0];
	if (p->said && pipe2(said, O_CLOEXEC)) {
		err = -errno;
		(void)close(ends[1]);
		goto close_out;
	}
	r.said = said[0];
	/* Only our end: a program may not expect it of its own. */
	if (p->said && fcntl(said[0], F_SETFL, O_NONBLOCK))
		err = -errno;
	else
		err = spawn(argv, ends[1], said[1], &r.pid);
	(void)close(ends[1]);
	if (said[1] >= 0)
		(void)close(said[1]);
	if (!err) {
		p->started = 1;
		r.deadline = clock_ms() + (uint64_t)limit_ms;
		err = watch(&r);
	}
	if (r.said >= 0)
		(void)close(r.said);
close_out:
	(void)close(r.out);
	return err;
}
