#include "fs/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
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
	pid_t pid;

	p->started = p->status = 0;
	p->len = 0;
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	err = spawn(argv, ends[1], &pid);
	(void)close(ends[1]);
	if (err) {
		(void)close(ends[0]);
		return -err;
	}
	p->started = 1;
	err = watch(pid, ends[0], limit_ms, &x, &p->status);
	(void)close(ends[0]);
	p->len = x.len;
	return err;
}
