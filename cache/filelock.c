#include "cache/filelock.h"

#include <errno.h>
#include <sys/file.h>
#include <time.h>

#define STEP_MIN 250000L
#define STEP_MAX 50000000L
#define PATIENCE 10 /* seconds */

int filelock_try(int fd, int how)
{
	while (flock(fd, how | LOCK_NB) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

void filelock_pause(long *step_ns)
{
	struct timespec t = { .tv_nsec = *step_ns };

	if (t.tv_nsec < STEP_MIN)
		t.tv_nsec = STEP_MIN;
	*step_ns = 2 * t.tv_nsec < STEP_MAX ? 2 * t.tv_nsec : STEP_MAX;
	(void)nanosleep(&t, NULL);
}

int filelock_wait(int fd, int how)
{
	struct timespec begin, now;
	long step = 0;
	int err;

	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	while ((err = filelock_try(fd, how)) == -EWOULDBLOCK) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - begin.tv_sec > PATIENCE)
			return -EBUSY;
		filelock_pause(&step);
	}
	return err;
}
