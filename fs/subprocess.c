#include "fs/subprocess.h"

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

#define KILL_MS      1000 /* what is killed is gone sooner */
#define REAP_STEP_NS 5000000

struct output {
	char *buf;
	size_t room, len;
};

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

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
static void become(char **argv, const char *path, int out, pid_t parent)
{
	int null;

	become_plain();
	if (getppid() != parent)
		return;
	if (dup2(out, STDOUT_FILENO) < 0)
		return;
	null = open("/dev/null", O_RDONLY);
	if (null < 0 || (null != STDIN_FILENO && dup2(null, STDIN_FILENO) < 0))
		return;
	execute(argv, path);
}

/*
 * Start it with `out` for its standard output.  0 or -errno, which comes back
 * through a pipe that a program that runs has closed.
 */
static int spawn(char **argv, int out, pid_t *pid)
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
		/* They may have the numbers of ours that were closed. */
		int away = fcntl(out, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		int back = fcntl(said[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

		if (away >= 0 && back >= 0)
			become(argv, path ? path : "/bin:/usr/bin", away,
			       parent);
		err = errno;
		(void)!write(back, &err, sizeof(err));
		_exit(127);
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

/* All that comes until the other end is closed. */
static int drain(int fd, int64_t deadline, struct output *x)
{
	while (x->len < x->room) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)left);
		if (n > 0) {
			n = read(fd, x->buf + x->len, x->room - x->len);
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
static int watch(pid_t pid, int fd, int limit_ms, struct output *x, int *status)
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

int subprocess_read(char **argv, int limit_ms, struct subprocess *p)
{
	struct output x = { p->buf, p->room, 0 };
	int ends[2], err;
	pid_t pid = -1;

	p->started = p->status = 0;
	p->len = 0;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	err = spawn(argv, ends[1], &pid);
	(void)close(ends[1]);
	if (err) {
		(void)close(ends[0]);
		return err;
	}
	p->started = 1;
	err = watch(pid, ends[0], limit_ms, &x, &p->status);
	(void)close(ends[0]);
	p->len = x.len;
	return err;
}
