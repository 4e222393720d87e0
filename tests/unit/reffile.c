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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/reffile.h"
#include "cache/sealing.h"
#include "crypto/aead.h"

#define PAGE SEALING_PAGE
#define SLOT SEALING_SLOT
#define HEAD 128

struct fixture {
	char dir[64];
	int dirfd;
	struct cachekey *key, *other;
};

static struct cachekey *new_key(void)
{
	struct aead_key master;
	struct cachekey *k;

	assert_int_equal(aead_key_random(&master), 0);
	assert_int_equal(cachekey_new(&k, &master), 0);
	aead_key_wipe(&master);
	return k;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	snprintf(x->dir, sizeof(x->dir), "/tmp/dg-reffile-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY);
	assert_true(x->dirfd >= 0);
	x->key = new_key();
	x->other = new_key();
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	cachekey_put(x->key);
	cachekey_put(x->other);
	close(x->dirfd);
	assert_int_equal(rmdir(x->dir), 0);
	free(x);
	return 0;
}

/* xorshift: the same in each run. */
static uint32_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32);
}

/* The content of a reference, and what it was sealed as. */
struct made {
	uint64_t len, size;
	uint8_t *plain, *sealed;
	uint8_t digest[DIGEST_LEN];
};

static void plain_make(struct made *m, uint64_t len, uint64_t seed)
{
	m->len = len;
	m->size = reffile_size(len);
	m->plain = malloc(len ? (size_t)len : 1);
	assert_non_null(m->plain);
	for (uint64_t i = 0; i < len; i++)
		m->plain[i] = (uint8_t)next(&seed);
	assert_int_equal(digest_buffer(m->plain, (size_t)len, m->digest), 0);
}

/* A file without a name that holds `size` bytes. */
static int file_with(struct fixture *x, const uint8_t *bytes, size_t size)
{
	int fd = openat(x->dirfd, "file", O_CREAT | O_EXCL | O_RDWR, 0600);

	assert_true(fd >= 0);
	assert_int_equal(unlinkat(x->dirfd, "file", 0), 0);
	assert_int_equal(pwrite(fd, bytes, size, 0), size);
	return fd;
}

static struct reffile *begin(struct fixture *x, const struct made *m,
			     const struct medium *medium)
{
	struct reffile *f;

	assert_int_equal(reffile_new(&f, medium, x->key, m->digest, m->len), 0);
	return f;
}

static void feed(struct reffile *f, const struct made *m, uint64_t upto,
		 size_t step)
{
	for (uint64_t off = 0; off < upto; off += step) {
		size_t n = upto - off < step ? (size_t)(upto - off) : step;

		assert_int_equal(reffile_append(f, m->plain + off, n), 0);
	}
}

/* Seal it, and keep what lies in the file. */
static void seal(struct fixture *x, struct made *m, uint64_t len, uint64_t seed)
{
	struct reffile *f;
	struct medium medium;
	struct stat st;
	int fd;

	plain_make(m, len, seed);
	fd = file_with(x, NULL, 0);
	medium = medium_file(fd);
	f = begin(x, m, &medium);
	feed(f, m, len, 10007);
	assert_int_equal(reffile_finish(f), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, m->size);
	m->sealed = malloc((size_t)m->size);
	assert_non_null(m->sealed);
	assert_int_equal(pread(fd, m->sealed, (size_t)m->size, 0), m->size);
	reffile_close(f);
}

static void made_clear(struct made *m)
{
	free(m->plain);
	free(m->sealed);
}

static void expect(struct reffile *f, const struct made *m, uint64_t off,
		   size_t len)
{
	uint8_t *got = malloc(len ? len : 1);

	assert_non_null(got);
	assert_int_equal(reffile_read(f, got, len, off), 0);
	assert_memory_equal(got, m->plain + off, len);
	free(got);
}

/* Some bytes in the middle of each page, and around its ends. */
static void expect_all(struct reffile *f, const struct made *m)
{
	uint8_t c[2];

	expect(f, m, 0, (size_t)m->len);
	for (uint64_t at = 0; at < m->len; at += PAGE / 2) {
		uint64_t from = at ? at - 1 : 0;
		uint64_t n = m->len - from < 3 ? m->len - from : 3;

		expect(f, m, from, (size_t)n);
	}
	if (m->len)
		expect(f, m, m->len - 1, 1);
	expect(f, m, m->len, 0);
	assert_int_equal(reffile_read(f, c, 1, m->len), -ERANGE);
	assert_int_equal(reffile_read(f, c, 0, m->len + 1), -ERANGE);
	assert_int_equal(reffile_read(f, c, 2, UINT64_MAX), -ERANGE);
}

static void medium_make(struct fixture *x, struct medium *out, int memory,
			uint64_t size)
{
	if (memory)
		assert_int_equal(medium_memory(out, size), 0);
	else
		*out = medium_file(file_with(x, NULL, 0));
}

static void round_trip(struct fixture *x, uint64_t len, size_t step, int memory)
{
	struct medium medium, again;
	struct made m = { 0 };
	struct reffile *f;

	plain_make(&m, len, len + step);
	medium_make(x, &medium, memory, m.size);
	f = begin(x, &m, &medium);
	feed(f, &m, len, step);
	assert_int_equal(reffile_finish(f), 0);
	expect_all(f, &m);
	assert_int_equal(reffile_fd(f), medium.fd);
	if (!memory) {
		/* Another process has nothing but the file. */
		again = medium_file(dup(medium.fd));
		reffile_close(f);
		assert_int_equal(reffile_open(&f, &again, x->key), 0);
		expect_all(f, &m);
	}
	assert_memory_equal(reffile_digest(f), m.digest, DIGEST_LEN);
	assert_int_equal(reffile_length(f), len);
	assert_true(reffile_is_under(f, x->key));
	assert_false(reffile_is_under(f, x->other));
	reffile_close(f);
	made_clear(&m);
}

static void what_goes_in_comes_out(void **state)
{
	static const uint64_t lens[] = { 0,
					 1,
					 2,
					 4095,
					 4096,
					 PAGE - 1,
					 PAGE,
					 PAGE + 1,
					 2 * PAGE - 1,
					 2 * PAGE,
					 5 * PAGE + 12345 };
	static const size_t steps[] = { 1, 7, 4096, PAGE, PAGE + 1, 4 * PAGE };

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++)
			for (int memory = 0; memory < 2; memory++)
				round_trip(*state, lens[i], steps[k], memory);
	reffile_close(NULL);
}

static void its_size_is_known_beforehand(void **state)
{
	(void)state;
	assert_int_equal(reffile_size(0), HEAD);
	assert_int_equal(reffile_size(1), HEAD + 1 + AEAD_OVERHEAD);
	assert_int_equal(reffile_size(PAGE), HEAD + SLOT);
	assert_int_equal(reffile_size(PAGE + 1),
			 HEAD + SLOT + 1 + AEAD_OVERHEAD);
	assert_int_equal(reffile_size((uint64_t)1 << 43),
			 HEAD + ((uint64_t)1 << 27) * SLOT);
}

static void nothing_of_it_is_in_the_clear(void **state)
{
	struct fixture *x = *state;
	struct made m;

	seal(x, &m, 3 * PAGE + 100, 1);
	for (uint64_t i = 0; i + 8 <= m.len; i += 1009)
		assert_null(memmem(m.sealed, (size_t)m.size, m.plain + i, 8));
	assert_null(memmem(m.sealed, (size_t)m.size, m.digest, 8));
	assert_null(memmem(m.sealed, (size_t)m.size,
			   cachekey_master(x->key)->bytes, 8));
	made_clear(&m);
}

/*
 * What these bytes are taken for: 0 if they are the reference; -EBADMSG where
 * reading finds out; 1 if they cannot even be opened, and then why.
 */
static int judge(struct fixture *x, const struct made *m, int fd, int *why)
{
	struct medium medium = medium_file(dup(fd));
	uint8_t *got = malloc(m->len ? (size_t)m->len : 1);
	struct reffile *f;
	int err;

	assert_non_null(got);
	*why = reffile_open(&f, &medium, x->key);
	if (*why) {
		assert_int_equal(close(medium.fd), 0); /* it was left to us */
		free(got);
		return 1;
	}
	assert_int_equal(reffile_length(f), m->len);
	assert_memory_equal(reffile_digest(f), m->digest, DIGEST_LEN);
	err = reffile_read(f, got, (size_t)m->len, 0);
	if (!err)
		assert_memory_equal(got, m->plain, m->len);
	reffile_close(f);
	free(got);
	return err;
}

/* One bit changed at `at`. */
static void flipped(struct fixture *x, const struct made *m, int fd,
		    uint64_t at, unsigned bit)
{
	uint8_t c = (uint8_t)(m->sealed[at] ^ 1u << bit);
	int why;

	assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
	if (at >= HEAD) {
		assert_int_equal(judge(x, m, fd, &why), -EBADMSG);
	} else {
		assert_int_equal(judge(x, m, fd, &why), 1);
		assert_int_equal(why, at >= 16 && at < 32 ? -EKEYREJECTED
							  : -EBADMSG);
	}
	assert_int_equal(pwrite(fd, &m->sealed[at], 1, (off_t)at), 1);
}

static void every_bit_of_a_small_one_counts(void **state)
{
	struct fixture *x = *state;
	struct made m;
	int fd, why;

	seal(x, &m, 300, 2);
	fd = file_with(x, m.sealed, (size_t)m.size);
	for (uint64_t i = 0; i < m.size; i++)
		for (unsigned bit = 0; bit < 8; bit++)
			flipped(x, &m, fd, i, bit);
	assert_int_equal(judge(x, &m, fd, &why), 0);
	close(fd);
	made_clear(&m);
}

static void every_part_of_a_larger_one_counts(void **state)
{
	struct fixture *x = *state;
	struct made m;
	int fd, why;

	seal(x, &m, 2 * PAGE + 50, 3);
	fd = file_with(x, m.sealed, (size_t)m.size);
	for (uint64_t i = 0; i < m.size; i += 509)
		flipped(x, &m, fd, i, (unsigned)i % 8);
	/* Nonces, tags, and what lies beside them. */
	for (uint64_t slot = HEAD; slot < m.size; slot += SLOT)
		for (uint64_t i = slot < 40 ? 0 : slot - 40;
		     i < slot + 40 && i < m.size; i++)
			flipped(x, &m, fd, i, 0);
	assert_int_equal(judge(x, &m, fd, &why), 0);
	close(fd);
	made_clear(&m);
}

/* Cut off at `len`: what is whole before is read, and nothing else. */
static void cut_at(struct fixture *x, const struct made *m, uint64_t len)
{
	int fd = file_with(x, m->sealed, (size_t)len), why;

	if (len < HEAD) {
		assert_int_equal(judge(x, m, fd, &why), 1);
		assert_int_equal(why, -EBADMSG);
	} else {
		assert_int_equal(judge(x, m, fd, &why),
				 len < m->size ? -EBADMSG : 0);
	}
	/* The same, and zeros up to its length: blocks that were lost. */
	assert_int_equal(ftruncate(fd, (off_t)m->size), 0);
	if (len < m->size)
		assert_int_not_equal(judge(x, m, fd, &why), 0);
	close(fd);
}

static void cut_off_anywhere(void **state)
{
	struct fixture *x = *state;
	struct made m;

	seal(x, &m, 300, 4);
	for (uint64_t len = 0; len <= m.size; len++)
		cut_at(x, &m, len);
	made_clear(&m);
	seal(x, &m, 2 * PAGE + 1, 5);
	for (uint64_t at = HEAD; at < m.size; at += SLOT)
		for (uint64_t len = at - 30; len < at + 30; len++)
			cut_at(x, &m, len < m.size ? len : m.size);
	made_clear(&m);
}

static void pages_of_whole_ones_are_read_though_others_are_lost(void **state)
{
	struct fixture *x = *state;
	struct medium medium;
	struct reffile *f;
	struct made m;
	uint8_t c;
	int fd;

	seal(x, &m, 3 * PAGE, 6);
	m.sealed[HEAD + SLOT + 5] ^= 1;
	fd = file_with(x, m.sealed, (size_t)m.size);
	medium = medium_file(fd);
	assert_int_equal(reffile_open(&f, &medium, x->key), 0);
	expect(f, &m, 0, PAGE);
	expect(f, &m, 2 * PAGE, PAGE);
	assert_int_equal(reffile_read(f, &c, 1, PAGE), -EBADMSG);
	assert_int_equal(reffile_read(f, &c, 1, 2 * PAGE - 1), -EBADMSG);
	reffile_close(f);
	made_clear(&m);
}

/* A stretch of one image in place of another's. */
static void swapped(struct fixture *x, const struct made *to, uint64_t at,
		    const uint8_t *from, size_t len)
{
	uint8_t *image = malloc((size_t)to->size);
	int fd, why;

	assert_non_null(image);
	memcpy(image, to->sealed, (size_t)to->size);
	memcpy(image + at, from, len);
	fd = file_with(x, image, (size_t)to->size);
	assert_int_equal(judge(x, to, fd, &why), -EBADMSG);
	close(fd);
	free(image);
}

static void pages_open_in_their_place_only(void **state)
{
	struct fixture *x = *state;
	struct made a, b, again;

	seal(x, &a, 3 * PAGE, 7);
	seal(x, &b, 3 * PAGE, 8);
	seal(x, &again, 3 * PAGE, 7); /* the same content, sealed anew */
	assert_memory_equal(a.plain, again.plain, a.len);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t at = HEAD + i * SLOT;
		uint64_t other = HEAD + (i + 1) % 3 * SLOT;

		swapped(x, &a, at, a.sealed + other, SLOT); /* within */
		swapped(x, &a, at, b.sealed + at, SLOT); /* between */
		swapped(x, &a, at, again.sealed + at, SLOT);
		swapped(x, &b, other, a.sealed + at, SLOT);
	}
	/* All pages of another, under the right head. */
	swapped(x, &a, HEAD, again.sealed + HEAD, 3 * SLOT);
	made_clear(&a);
	made_clear(&b);
	made_clear(&again);
}

/* Heads that are right by themselves, over what is not theirs. */
static void heads_say_what_they_were_made_for(void **state)
{
	struct fixture *x = *state;
	struct made a, b, c;
	int fd, why;

	seal(x, &a, PAGE, 9);
	seal(x, &b, PAGE, 10);
	seal(x, &c, PAGE, 9);
	swapped(x, &a, 0, c.sealed, HEAD); /* its length and digest are right */

	/* A file in place of another is the other one, and says so. */
	fd = file_with(x, b.sealed, (size_t)b.size);
	assert_int_equal(judge(x, &b, fd, &why), 0);
	/* The sealed half of one with the clear half of another. */
	assert_int_equal(pwrite(fd, a.sealed, 48, 0), 48);
	assert_int_equal(judge(x, &b, fd, &why), 1);
	assert_int_equal(why, -EBADMSG);
	close(fd);
	made_clear(&a);
	made_clear(&b);
	made_clear(&c);
}

static void another_key_opens_nothing(void **state)
{
	struct fixture *x = *state;
	struct medium medium;
	struct reffile *f = NULL;
	struct made m;
	int fd;

	seal(x, &m, 300, 11);
	fd = file_with(x, m.sealed, (size_t)m.size);
	medium = medium_file(fd);
	assert_int_equal(reffile_open(&f, &medium, x->other), -EKEYREJECTED);
	/* Nor if it claims to be sealed under that. */
	assert_int_equal(pwrite(fd, cachekey_id(x->other), CACHEKEY_ID_LEN, 16),
			 CACHEKEY_ID_LEN);
	assert_int_equal(reffile_open(&f, &medium, x->other), -EBADMSG);
	assert_int_equal(reffile_open(&f, &medium, x->key), -EKEYREJECTED);
	assert_null(f);
	close(fd);
	made_clear(&m);
}

static void unfinished_it_does_not_open(void **state)
{
	static const uint64_t lens[] = { 0, 1, 300, PAGE, PAGE + 1, 3 * PAGE };
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct medium medium = medium_file(file_with(x, NULL, 0));
		struct made m = { 0 };
		struct reffile *f;
		int why;

		plain_make(&m, lens[i], 12);
		/* As a file whose room was set aside. */
		assert_int_equal(ftruncate(medium.fd, (off_t)m.size), 0);
		f = begin(x, &m, &medium);
		feed(f, &m, m.len, 1000);
		assert_int_equal(judge(x, &m, medium.fd, &why), 1);
		assert_int_equal(why, -EBADMSG);
		assert_int_equal(reffile_finish(f), 0);
		assert_int_equal(judge(x, &m, medium.fd, &why), 0);
		reffile_close(f);
		made_clear(&m);
	}
}

static void whole_pages_are_read_before_it_is_finished(void **state)
{
	struct fixture *x = *state;

	for (int memory = 0; memory < 2; memory++) {
		struct made m = { 0 };
		struct medium medium;
		struct reffile *f;
		uint8_t c;

		plain_make(&m, 3 * PAGE, 13);
		medium_make(x, &medium, memory, m.size);
		f = begin(x, &m, &medium);
		assert_int_equal(reffile_read(f, &c, 1, 0), -ERANGE);
		feed(f, &m, 2 * PAGE, 30000);
		expect(f, &m, 0, 2 * PAGE);
		assert_int_equal(reffile_read(f, &c, 1, 2 * PAGE), -ERANGE);
		reffile_close(f);
		made_clear(&m);
	}
}

static void not_a_byte_more_or_fewer(void **state)
{
	static const uint64_t lens[] = { 0, 1, 300, PAGE, 2 * PAGE + 9 };
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct medium medium;
		struct made m = { 0 };
		struct reffile *f;
		uint64_t len = lens[i];

		plain_make(&m, len, 14);
		medium_make(x, &medium, 0, m.size);
		f = begin(x, &m, &medium);
		assert_int_equal(reffile_append(f, m.plain, (size_t)len + 1),
				 -EBADMSG);
		if (len) {
			assert_int_equal(reffile_finish(f), -EBADMSG);
			feed(f, &m, len - 1, 4096);
			assert_int_equal(reffile_finish(f), -EBADMSG);
			assert_int_equal(reffile_append(f, m.plain, 2),
					 -EBADMSG);
			assert_int_equal(
				reffile_append(f, m.plain + len - 1, 1), 0);
		}
		assert_int_equal(reffile_append(f, m.plain, 1), -EBADMSG);
		assert_int_equal(reffile_append(f, m.plain, SIZE_MAX),
				 -EBADMSG);
		assert_int_equal(reffile_append(f, m.plain, 0), 0);
		assert_int_equal(reffile_finish(f), 0);
		expect_all(f, &m);
		reffile_close(f);
		made_clear(&m);
	}
}

static void a_full_medium_says_so(void **state)
{
	struct fixture *x = *state;
	struct made m = { 0 };
	struct medium medium;
	struct reffile *f;
	int fd;

	plain_make(&m, 2 * PAGE + 1, 15);
	/* Where the first of three pages has room, and there is no more. */
	assert_int_equal(medium_memory(&medium, HEAD + SLOT), 0);
	f = begin(x, &m, &medium);
	feed(f, &m, PAGE, PAGE);
	assert_int_equal(reffile_append(f, m.plain + PAGE, PAGE), -ENOSPC);
	expect(f, &m, 0, PAGE);
	reffile_close(f);

	fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	medium = medium_file(fd);
	f = begin(x, &m, &medium);
	assert_int_equal(reffile_append(f, m.plain, PAGE), -ENOSPC);
	reffile_close(f);
	made_clear(&m);

	/* What fills no page goes there when it is finished. */
	plain_make(&m, 1, 15);
	fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	medium = medium_file(fd);
	f = begin(x, &m, &medium);
	feed(f, &m, 1, 1);
	assert_int_equal(reffile_finish(f), -ENOSPC);
	reffile_close(f);
	made_clear(&m);
}

struct reader {
	struct reffile *f;
	const struct made *m;
	uint64_t seed;
	unsigned bad;
};

static void *read_here_and_there(void *arg)
{
	struct reader *r = arg;
	uint8_t *got = malloc(3 * PAGE);

	for (int i = 0; i < 200; i++) {
		size_t n = next(&r->seed) % (3 * PAGE);
		uint64_t off = next(&r->seed) % r->m->len;

		if (n > r->m->len - off)
			n = (size_t)(r->m->len - off);
		r->bad += reffile_read(r->f, got, n, off) ||
			  memcmp(got, r->m->plain + off, n) != 0;
	}
	free(got);
	return NULL;
}

static void many_read_at_once(void **state)
{
	struct fixture *x = *state;
	struct reader readers[4];
	pthread_t threads[4];
	struct medium medium;
	struct made m = { 0 };
	struct reffile *f;

	for (int memory = 0; memory < 2; memory++) {
		plain_make(&m, 6 * PAGE + 77, 16);
		medium_make(x, &medium, memory, m.size);
		f = begin(x, &m, &medium);
		feed(f, &m, m.len, 100000);
		assert_int_equal(reffile_finish(f), 0);
		for (unsigned i = 0; i < 4; i++) {
			readers[i] = (struct reader){ f, &m, i + 1, 0 };
			assert_int_equal(pthread_create(&threads[i], NULL,
							read_here_and_there,
							&readers[i]),
					 0);
		}
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			assert_int_equal(readers[i].bad, 0);
		}
		reffile_close(f);
		made_clear(&m);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_goes_in_comes_out),
		TEST(its_size_is_known_beforehand),
		TEST(nothing_of_it_is_in_the_clear),
		TEST(every_bit_of_a_small_one_counts),
		TEST(every_part_of_a_larger_one_counts),
		TEST(cut_off_anywhere),
		TEST(pages_of_whole_ones_are_read_though_others_are_lost),
		TEST(pages_open_in_their_place_only),
		TEST(heads_say_what_they_were_made_for),
		TEST(another_key_opens_nothing),
		TEST(unfinished_it_does_not_open),
		TEST(whole_pages_are_read_before_it_is_finished),
		TEST(not_a_byte_more_or_fewer),
		TEST(a_full_medium_says_so),
		TEST(many_read_at_once),
	};

	return cmocka_run_group_tests_name("reffile", tests, NULL, NULL);
}
