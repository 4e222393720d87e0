#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/cachedir.h"

struct fixture {
	char dir[64];
	char why[256];
	unsigned swept;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	snprintf(x->dir, sizeof(x->dir), "/tmp/dg-cachedir-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(rmdir(x->dir), 0); /* nothing is left */
	free(x);
	return 0;
}

static int open_at(struct fixture *x, struct cachedir **d, const char *parent)
{
	const struct cachedir_conf conf = { .parent = parent };

	return cachedir_open(d, &conf, &x->swept, x->why);
}

static struct cachedir *open_one(struct fixture *x)
{
	struct cachedir *d;

	x->swept = 99;
	assert_int_equal(open_at(x, &d, x->dir), 0);
	return d;
}

static struct cachedir *open_shared(struct fixture *x, int keep)
{
	const struct cachedir_conf conf = { .parent = x->dir,
					    .shared = 1,
					    .keep = keep };
	struct cachedir *d;

	assert_int_equal(cachedir_open(&d, &conf, &x->swept, x->why), 0);
	return d;
}

static void touch_at(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void path_of(struct fixture *x, const char *name, char path[300])
{
	snprintf(path, 300, "%s/%s", x->dir, name);
}

static void made_and_removed(void **state)
{
	struct fixture *x = *state;
	struct cachedir *d = open_one(x);
	struct stat st;
	char path[300];

	assert_int_equal(x->swept, 0);
	assert_int_equal(stat(cachedir_path(d), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_non_null(strstr(cachedir_path(d), "/deltaglider-"));
	touch_at(cachedir_fd(d), "page", "x");
	path_of(x, strrchr(cachedir_path(d), '/') + 1, path);
	cachedir_close(d);
	assert_int_equal(stat(path, &st), -1);
	cachedir_close(NULL);
}

static void bad_parents(void **state)
{
	struct fixture *x = *state;
	struct cachedir *d = NULL;
	char path[300], link[300];

	x->swept = 7;

	path_of(x, "none", path);
	assert_int_equal(open_at(x, &d, path), -ENOENT);
	assert_non_null(strstr(x->why, path));

	path_of(x, "link", link);
	assert_int_equal(symlink(x->dir, link), 0);
	assert_int_equal(open_at(x, &d, link), -ELOOP);
	assert_non_null(strstr(x->why, "symbolic link"));
	assert_int_equal(unlink(link), 0);

	assert_int_equal(chmod(x->dir, 0777), 0);
	assert_int_equal(open_at(x, &d, x->dir), -EPERM);
	assert_non_null(strstr(x->why, "others"));
	assert_null(d);
	assert_int_equal(x->swept, 7);
	assert_int_equal(chmod(x->dir, 01777), 0);
	cachedir_close(open_one(x));

	if (geteuid() == 0) {
		assert_int_equal(chown(x->dir, 1234, 1234), 0);
		assert_int_equal(open_at(x, &d, x->dir), -EPERM);
		assert_non_null(strstr(x->why, "1234"));
		assert_int_equal(chown(x->dir, 0, 0), 0);
	}
}

/* A child that holds a directory with a file in it until it is killed. */
static pid_t holder(struct fixture *x)
{
	int pipefd[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(pipefd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct cachedir *d;

		if (open_at(x, &d, x->dir))
			_exit(1);
		touch_at(cachedir_fd(d), "page", "sealed");
		if (write(pipefd[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipefd[1]);
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	close(pipefd[0]);
	return pid;
}

static void kill_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2; /* . and .. */
}

static void the_dead_are_swept_and_the_living_not(void **state)
{
	struct fixture *x = *state;
	pid_t live = holder(x), dead = holder(x);
	struct cachedir *d = open_one(x);

	assert_int_equal(x->swept, 0);
	assert_int_equal(entries(x->dir), 3);
	cachedir_close(d);
	kill_child(dead);
	d = open_one(x);
	assert_int_equal(x->swept, 1);
	assert_int_equal(entries(x->dir), 2);
	kill_child(live);
	cachedir_close(d);
	d = open_one(x);
	assert_int_equal(x->swept, 1);
	cachedir_close(d);
}

static void what_is_not_ours_stays(void **state)
{
	struct fixture *x = *state;
	char elsewhere[300], path[300], lock[300];
	struct cachedir *d;

	/* A name like ours, but somebody's work in it. */
	path_of(x, "deltaglider-source", path);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(lock, sizeof(lock), "%.200s/lock", path);
	touch_at(AT_FDCWD, lock, "not ours");
	/* A link to a directory that looks like a left-over. */
	path_of(x, "elsewhere", elsewhere);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	char link[300];
	path_of(x, "deltaglider-aaaaaa", link);
	assert_int_equal(symlink(elsewhere, link), 0);

	d = open_one(x);
	assert_int_equal(x->swept, 0);
	cachedir_close(d);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(mkfifo(lock, 0600), 0); /* must not block either */
	d = open_one(x);
	assert_int_equal(x->swept, 0);
	cachedir_close(d);

	assert_int_equal(unlink(link), 0);
	assert_int_equal(rmdir(elsewhere), 0);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(rmdir(path), 0);
}

static void half_made_ones_are_swept(void **state)
{
	struct fixture *x = *state;
	char path[300], lock[300];
	struct cachedir *d;
	int fd;

	/* Killed after mkdir; after the lock was made; while being removed. */
	path_of(x, ".deltaglider-aaaaaa", path);
	assert_int_equal(mkdir(path, 0700), 0);
	path_of(x, "deltaglider-cccccc", path);
	assert_int_equal(mkdir(path, 0700), 0);
	path_of(x, ".deltaglider-bbbbbb", path);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(lock, sizeof(lock), "%.200s/lock", path);
	fd = open(lock, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);

	/* Its maker lives. */
	assert_int_equal(flock(fd, LOCK_EX), 0);
	d = open_one(x);
	assert_int_equal(x->swept, 2);
	cachedir_close(d);
	close(fd);
	d = open_one(x);
	assert_int_equal(x->swept, 1);
	cachedir_close(d);
}

static int exists(struct fixture *x, const char *name)
{
	char path[300];
	struct stat st;

	path_of(x, name, path);
	return !stat(path, &st);
}

static void shared_until_the_last_leaves(void **state)
{
	struct fixture *x = *state;
	struct cachedir *a = open_shared(x, 0), *b = open_shared(x, 0);
	struct cachedir *own;
	char name[64];

	snprintf(name, sizeof(name), "deltaglider-cache-%u",
		 (unsigned)geteuid());
	assert_string_equal(cachedir_path(a), cachedir_path(b));
	assert_string_equal(strrchr(cachedir_path(a), '/') + 1, name);
	touch_at(cachedir_fd(a), "entry", "x");
	own = open_one(x); /* is not swept by another's mount, nor sweeps it */
	assert_int_equal(x->swept, 0);
	cachedir_close(own);
	cachedir_close(a);
	assert_int_equal(faccessat(cachedir_fd(b), "entry", F_OK, 0), 0);
	cachedir_close(b);
	assert_false(exists(x, name));
}

static void kept_if_the_last_is_told_so(void **state)
{
	struct fixture *x = *state;
	struct cachedir *a = open_shared(x, 1), *b;

	touch_at(cachedir_fd(a), "entry", "x");
	cachedir_close(a);
	cachedir_close(open_one(x)); /* which sweeps what is dead */
	b = open_shared(x, 1);
	assert_int_equal(faccessat(cachedir_fd(b), "entry", F_OK, 0), 0);
	cachedir_set_keep(b, 0);
	cachedir_close(b);
}

static void a_shared_one_that_is_not_ours(void **state)
{
	struct fixture *x = *state;
	const struct cachedir_conf conf = { .parent = x->dir, .shared = 1 };
	struct cachedir *d = NULL;
	char name[64], path[300];

	snprintf(name, sizeof(name), "deltaglider-cache-%u",
		 (unsigned)geteuid());
	path_of(x, name, path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(cachedir_open(&d, &conf, &x->swept, x->why), -EPERM);
	assert_non_null(strstr(x->why, name));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_true(cachedir_open(&d, &conf, &x->swept, x->why) < 0);
	assert_int_equal(unlink(path), 0);
	assert_null(d);
}

/* Joins and leaves: whoever is in finds what he put there. */
static void *come_and_go(void *arg)
{
	struct fixture *x = arg;
	uintptr_t bad = 0;

	for (int i = 0; i < 150; i++) {
		const struct cachedir_conf conf = { .parent = x->dir,
						    .shared = 1 };
		struct cachedir *d;
		struct stat a, b;
		char why[256];
		unsigned swept;

		if (cachedir_open(&d, &conf, &swept, why)) {
			bad++;
			continue;
		}
		if (stat(cachedir_path(d), &a) || fstat(cachedir_fd(d), &b) ||
		    a.st_ino != b.st_ino ||
		    faccessat(cachedir_fd(d), "lock", F_OK, 0))
			bad++;
		cachedir_close(d);
	}
	return (void *)bad;
}

static void many_come_and_go(void **state)
{
	struct fixture *x = *state;
	pthread_t threads[6];

	for (size_t i = 0; i < 6; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, come_and_go, x), 0);
	for (size_t i = 0; i < 6; i++) {
		void *bad;

		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(entries(x->dir), 0);
}

#define ROUNDS 150

/* Makes and removes; each must find its own in place while it holds it. */
static void *churn(void *arg)
{
	struct fixture *x = arg;
	uintptr_t bad = 0;

	for (int i = 0; i < ROUNDS; i++) {
		const struct cachedir_conf conf = { .parent = x->dir };
		struct cachedir *d;
		struct stat a, b;
		char why[256];
		unsigned swept;

		if (cachedir_open(&d, &conf, &swept, why)) {
			bad++;
			continue;
		}
		if (stat(cachedir_path(d), &a) || fstat(cachedir_fd(d), &b) ||
		    a.st_ino != b.st_ino ||
		    faccessat(cachedir_fd(d), "lock", F_OK, 0))
			bad++;
		cachedir_close(d);
	}
	return (void *)bad;
}

static void none_is_swept_while_it_is_made(void **state)
{
	struct fixture *x = *state;
	pthread_t threads[6];

	for (size_t i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, x),
				 0);
	for (size_t i = 0; i < 6; i++) {
		void *bad;

		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(entries(x->dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(made_and_removed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bad_parents, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_dead_are_swept_and_the_living_not, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_ours_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(half_made_ones_are_swept, setup,
						teardown),
		cmocka_unit_test_setup_teardown(shared_until_the_last_leaves,
						setup, teardown),
		cmocka_unit_test_setup_teardown(kept_if_the_last_is_told_so,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_shared_one_that_is_not_ours,
						setup, teardown),
		cmocka_unit_test_setup_teardown(many_come_and_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(none_is_swept_while_it_is_made,
						setup, teardown),
	};

	return cmocka_run_group_tests_name("cachedir", tests, NULL, NULL);
}
