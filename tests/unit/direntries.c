/*
 * What one process finds in the cache directory: what does not belong there,
 * what is damaged, and how much it may be.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/reffile.h"
#include "tests/support/cacheuse.h"

#define MIB     ((uint64_t)1 << 20)
#define SOURCES 6 /* the last is small */
#define LEN(i)  ((i) < SOURCES - 1 ? 300000 + (uint64_t)(i)*70001 : 777)

/* The room that one of `len` bytes is given: blocks, and one for the map. */
#define EACH(len) ((reffile_size(len) + 4095) / 4096 * 4096 + 4096)

#define NAME (2 * CACHEKEY_NAME_LEN + 1)

struct fixture {
	char dir[64];
	char outside[80]; /* a name beside it, which is nobody's business */
	struct aead_key key, other;
	struct cacheuse u;
	struct known k[SOURCES];
	char name[SOURCES][NAME]; /* of their entries */
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct cachekey *key;

	assert_non_null(x);
	snprintf(x->dir, sizeof(x->dir), "/tmp/dg-direntries-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->outside, sizeof(x->outside), "%s.precious", x->dir);
	x->u.dirfd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(x->u.dirfd >= 0);
	x->u.limit = 64 * MIB;
	assert_int_equal(aead_key_random(&x->key), 0);
	assert_int_equal(aead_key_random(&x->other), 0);
	assert_int_equal(cachekey_new(&key, &x->key), 0);
	for (unsigned i = 0; i < SOURCES; i++) {
		assert_int_equal(known_init(&x->k[i], i, LEN(i)), 0);
		assert_int_equal(
			cachekey_name(key, x->k[i].digest, LEN(i), x->name[i]),
			0);
	}
	cachekey_put(key);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	cacheuse_leave(&x->u);
	cacheuse_empty(x->u.dirfd);
	close(x->u.dirfd);
	assert_int_equal(rmdir(x->dir), 0);
	for (unsigned i = 0; i < SOURCES; i++)
		known_clear(&x->k[i]);
	free(x);
	return 0;
}

static void use_under(struct fixture *x, const struct aead_key *key)
{
	cacheuse_leave(&x->u);
	assert_int_equal(cacheuse_open(&x->u, key), 0);
}

static void use(struct fixture *x)
{
	use_under(x, &x->key);
}

/* It comes at once: nobody is there to be waited for. */
static void expect(struct fixture *x, unsigned i)
{
	time_t since = time(NULL);

	assert_int_equal(cacheuse_see(&x->u, &x->k[i]), 0);
	assert_true(time(NULL) - since < 5);
}

static void expect_kept(struct fixture *x, unsigned i, int kept)
{
	assert_int_equal(cacheuse_see_kept(&x->u, &x->k[i]),
			 kept ? 0 : -ENOTCONN);
}

static void clear(struct fixture *x)
{
	assert_int_equal(refs_clear(x->u.refs), 0);
}

static struct backend_stats stats(struct fixture *x)
{
	struct refs_stats st;

	refs_stats(x->u.refs, &st);
	return st.backend;
}

static unsigned names(struct fixture *x, char one[256])
{
	return cacheuse_names(x->u.dirfd, one);
}

static uint64_t disk(struct fixture *x)
{
	return cacheuse_disk(x->u.dirfd);
}

/* The tally says what is there, and nothing is when it has been cleared. */
static void expect_order(struct fixture *x)
{
	struct cacheuse_tally t;
	char name[256];

	clear(x);
	if (names(x, name))
		fail_msg("%s was left", name);
	assert_int_equal(cacheuse_tally(x->u.dirfd, &t), 0);
	assert_int_equal(t.bytes, 0);
	assert_int_equal(t.entries, 0);
	assert_int_equal(t.doomed, 0);
	cacheuse_leave(&x->u);
}

/* What may be in the way, under any name. */
enum kind { PLAIN, LINK, DANGLING, FIFO, SOCKET, EMPTY_DIR, FULL_DIR, KINDS };

static void plant_socket(struct fixture *x, const char *name)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	assert_true(s >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", x->dir, name);
	assert_int_equal(bind(s, (const struct sockaddr *)&a, sizeof(a)), 0);
	close(s);
}

static void plant_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "alien", 5), 5);
	close(fd);
}

static void plant(struct fixture *x, const char *name, enum kind kind)
{
	int dirfd = x->u.dirfd, fd;

	switch (kind) {
	case PLAIN:
		plant_file(dirfd, name);
		break;
	case LINK:
		assert_int_equal(symlinkat(x->outside, dirfd, name), 0);
		break;
	case DANGLING:
		assert_int_equal(symlinkat("nowhere", dirfd, name), 0);
		break;
	case FIFO:
		assert_int_equal(mkfifoat(dirfd, name, 0600), 0);
		break;
	case SOCKET:
		plant_socket(x, name);
		break;
	default:
		assert_int_equal(mkdirat(dirfd, name, 0700), 0);
		if (kind != FULL_DIR)
			break;
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY);
		assert_true(fd >= 0);
		plant_file(fd, "inside");
		close(fd);
	}
}

static void aliens_are_counted(void **state)
{
	struct fixture *x = *state;

	plant(x, "a", PLAIN);
	plant(x, "b", LINK);
	plant(x, "c", FIFO);
	plant(x, "d", EMPTY_DIR);
	plant(x, "e", SOCKET);
	plant(x, "0123456789abcdef0123456789abcdee", LINK);
	plant(x, "0123456789abcdef0123456789abcdef", PLAIN);
	/* What a process that was killed may have left is none. */
	plant(x, "0123456789abcdef0123456789abcdef.part", PLAIN);
	use(x);
	assert_int_equal(x->u.events[CACHE_ALIEN], 6);
	assert_int_equal(x->u.events[CACHE_DAMAGED], 1);
	assert_int_equal(stats(x).corruptions, 7);
	assert_int_equal(stats(x).entries, 0);
	assert_int_equal(stats(x).bytes, 0);
	assert_int_equal(names(x, NULL), 0);
}

static void entries_of_another_key_go(void **state)
{
	struct fixture *x = *state;

	use(x);
	for (unsigned i = 0; i < 3; i++)
		expect(x, i);
	use_under(x, &x->other);
	assert_int_equal(x->u.events[CACHE_FOREIGN], 3);
	assert_int_equal(x->u.events[CACHE_DAMAGED], 0);
	assert_int_equal(stats(x).foreign, 3);
	assert_int_equal(stats(x).corruptions, 0);
	assert_int_equal(stats(x).bytes, 0);
	assert_int_equal(names(x, NULL), 0);
	expect(x, 0);
	assert_int_equal(x->k[0].fetches, 2);
	use_under(x, &x->other);
	assert_int_equal(x->u.events[CACHE_FOREIGN], 0);
	expect_kept(x, 0, 1);
}

/* Ways to harm a file. */
enum harm {
	IN_THE_HEAD,
	IN_A_PAGE, /* which is seen when that is read, not before */
	IN_THE_LAST_TAG,
	EMPTY,
	HALF_A_HEAD,
	SHORT,
	LONG,
	ZEROS,
	RENAMED, /* over another one */
	SWAPPED,
	HARMS
};

static void flip(int fd, off_t at)
{
	uint8_t c;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 4;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
}

static void harm(struct fixture *x, enum harm how)
{
	int dirfd = x->u.dirfd, fd = openat(dirfd, x->name[0], O_RDWR);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (how == IN_THE_HEAD)
		flip(fd, 100);
	else if (how == IN_A_PAGE)
		flip(fd, 200000);
	else if (how == IN_THE_LAST_TAG)
		flip(fd, st.st_size - 1);
	else if (how == HALF_A_HEAD)
		assert_int_equal(ftruncate(fd, 50), 0);
	else if (how == SHORT)
		assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	else if (how == LONG)
		assert_int_equal(ftruncate(fd, st.st_size + 1), 0);
	else if (how == EMPTY || how == ZEROS)
		assert_int_equal(ftruncate(fd, 0), 0);
	if (how == ZEROS)
		assert_int_equal(ftruncate(fd, st.st_size), 0);
	if (how == SWAPPED) {
		assert_int_equal(renameat(dirfd, x->name[1], dirfd, "x"), 0);
		assert_int_equal(renameat(dirfd, x->name[0], dirfd, x->name[1]),
				 0);
		assert_int_equal(renameat(dirfd, "x", dirfd, x->name[0]), 0);
	} else if (how == RENAMED) {
		assert_int_equal(renameat(dirfd, x->name[0], dirfd, x->name[1]),
				 0);
	}
	close(fd);
}

/* Harmed while nobody uses the directory, or while it is used. */
static void harmed(struct fixture *x, enum harm how, int in_use)
{
	int late = how == IN_A_PAGE || how == IN_THE_LAST_TAG;
	unsigned bad = how == SWAPPED ? 2 : 1;

	use(x);
	expect(x, 0);
	expect(x, 1);
	if (!in_use)
		cacheuse_leave(&x->u);
	harm(x, how);
	if (!in_use) {
		use(x);
		assert_int_equal(x->u.events[CACHE_DAMAGED], late ? 0 : bad);
	}
	if (late)
		assert_int_equal(cacheuse_see(&x->u, &x->k[0]), -EBADMSG);
	expect(x, 0);
	expect(x, 1);
	expect_kept(x, 0, 1);
	expect_kept(x, 1, 1);
	assert_int_equal(x->u.events[CACHE_DAMAGED], bad);
	assert_int_equal(stats(x).corruptions, bad);
	assert_int_equal(stats(x).clear_pending, 0);
	assert_int_equal(names(x, NULL), 2);
	expect_order(x);
}

static void damage_is_dropped_and_fetched_again(void **state)
{
	for (unsigned how = 0; how < HARMS; how++)
		for (int in_use = 0; in_use < 2; in_use++)
			harmed(*state, (enum harm)how, in_use);
}

static void damage_under_a_holder(void **state)
{
	struct fixture *x = *state;
	struct ref *held;
	uint8_t c;

	use(x);
	assert_int_equal(cacheuse_get(&x->u, &x->k[0], &held), 0);
	harm(x, ZEROS);
	assert_int_equal(ref_read(held, &c, 1, 100000), -EBADMSG);
	assert_int_equal(stats(x).clear_pending, 1);
	assert_int_equal(stats(x).entries, 0);
	expect(x, 0);
	assert_int_equal(x->k[0].fetches, 2);
	ref_put(held);
	expect_kept(x, 0, 1);
	assert_int_equal(x->u.events[CACHE_DAMAGED], 1);
	expect_order(x);
}

static void a_limit_that_moves(void **state)
{
	struct fixture *x = *state;
	const struct backend_ops *ops;
	struct ref *held;
	uint64_t full;

	use(x);
	ops = x->u.backend->ops;
	for (unsigned i = 0; i < SOURCES; i++)
		expect(x, i);
	full = disk(x);
	assert_int_equal(cacheuse_get(&x->u, &x->k[0], &held), 0);
	for (uint64_t limit = full - 1; limit > EACH(LEN(0)) + (40 << 10);
	     limit -= full / 9) {
		ops->set_limit(x->u.backend, limit, 0);
		assert_true(disk(x) <= limit);
	}
	expect_kept(x, 0, 1);
	assert_true(known_is(&x->k[0], held));
	/* Less than what is held: that stays, nothing comes. */
	ops->set_limit(x->u.backend, 1, 0);
	assert_int_equal(names(x, NULL), 1);
	expect(x, 1);
	expect_kept(x, 1, 0);
	ref_put(held);
	ops->set_limit(x->u.backend, 64 * MIB, 0);
	expect(x, 1);
	expect_kept(x, 1, 1);
	assert_int_equal(stats(x).limit, 64 * MIB);
}

static void who_comes_with_a_lower_limit(void **state)
{
	struct fixture *x = *state;
	uint64_t full;

	use(x);
	for (unsigned i = 0; i < SOURCES; i++)
		expect(x, i);
	full = disk(x);
	for (unsigned n = 1; n < 4; n++) {
		cacheuse_leave(&x->u);
		x->u.limit = full - n * full / 4;
		use(x);
		assert_true(disk(x) <= x->u.limit);
	}
	/* And one with which nothing is kept works too. */
	cacheuse_leave(&x->u);
	x->u.limit = 0;
	use(x);
	assert_int_equal(names(x, NULL), 0);
	expect(x, 0);
	expect_kept(x, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(aliens_are_counted),
		TEST(entries_of_another_key_go),
		TEST(damage_is_dropped_and_fetched_again),
		TEST(damage_under_a_holder),
		TEST(a_limit_that_moves),
		TEST(who_comes_with_a_lower_limit),
	};

	return cmocka_run_group_tests_name("direntries", tests, NULL, NULL);
}
