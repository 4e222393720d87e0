#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/digest.h"
#include "fs/etag_check.h"

static const uint8_t text[] = "the bytes of an object of somebody else's";
enum { LEN = sizeof(text) - 1 };

static void etag_of(char out[2 * DIGEST_MD5_LEN + 1])
{
	uint8_t md5[DIGEST_MD5_LEN];

	assert_int_equal(digest_md5(text, LEN, md5), 0);
	hex_encode(out, md5, sizeof(md5));
}

static void takes_only_what_looks_like_one(void **state)
{
	struct etag_check *c;

	(void)state;
	assert_true(etag_is_md5("0123456789abcdef0123456789ABCDEF"));
	assert_false(etag_is_md5("0123456789abcdef0123456789abcdef-3"));
	assert_false(etag_is_md5(""));
	assert_false(etag_is_md5("0123456789abcdef0123456789abcdeg"));
	assert_int_equal(etag_check_new(&c, "x", 1), -ENOTSUP);
	etag_check_free(NULL);
}

static void looks_at_the_whole(void **state)
{
	char etag[2 * DIGEST_MD5_LEN + 1];
	uint8_t other[LEN], third[LEN];
	struct etag_check *c;

	(void)state;
	etag_of(etag);
	memcpy(other, text, LEN);
	memcpy(third, text, LEN);
	other[7] ^= 1;
	third[8] ^= 1;
	assert_int_equal(etag_check_new(&c, etag, LEN), 0);
	assert_int_equal(etag_check_whole(c, text, LEN, 0), 0);
	assert_int_equal(etag_check_whole(c, text, LEN - 1, 0), -EBADMSG);
	/* Where it is known to be one, it is always right. */
	assert_int_equal(etag_check_whole(c, other, LEN, 1), -EBADMSG);
	assert_int_equal(etag_check_whole(c, other, LEN, 1), -EBADMSG);
	assert_int_equal(etag_check_whole(c, text, LEN, 1), 0);
	/* Damaged on the way, in two places. */
	assert_int_equal(etag_check_whole(c, other, LEN, 0), -EBADMSG);
	assert_int_equal(etag_check_whole(c, third, LEN, 0), -EBADMSG);
	assert_int_equal(etag_check_whole(c, text, LEN, 0), 0);
	/* As they are: the ETag is another thing. */
	assert_int_equal(etag_check_whole(c, third, LEN, 0), 0);
	etag_check_free(c);
}

static void looks_at_what_goes_by(void **state)
{
	char etag[2 * DIGEST_MD5_LEN + 1];
	uint8_t other[LEN];
	struct etag_check *c;

	(void)state;
	etag_of(etag);
	assert_int_equal(etag_check_new(&c, etag, LEN), 0);
	assert_int_equal(etag_check_next(c, text, 10, 0), 0);
	/* Behind a gap; once more; over the border. */
	assert_int_equal(etag_check_next(c, text + 20, LEN - 20, 20), 0);
	assert_int_equal(etag_check_next(c, text, 10, 0), 0);
	assert_int_equal(etag_check_next(c, text + 5, LEN - 5, 5), 0);
	etag_check_free(c);

	memcpy(other, text, LEN);
	other[3] ^= 0x80;
	assert_int_equal(etag_check_new(&c, etag, LEN), 0);
	assert_int_equal(etag_check_next(c, other, 10, 0), 0);
	assert_int_equal(etag_check_next(c, other + 10, LEN - 10, 10),
			 -EBADMSG);
	/* What comes now may be right: what went by was not. */
	assert_int_equal(etag_check_next(c, text + 10, LEN - 10, 10), -EBADMSG);
	assert_int_equal(etag_check_next(c, text, LEN, 0), -EBADMSG);
	etag_check_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_only_what_looks_like_one),
		cmocka_unit_test(looks_at_the_whole),
		cmocka_unit_test(looks_at_what_goes_by),
	};

	return cmocka_run_group_tests_name("etag_check", tests, NULL, NULL);
}
