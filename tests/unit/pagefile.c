#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/budget.h"
#include "cache/pagefile.h"
#include "crypto/aead.h"

#define PAGE  PAGEFILE_PAGE
#define SLOT  (PAGE + AEAD_OVERHEAD)
#define BLOCK 4096

struct fixture {
	char dir[64];
	int dirfd;
	struct aead_key key;
	struct budget budget;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	snprintf(x->dir, sizeof(x->dir), "/tmp/dg-pagefile-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY);
	assert_true(x->dirfd >= 0);
	assert_int_equal(aead_key_random(&x->key), 0);
	budget_init(&x->budget, (uint64_t)64 << 20);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	static const char *const names[] = { "b",      "flip", "model", "one",
					     "sparse", "swap", "two" };

	/* Whatever a test did: all is given back, and nothing is left. */
	assert_int_equal(budget_used(&x->budget), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(x->dirfd, names[i], 0); /* if it made that */
	close(x->dirfd);
	assert_int_equal(rmdir(x->dir), 0);
	budget_clear(&x->budget);
	free(x);
	return 0;
}

/* The descriptor of the last nameless file that this process opened. */
static int nameless_fd(void)
{
	for (int fd = 1023; fd > 2; fd--) {
		char path[32], link[256];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		if (strstr(link, "dg-pagefile-") && strstr(link, "(deleted)"))
			return fd;
	}
	return -1;
}

/* With a name, for the tests alone, under which its bytes are to be found. */
static struct pagefile *make(struct fixture *x, const char *name)
{
	struct pagefile *f;
	char path[32];

	assert_int_equal(pagefile_create(&f, x->dirfd, &x->key, &x->budget), 0);
	if (name) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", nameless_fd());
		assert_int_equal(linkat(AT_FDCWD, path, x->dirfd, name,
					AT_SYMLINK_FOLLOW),
				 0);
	}
	return f;
}
/* xorshift: the same in each run. */
static uint32_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32);
}

static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)next(&seed);
}

static uint8_t *random_bytes(size_t len, uint64_t seed)
{
	uint8_t *p = malloc(len ? len : 1);

	assert_non_null(p);
	fill(p, len, seed);
	return p;
}

static void expect(struct pagefile *f, const uint8_t *want, size_t len,
		   uint64_t off)
{
	uint8_t *got = malloc(len ? len : 1);

	assert_non_null(got);
	assert_int_equal(pagefile_pread(f, got, len, off), len);
	assert_memory_equal(got, want, len);
	free(got);
}

static void odd_offsets(void **state)
{
	static const uint64_t offs[] = { 0,        1,        PAGE - 1,
					 PAGE,     PAGE + 1, 3 * PAGE - 7,
					 5 * PAGE, 100003 };
	static const size_t lens[] = { 1,        27,       PAGE - 1, PAGE,
				       PAGE + 1, 3 * PAGE, 200001 };
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			uint8_t *data = random_bytes(lens[k], 7 + i + k);
			struct pagefile *f = make(x, NULL);
			uint8_t zeros[64] = { 0 };

			assert_int_equal(
				pagefile_pwrite(f, data, lens[k], offs[i]), 0);
			assert_int_equal(pagefile_length(f), offs[i] + lens[k]);
			expect(f, data, lens[k], offs[i]);
			if (offs[i] >= 64)
				expect(f, zeros, 64, offs[i] - 64);
			pagefile_close(f);
			free(data);
		}
	}
}

static void ends(void **state)
{
	struct fixture *x = *state;
	struct pagefile *f = make(x, NULL);
	uint8_t buf[16];

	assert_int_equal(pagefile_pread(f, buf, 16, 0), 0);
	assert_int_equal(pagefile_pwrite(f, "hello", 5, 0), 0);
	assert_int_equal(pagefile_pread(f, buf, 16, 0), 5);
	assert_int_equal(pagefile_pread(f, buf, 16, 4), 1);
	assert_int_equal(pagefile_pread(f, buf, 16, 5), 0);
	assert_int_equal(pagefile_pread(f, buf, 16, UINT64_MAX), 0);
	assert_int_equal(pagefile_pwrite(f, "x", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(pagefile_pwrite(f, "xy", 2, UINT64_MAX - 1), -EFBIG);
	assert_int_equal(pagefile_pwrite(f, "xy", 2, PAGEFILE_MAX - 1), -EFBIG);
	assert_int_equal(pagefile_truncate(f, UINT64_MAX), -EFBIG);
	assert_int_equal(pagefile_truncate(f, PAGEFILE_MAX + 1), -EFBIG);
	assert_int_equal(pagefile_length(f), 5);

	/* The far end works, and holes are free. */
	assert_int_equal(pagefile_pwrite(f, "xy", 2, PAGEFILE_MAX - 2), 0);
	assert_int_equal(pagefile_pread(f, buf, 16, PAGEFILE_MAX - 3), 3);
	assert_memory_equal(buf, "\0xy", 3);
	assert_true(pagefile_disk(f) < 4 * PAGE);
	assert_int_equal(pagefile_truncate(f, 3), 0);
	assert_int_equal(pagefile_pread(f, buf, 16, 0), 3);
	assert_memory_equal(buf, "hel", 3);
	pagefile_close(f);
	pagefile_close(NULL);
}

static void truncate_then_grow_reads_zeros(void **state)
{
	struct fixture *x = *state;
	size_t len = 3 * PAGE + 1234;
	uint8_t *data = random_bytes(len, 3);
	struct pagefile *f = make(x, NULL);
	static const uint64_t cuts[] = { 3 * PAGE + 10, 3 * PAGE, 2 * PAGE + 1,
					 PAGE,          17,       0 };

	assert_int_equal(pagefile_pwrite(f, data, len, 0), 0);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		assert_int_equal(pagefile_truncate(f, cuts[i]), 0);
		assert_int_equal(pagefile_length(f), cuts[i]);
		memset(data + cuts[i], 0, len - cuts[i]);
		assert_int_equal(pagefile_truncate(f, len), 0);
		expect(f, data, len, 0);
	}
	assert_int_equal(pagefile_disk(f), 0);
	pagefile_close(f);
	free(data);
}

/* Blocks that the file system says the file holds. */
static uint64_t disk_of(struct fixture *x, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(x->dirfd, name, &st, 0), 0);
	return (uint64_t)st.st_blocks * 512;
}

#define MODEL_MAX (10 * PAGE)

static void model_step(struct pagefile *f, uint8_t *model, size_t *len,
		       uint64_t *seed)
{
	uint32_t what = next(seed) % 10;
	size_t off = next(seed) % MODEL_MAX;
	size_t n = next(seed) % (what & 1 ? 3 * PAGE : 300);
	uint8_t *data;

	if (next(seed) % 4 == 0)
		off -= off % PAGE;
	if (next(seed) % 4 == 0)
		n += PAGE - n % PAGE;
	if (n > MODEL_MAX - off)
		n = MODEL_MAX - off;
	if (what < 5) {
		data = random_bytes(n, next(seed) | 1);
		assert_int_equal(pagefile_pwrite(f, data, n, off), 0);
		memcpy(model + off, data, n);
		if (n && off + n > *len)
			*len = off + n;
		free(data);
	} else if (what < 7) {
		assert_int_equal(pagefile_truncate(f, off), 0);
		if (off < *len)
			memset(model + off, 0, *len - off);
		*len = off;
	} else {
		data = malloc(n + 1);
		assert_non_null(data);
		if (off > *len)
			off = *len;
		if (n > *len - off)
			n = *len - off;
		assert_int_equal(pagefile_pread(f, data, n, off), n);
		assert_memory_equal(data, model + off, n);
		free(data);
	}
}

static void model(void **state)
{
	struct fixture *x = *state;
	uint8_t *plain = calloc(1, MODEL_MAX);
	struct pagefile *f = make(x, "model");
	uint64_t seed = 0x123456789abcdef;
	size_t len = 0;

	assert_non_null(plain);
	for (int i = 0; i < 6000; i++) {
		model_step(f, plain, &len, &seed);
		assert_int_equal(pagefile_length(f), len);
		/* A file in many pieces has a block that maps them (ext4). */
		assert_true(disk_of(x, "model") <= pagefile_disk(f) + BLOCK);
		assert_int_equal(pagefile_disk(f), budget_used(&x->budget));
		if (i % 50 == 0)
			expect(f, plain, len, 0);
	}
	expect(f, plain, len, 0);
	pagefile_close(f);
	free(plain);
}

static void sparse(void **state)
{
	struct fixture *x = *state;
	struct pagefile *f = make(x, "sparse");
	uint8_t *data = random_bytes(PAGE, 5), *zeros = calloc(1, PAGE);
	uint64_t far = (uint64_t)1000 * PAGE;

	assert_int_equal(pagefile_pwrite(f, data, PAGE, far), 0);
	expect(f, data, PAGE, far);
	expect(f, zeros, PAGE, far / 2 + 5);
	assert_true(disk_of(x, "sparse") <= PAGE + 3 * BLOCK);
	assert_true(pagefile_disk(f) <= PAGE + 3 * BLOCK);
	pagefile_close(f);
	free(data);
	free(zeros);
}

/* The backing file of a named one, to damage it from outside. */
static int backing(struct fixture *x, const char *name)
{
	int fd = openat(x->dirfd, name, O_RDWR);

	assert_true(fd >= 0);
	return fd;
}

static void flip(int fd, uint64_t off, uint8_t mask)
{
	uint8_t c;

	assert_int_equal(pread(fd, &c, 1, (off_t)off), 1);
	c ^= mask;
	assert_int_equal(pwrite(fd, &c, 1, (off_t)off), 1);
}

static void every_flip_is_found(void **state)
{
	struct fixture *x = *state;
	struct pagefile *f = make(x, "flip");
	uint8_t *data = random_bytes(2 * PAGE, 9), *got = malloc(2 * PAGE);
	int fd = backing(x, "flip");

	assert_int_equal(pagefile_pwrite(f, data, 2 * PAGE, 0), 0);
	/* All of nonce and tag, and the text in strides that hit each bit. */
	for (uint64_t at = 0; at < SLOT;) {
		uint8_t mask = (uint8_t)(1U << at % 8);

		flip(fd, SLOT + at, mask);
		memset(got, 0xee, 2 * PAGE);
		assert_int_equal(pagefile_pread(f, got, PAGE, PAGE), -EBADMSG);
		assert_memory_not_equal(got, data + PAGE, 64);
		assert_int_equal(pagefile_pread(f, got, 9, PAGE + 8), -EBADMSG);
		assert_int_equal(pagefile_pwrite(f, "x", 1, PAGE), -EBADMSG);
		expect(f, data, PAGE, 0);
		flip(fd, SLOT + at, mask);
		at += at < 64 || at >= SLOT - 64 ? 1 : 509;
		if (at > SLOT - 64 && at < SLOT - 64 + 509)
			at = SLOT - 64 > at ? SLOT - 64 : at;
	}
	expect(f, data, 2 * PAGE, 0);
	close(fd);
	pagefile_close(f);
	free(data);
	free(got);
}

static void swap_rollback_and_cut_are_found(void **state)
{
	struct fixture *x = *state;
	struct pagefile *f = make(x, "swap");
	uint8_t *data = random_bytes(3 * PAGE, 11), *a = malloc(SLOT),
		*b = malloc(SLOT), *got = malloc(PAGE);
	int fd = backing(x, "swap");

	assert_int_equal(pagefile_pwrite(f, data, 3 * PAGE, 0), 0);
	assert_int_equal(pread(fd, a, SLOT, 0), SLOT);
	assert_int_equal(pread(fd, b, SLOT, SLOT), SLOT);
	assert_int_equal(pwrite(fd, b, SLOT, 0), SLOT);
	assert_int_equal(pwrite(fd, a, SLOT, SLOT), SLOT);
	assert_int_equal(pagefile_pread(f, got, PAGE, 0), -EBADMSG);
	assert_int_equal(pagefile_pread(f, got, PAGE, PAGE), -EBADMSG);
	expect(f, data + 2 * PAGE, PAGE, 2 * PAGE);
	assert_int_equal(pwrite(fd, a, SLOT, 0), SLOT);
	assert_int_equal(pwrite(fd, b, SLOT, SLOT), SLOT);
	expect(f, data, 3 * PAGE, 0);

	/* A version that was genuine once; even with the very same bytes. */
	assert_int_equal(pagefile_pwrite(f, data, PAGE, 0), 0);
	expect(f, data, PAGE, 0);
	assert_int_equal(pwrite(fd, a, SLOT, 0), SLOT);
	assert_int_equal(pagefile_pread(f, got, PAGE, 0), -EBADMSG);
	assert_int_equal(pagefile_pwrite(f, data, PAGE, 0), 0);

	assert_int_equal(ftruncate(fd, (off_t)(2 * SLOT + 100)), 0);
	assert_int_equal(pagefile_pread(f, got, PAGE, 2 * PAGE), -EBADMSG);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pagefile_pread(f, got, PAGE, 0), -EBADMSG);
	close(fd);
	pagefile_close(f);
	free(data);
	free(a);
	free(b);
	free(got);
}

static void other_files_pages_are_foreign(void **state)
{
	struct fixture *x = *state;
	struct pagefile *f = make(x, "one"), *g = make(x, "two");
	uint8_t *data = random_bytes(PAGE, 13), *slot = malloc(SLOT);
	int ff = backing(x, "one"), fg = backing(x, "two");

	assert_int_equal(pagefile_pwrite(f, data, PAGE, 0), 0);
	assert_int_equal(pagefile_pwrite(g, data, PAGE, 0), 0);
	assert_int_equal(pread(ff, slot, SLOT, 0), SLOT);
	assert_int_equal(pwrite(fg, slot, SLOT, 0), SLOT);
	assert_int_equal(pagefile_pread(g, slot, PAGE, 0), -EBADMSG);
	close(ff);
	close(fg);
	pagefile_close(f);
	pagefile_close(g);
	free(data);
	free(slot);
}

static void nothing_readable_on_disk(void **state)
{
	static const char marker[] = "MARKER-of-the-user-in-plain";
	struct fixture *x = *state;
	struct pagefile *f = make(x, NULL);
	size_t len = 0, cap = 4 * PAGE;
	uint8_t *raw = malloc(cap);
	int fd = nameless_fd();
	ssize_t n;

	assert_true(fd >= 0);
	for (; len + sizeof(marker) < 3 * PAGE; len += sizeof(marker))
		assert_int_equal(
			pagefile_pwrite(f, marker, sizeof(marker), len), 0);
	assert_int_equal(pagefile_truncate(f, 2 * PAGE + 100), 0);
	assert_int_equal(pagefile_pwrite(f, marker, sizeof(marker), 5), 0);
	n = pread(fd, raw, cap, 0);
	assert_true(n > (ssize_t)(2 * PAGE));
	assert_null(memmem(raw, (size_t)n, marker, 8));
	/* A buffer of the same length that holds it, to trust the search. */
	memcpy(raw + n - 100, marker, sizeof(marker));
	assert_non_null(memmem(raw, (size_t)n, marker, 8));
	pagefile_close(f);
	free(raw);
}

static void budget_is_kept(void **state)
{
	struct fixture *x = *state;
	size_t len = 20 * PAGE;
	uint8_t *data = random_bytes(len, 17);
	struct pagefile *f = make(x, "b"), *g;
	uint64_t cost = pagefile_cost(len - 5000);

	x->budget.max = cost;
	assert_int_equal(pagefile_pwrite(f, data, len - 5000, 0), 0);
	assert_int_equal(pagefile_disk(f), cost);
	assert_true(disk_of(x, "b") <= cost + BLOCK); /* as in model() */
	assert_int_equal(pagefile_pwrite(f, data, PAGE, len), -ENOSPC);
	assert_int_equal(pagefile_length(f), len - 5000);
	expect(f, data, len - 5000, 0);
	/* Rewriting takes nothing more. */
	assert_int_equal(pagefile_pwrite(f, data, 3 * PAGE, 77), 0);
	g = make(x, NULL);
	assert_int_equal(pagefile_pwrite(g, "x", 1, 0), -ENOSPC);
	assert_int_equal(pagefile_length(g), 0);
	assert_int_equal(pagefile_truncate(f, len / 2), 0);
	assert_true(budget_used(&x->budget) < cost * 6 / 10);
	assert_int_equal(pagefile_pwrite(g, "x", 1, 0), 0);
	pagefile_close(f);
	pagefile_close(g);
	free(data);
}

static void it_has_no_name(void **state)
{
	struct fixture *x = *state;
	struct pagefile *f = make(x, NULL);
	struct stat st;

	assert_int_equal(fstat(nameless_fd(), &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(rmdir(x->dir), 0); /* nothing is in it */
	assert_int_equal(mkdir(x->dir, 0700), 0);
	pagefile_close(f);
}

static void a_full_disk_says_so_at_the_write(void **state)
{
	struct fixture *x = *state;
	uint8_t *data = random_bytes(2 << 20, 19);
	struct pagefile *f;
	uint64_t off = 0;
	int dirfd, err = 0;

	if (mount("none", x->dir, "tmpfs", 0, "size=1m,mode=0700") < 0) {
		print_message("no tmpfs here (%s): skipped\n", strerror(errno));
		free(data);
		skip();
	}
	dirfd = open(x->dir, O_RDONLY | O_DIRECTORY);
	assert_true(dirfd >= 0);
	assert_int_equal(pagefile_create(&f, dirfd, &x->key, &x->budget), 0);
	while (!(err = pagefile_pwrite(f, data + off, 1000, off)))
		off += 1000;
	assert_int_equal(err, -ENOSPC);
	assert_true(off > 900 * 1024);
	assert_true(pagefile_length(f) >= off);
	expect(f, data, off, 0);
	/* All that was accepted has its room: rewriting cannot fail. */
	assert_int_equal(pagefile_pwrite(f, data + 5, off, 0), 0);
	expect(f, data + 5, off, 0);
	assert_int_equal(pagefile_truncate(f, 1000), 0);
	assert_int_equal(pagefile_pwrite(f, data, 500000, 0), 0);
	expect(f, data, 500000, 0);
	pagefile_close(f);
	close(dirfd);
	assert_int_equal(umount(x->dir), 0);
	free(data);
}

struct reader {
	struct pagefile *f;
	const uint8_t *want;
	uint64_t seed;
	int bad;
};

#define SHARED (8 * PAGE + 777)

static void *read_around(void *arg)
{
	struct reader *r = arg;
	uint8_t *got = malloc(SHARED);

	for (int i = 0; i < 300; i++) {
		size_t off = next(&r->seed) % SHARED;
		size_t n = next(&r->seed) % (2 * PAGE);

		if (n > SHARED - off)
			n = SHARED - off;
		r->bad |= pagefile_pread(r->f, got, n, off) != (ssize_t)n ||
			  memcmp(got, r->want + off, n) != 0;
	}
	free(got);
	return NULL;
}

static void many_readers(void **state)
{
	struct fixture *x = *state;
	uint8_t *data = random_bytes(SHARED, 23);
	struct pagefile *f = make(x, NULL);
	struct reader readers[4];
	pthread_t threads[4];

	assert_int_equal(pagefile_pwrite(f, data, SHARED, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		readers[i] = (struct reader){ f, data, i + 1, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, read_around,
						&readers[i]),
				 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].bad, 0);
	}
	pagefile_close(f);
	free(data);
}

/* The worked example of cache/FORMAT.md, byte for byte. */
static void format_example(void **state)
{
	struct aead_key master, key;
	uint8_t id[16], aad[24], slot[AEAD_OVERHEAD + 11], plain[11];

	(void)state;
	for (unsigned i = 0; i < sizeof(master.bytes); i++)
		master.bytes[i] = (uint8_t)i;
	for (unsigned i = 0; i < sizeof(id); i++)
		id[i] = (uint8_t)(0xa0 + i);
	memcpy(aad, id, sizeof(id));
	le64_put(aad + sizeof(id), 2);
	assert_int_equal(
		aead_key_derive(&key, &master, "dg page v1", id, sizeof(id)),
		0);
	assert_int_equal(
		hex_decode(slot, sizeof(slot),
			   "c0c1c2c3c4c5c6c7c8c9cacb816bc91d5cb0d18158c6aa56"
			   "7c24348cd165244a31f963776ea95b"),
		0);
	assert_int_equal(
		aead_open(&key, aad, sizeof(aad), slot, sizeof(slot), plain),
		0);
	assert_memory_equal(plain, "hello world", 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(odd_offsets, setup, teardown),
		cmocka_unit_test_setup_teardown(ends, setup, teardown),
		cmocka_unit_test_setup_teardown(truncate_then_grow_reads_zeros,
						setup, teardown),
		cmocka_unit_test_setup_teardown(model, setup, teardown),
		cmocka_unit_test_setup_teardown(sparse, setup, teardown),
		cmocka_unit_test_setup_teardown(every_flip_is_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(swap_rollback_and_cut_are_found,
						setup, teardown),
		cmocka_unit_test_setup_teardown(other_files_pages_are_foreign,
						setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_readable_on_disk, setup,
						teardown),
		cmocka_unit_test_setup_teardown(budget_is_kept, setup,
						teardown),
		cmocka_unit_test_setup_teardown(it_has_no_name, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_full_disk_says_so_at_the_write, setup, teardown),
		cmocka_unit_test_setup_teardown(many_readers, setup, teardown),
		cmocka_unit_test(format_example),
	};

	return cmocka_run_group_tests_name("pagefile", tests, NULL, NULL);
}
