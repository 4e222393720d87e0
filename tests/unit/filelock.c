#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/filelock.h"

#define PROCESSES 6
#define TURNS     3000

struct shared {
	atomic_uint turns; /* of all */
	atomic_uint got[PROCESSES];
	atomic_uint inside, bad;
};

static char path[] = "/tmp/dg-filelock-XXXXXX";

/* Takes it, keeps it for a while, gives it back and wants it again at once. */
static void greedy(struct shared *s, unsigned me)
{
	const struct timespec while_held = { .tv_nsec = 200000 };
	int fd = open(path, O_RDWR | O_CLOEXEC), stuck = 0;

	while (fd >= 0 && atomic_load(&s->turns) < TURNS) {
		if (filelock_take_turn(fd, &stuck) ||
		    atomic_fetch_add(&s->inside, 1) != 0)
			atomic_fetch_add(&s->bad, 1);
		(void)nanosleep(&while_held, NULL);
		atomic_fetch_sub(&s->inside, 1);
		atomic_fetch_add(&s->got[me], 1);
		atomic_fetch_add(&s->turns, 1);
		(void)flock(fd, LOCK_UN);
	}
	_exit(fd < 0);
}

static void everybody_gets_his_turn(void **state)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = mkstemp(path), status;

	(void)state;
	assert_true(s != MAP_FAILED);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			greedy(s, i);
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(s->bad, 0);
	/* Without turns one has it hundreds of times while another waits. */
	for (unsigned i = 0; i < PROCESSES; i++)
		assert_true(s->got[i] > TURNS / PROCESSES / 5);
	assert_int_equal(unlink(path), 0);
	close(fd);
	munmap(s, sizeof(*s));
}

static void it_is_one_open_files(void **state)
{
	char name[] = "/tmp/dg-filelock-XXXXXX";
	int a = mkstemp(name), b = open(name, O_RDWR | O_CLOEXEC), stuck = 0;

	(void)state;
	assert_true(a >= 0 && b >= 0);
	assert_int_equal(filelock_take_turn(a, &stuck), 0);
	assert_int_equal(filelock_try(b, LOCK_SH), -EWOULDBLOCK);
	close(a);
	assert_int_equal(filelock_take_turn(b, &stuck), 0);
	close(b);
	assert_int_equal(unlink(name), 0);
}

/* Who is stopped keeps the lock, or only his turn: that is waited for once. */
static void it_is_waited_for_once(void **state)
{
	struct flock turn = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char name[] = "/tmp/dg-filelock-XXXXXX";
	int a = mkstemp(name), b = open(name, O_RDWR | O_CLOEXEC), stuck = 0;

	(void)state;
	assert_true(a >= 0 && b >= 0);
	assert_int_equal(filelock_try(a, LOCK_EX), 0);
	assert_int_equal(filelock_take_turn(b, &stuck), -EBUSY);
	assert_true(stuck);
	/* More than a test may take, if each waited. */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(filelock_take_turn(b, &stuck), -EBUSY);
	assert_int_equal(fcntl(a, F_OFD_SETLK, &turn), 0);
	assert_int_equal(flock(a, LOCK_UN), 0);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(filelock_take_turn(b, &stuck), 0);
		assert_true(stuck);
		assert_int_equal(flock(b, LOCK_UN), 0);
	}
	close(a);
	assert_int_equal(filelock_take_turn(b, &stuck), 0);
	assert_false(stuck);
	close(b);
	assert_int_equal(unlink(name), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_gets_his_turn),
		cmocka_unit_test(it_is_one_open_files),
		cmocka_unit_test(it_is_waited_for_once),
	};

	return cmocka_run_group_tests_name("filelock", tests, NULL, NULL);
}
