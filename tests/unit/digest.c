#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/digest.h"

static void expect(const uint8_t sum[DIGEST_LEN], const char *want)
{
	char text[DIGEST_HEX];

	hex_encode(text, sum, DIGEST_LEN);
	assert_string_equal(text, want);
}

/* FIPS 180-2's examples. */
static const char empty[] =
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char abc[] =
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char million[] =
	"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void known_answers(void **state)
{
	uint8_t sum[DIGEST_LEN];
	char *a = malloc(1000000);

	(void)state;
	assert_non_null(a);
	memset(a, 'a', 1000000);
	assert_int_equal(digest_buffer("", 0, sum), 0);
	expect(sum, empty);
	assert_int_equal(digest_buffer(NULL, 0, sum), 0);
	expect(sum, empty);
	assert_int_equal(digest_buffer("abc", 3, sum), 0);
	expect(sum, abc);
	assert_int_equal(digest_buffer(a, 1000000, sum), 0);
	expect(sum, million);
	free(a);
}

static void in_pieces_and_again(void **state)
{
	struct digest *d = digest_new();
	uint8_t sum[DIGEST_LEN];
	char a[777];

	(void)state;
	assert_non_null(d);
	memset(a, 'a', sizeof(a));
	for (size_t left = 1000000; left;) {
		size_t n = left < sizeof(a) ? left : sizeof(a);

		assert_int_equal(digest_update(d, a, n), 0);
		left -= n;
	}
	assert_int_equal(digest_final(d, sum), 0);
	expect(sum, million);
	assert_int_equal(digest_final(d, sum), 0); /* reset */
	expect(sum, empty);
	assert_int_equal(digest_update(d, "ab", 2), 0);
	assert_int_equal(digest_update(d, "c", 1), 0);
	assert_int_equal(digest_final(d, sum), 0);
	expect(sum, abc);
	digest_free(d);
	digest_free(NULL);
}

/* RFC 4231, test cases 1, 2 and 6. */
static void hmac(void **state)
{
	uint8_t key[131], sum[DIGEST_LEN];

	(void)state;
	memset(key, 0x0b, 20);
	assert_int_equal(digest_hmac(key, 20, "Hi There", 8, sum), 0);
	expect(sum,
	       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_int_equal(digest_hmac((const uint8_t *)"Jefe", 4,
				     "what do ya want for nothing?", 28, sum),
			 0);
	expect(sum,
	       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(
		digest_hmac(
			key, sizeof(key),
			"Test Using Larger Than Block-Size Key - Hash Key First",
			54, sum),
		0);
	expect(sum,
	       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	/* No key and no data, which OpenSSL would take for "as before". */
	assert_int_equal(digest_hmac(NULL, 0, NULL, 0, sum), 0);
	expect(sum,
	       "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void *many(void *arg)
{
	uint8_t sum[DIGEST_LEN], want[DIGEST_LEN];
	uintptr_t bad = 0;

	(void)arg;
	if (hex_decode(want, DIGEST_LEN, abc))
		bad++;
	for (int i = 0; i < 500; i++)
		bad += digest_buffer("abc", 3, sum) ||
		       memcmp(sum, want, DIGEST_LEN) != 0;
	return (void *)bad;
}

static void threads(void **state)
{
	pthread_t t[4];
	void *bad;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(in_pieces_and_again),
		cmocka_unit_test(hmac),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
