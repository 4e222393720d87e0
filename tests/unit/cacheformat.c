/* The worked examples of cache/FORMAT.md, byte for byte. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/cachekey.h"
#include "cache/reffile.h"
#include "cache/space.h"
#include "crypto/aead.h"
#include "crypto/digest.h"

#define TEXT     "hello world"
#define TEXT_LEN 11
#define FILE_LEN 167
#define KEY_AT   16 /* the key's id, of 16 bytes */

static const char example[] = /* the reference */
	"646763616368650a0100000000000000"
	"062102af515aa25342ab7e38d0a21b5d"
	"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
	"b0b1b2b3b4b5b6b7b8b9babba870cd86"
	"534831d5e8dbeb186c69706828fa8222"
	"8d9722d406ae3127ed0bf7fbd25b8192"
	"cd2a482b37240305a45402717a3e1267"
	"312b691f000000000000000000000000"
	"c0c1c2c3c4c5c6c7c8c9cacb8c1ba688"
	"9787af403a85a588c78f318019a3e713"
	"6dc1f4a35bec51";

static const char tally[] = /* the file "space" */
	"646773706163650a0030000000000000"
	"02000000000000000100000000000000"
	"fccfffffffffffff";

struct fixture {
	char dir[64];
	int dirfd;
	int fd; /* a nameless file with the example in it */
	struct cachekey *key;
	uint8_t bytes[FILE_LEN];
};

static struct cachekey *key_of(uint8_t first)
{
	struct aead_key master;
	struct cachekey *k;

	for (unsigned i = 0; i < sizeof(master.bytes); i++)
		master.bytes[i] = (uint8_t)(first + i);
	assert_int_equal(cachekey_new(&k, &master), 0);
	return k;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	snprintf(x->dir, sizeof(x->dir), "/tmp/dg-cacheformat-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY);
	assert_true(x->dirfd >= 0);
	x->fd = openat(x->dirfd, "example", O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(x->fd >= 0);
	assert_int_equal(unlinkat(x->dirfd, "example", 0), 0);
	assert_int_equal(hex_decode(x->bytes, FILE_LEN, example), 0);
	assert_int_equal(pwrite(x->fd, x->bytes, FILE_LEN, 0), FILE_LEN);
	x->key = key_of(0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	cachekey_put(x->key);
	close(x->fd);
	close(x->dirfd);
	assert_int_equal(rmdir(x->dir), 0);
	free(x);
	return 0;
}

static int open_it(struct fixture *x, const struct cachekey *k,
		   struct reffile **out)
{
	struct medium m = medium_file(dup(x->fd));
	int err;

	assert_true(m.fd >= 0);
	err = reffile_open(out, &m, k);
	if (err)
		medium_close(&m);
	return err;
}

/* Open it and read all that it says it holds. */
static int open_and_read(struct fixture *x)
{
	struct reffile *f;
	char got[TEXT_LEN];
	int err = open_it(x, x->key, &f);

	if (err)
		return err;
	assert_int_equal(reffile_length(f), TEXT_LEN);
	err = reffile_read(f, got, TEXT_LEN, 0);
	if (!err)
		assert_memory_equal(got, TEXT, TEXT_LEN);
	reffile_close(f);
	return err;
}

static void the_reference_opens(void **state)
{
	struct fixture *x = *state;
	uint8_t digest[DIGEST_LEN];
	struct reffile *f;
	char got[5];

	assert_int_equal(reffile_size(TEXT_LEN), FILE_LEN);
	assert_int_equal(open_it(x, x->key, &f), 0);
	assert_int_equal(digest_buffer(TEXT, TEXT_LEN, digest), 0);
	assert_memory_equal(reffile_digest(f), digest, DIGEST_LEN);
	assert_int_equal(reffile_length(f), TEXT_LEN);
	assert_true(reffile_is_under(f, x->key));
	assert_int_equal(reffile_read(f, got, 5, 6), 0);
	assert_memory_equal(got, "world", 5);
	assert_int_equal(reffile_read(f, got, 5, 7), -ERANGE);
	reffile_close(f);
	assert_int_equal(open_and_read(x), 0);
}

static void its_names_are_as_said(void **state)
{
	struct fixture *x = *state;
	char name[2 * CACHEKEY_NAME_LEN + 1];
	uint8_t digest[DIGEST_LEN];

	assert_int_equal(digest_buffer(TEXT, TEXT_LEN, digest), 0);
	assert_int_equal(cachekey_name(x->key, digest, TEXT_LEN, name), 0);
	assert_string_equal(name, "b93b263f150a51dca2e33f8668871801");
	assert_memory_equal(cachekey_id(x->key), x->bytes + KEY_AT,
			    CACHEKEY_ID_LEN);
}

static void nothing_else_opens(void **state)
{
	struct fixture *x = *state;
	struct cachekey *other = key_of(1);
	struct reffile *f;

	assert_int_equal(open_it(x, other, &f), -EKEYREJECTED);
	cachekey_put(other);
	for (int bit = 0; bit < 8 * FILE_LEN; bit++) {
		int at = bit / 8, want = -EBADMSG;
		uint8_t b = (uint8_t)(x->bytes[at] ^ 1 << bit % 8);

		if (at >= KEY_AT && at < KEY_AT + CACHEKEY_ID_LEN)
			want = -EKEYREJECTED;
		assert_int_equal(pwrite(x->fd, &b, 1, at), 1);
		assert_int_equal(open_and_read(x), want);
		assert_int_equal(pwrite(x->fd, &x->bytes[at], 1, at), 1);
	}
	assert_int_equal(open_and_read(x), 0);
	for (int len = FILE_LEN - 1; len >= 0; len--) {
		assert_int_equal(ftruncate(x->fd, len), 0);
		assert_int_equal(open_and_read(x), -EBADMSG);
	}
}

static void the_tally_is_read(void **state)
{
	struct fixture *x = *state;
	const struct cache_log none = { NULL, NULL };
	struct space_tally t;
	struct space *s;
	uint8_t raw[40];
	int fd;

	assert_int_equal(hex_decode(raw, sizeof(raw), tally), 0);
	fd = openat(x->dirfd, "space", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, raw, sizeof(raw)), sizeof(raw));
	close(fd);
	assert_int_equal(space_open(&s, x->dirfd, 1 << 20, 0, &none), 0);
	space_read(s, &t);
	assert_int_equal(t.bytes, 12288);
	assert_int_equal(t.entries, 2);
	assert_int_equal(t.doomed, 1);
	/* It is good, so whoever locks the space does not count anew. */
	assert_int_equal(space_lock(s), 0);
	space_unlock(s);
	space_read(s, &t);
	assert_int_equal(t.entries, 2);
	space_close(s);
	assert_int_equal(unlinkat(x->dirfd, "space", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_reference_opens, setup,
						teardown),
		cmocka_unit_test_setup_teardown(its_names_are_as_said, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nothing_else_opens, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_tally_is_read, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("cacheformat", tests, NULL, NULL);
}
