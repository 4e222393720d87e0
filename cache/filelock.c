#include "cache/filelock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#define STEP_MIN      250000L
#define STEP_MAX      50000000L
#define LOCK_STEP_MAX 2000000L /* what is waited for is short */
#define PATIENCE      10 /* seconds */

int filelock_try(int fd, int how)
{
	while (flock(fd, how | LOCK_NB) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void pause_up_to(long *step_ns, long max)
{
	struct timespec t = { .tv_nsec = *step_ns };

	if (t.tv_nsec < STEP_MIN)
		t.tv_nsec = STEP_MIN;
	*step_ns = 2 * t.tv_nsec < max ? 2 * t.tv_nsec : max;
	(void)nanosleep(&t, NULL);
}

void filelock_pause(long *step_ns)
{
	pause_up_to(step_ns, STEP_MAX);
}

/* The turn is a record lock of the whole file, of this open file alone. */
static int turn_try(int fd, int how)
{
	struct flock turn = { .l_type = (short)how, .l_whence = SEEK_SET };

	while (fcntl(fd, F_OFD_SETLK, &turn) < 0)
		if (errno != EINTR)
			return errno == EACCES || errno == EAGAIN ? -EWOULDBLOCK
								  : -errno;
	return 0;
}

/* Until `attempt` does not say -EWOULDBLOCK, or patience is at its end. */
static int keep_trying(int (*attempt)(int fd, int how), int fd, int how,
		       const struct timespec *begin)
{
	struct timespec now;
	long step = 0;
	int err;

	while ((err = attempt(fd, how)) == -EWOULDBLOCK) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - begin->tv_sec > PATIENCE)
			return -EBUSY;
		pause_up_to(&step, LOCK_STEP_MAX);
	}
	return err;
}

int filelock_wait(int fd, int how)
{
	struct timespec begin;

	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	return keep_trying(filelock_try, fd, how, &begin);
}

int filelock_take_turn(int fd, int *stuck)
{
	struct timespec begin;
	int turn, err;

	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	if (*stuck)
		begin.tv_sec -= PATIENCE + 1;
	turn = keep_trying(turn_try, fd, F_WRLCK, &begin);
	/* Who is stopped may have no more than the turn. */
	err = !turn || turn == -EBUSY
		      ? keep_trying(filelock_try, fd, LOCK_EX, &begin)
		      : turn;
	/* Giving a lock of ours back cannot fail. */
	if (!turn)
		(void)!turn_try(fd, F_UNLCK);
	*stuck = turn == -EBUSY || err == -EBUSY;
	return err;
}
