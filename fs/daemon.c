#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/log.h"

void daemon_keep_private(void)
{
	const struct rlimit none = { 0, 0 };

	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

static void wait_for_child(int fd, pid_t child)
{
	ssize_t n;
	char c;
	int status;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status)
						       : 1);
}

int daemon_start(struct daemon *d, int foreground, daemon_parent_fn *in_parent,
		 void *arg)
{
	pid_t child, parent = getpid();
	int fds[2];

	d->ready_fd = -1;
	if (foreground)
		return 0;
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child < 0) {
		int err = -errno;

		(void)close(fds[0]);
		(void)close(fds[1]);
		return err;
	}
	if (child) {
		in_parent(arg);
		(void)close(fds[1]);
		wait_for_child(fds[0], child);
	}
	/* Who interrupts the command must not be given a mount later. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	(void)close(fds[0]);
	d->ready_fd = fds[1];
	/* A caller's lock or pipe must not live as long as the mount does. */
	if (fds[1] > 3)
		(void)close_range(3, (unsigned)fds[1] - 1, 0);
	(void)close_range((unsigned)fds[1] + 1, ~0u, 0);
	(void)setsid();
	return 0;
}

void daemon_ready(struct daemon *d)
{
	int null;

	if (d->ready_fd < 0)
		return;
	log_to_syslog();
	if (chdir("/"))
		log_warning("cannot change to the root directory");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		(void)dup2(null, 2);
		if (null > 2)
			(void)close(null);
	}
	(void)prctl(PR_SET_PDEATHSIG, 0);
	/* If the parent is gone there is nobody to tell. */
	if (write(d->ready_fd, "", 1) != 1)
		log_debug("nobody waits for the mount");
	(void)close(d->ready_fd);
	d->ready_fd = -1;
}
