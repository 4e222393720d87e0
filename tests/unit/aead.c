#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aead.h"

static void counting_key(struct aead_key *key)
{
	for (unsigned i = 0; i < AEAD_KEY_LEN; i++)
		key->bytes[i] = (uint8_t)i;
}

/* The GCM specification's test case 16: AES-256, additional data. */
static void known_answer(void **state)
{
	static const char text[] =
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
	static const char sealed_hex[] =
		"cafebabefacedbaddecaf888"
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
		"76fc6ece0f4e1768cddf8853bb2d551b";
	uint8_t sealed[60 + AEAD_OVERHEAD], plain[60], want[60], aad[20];
	struct aead_key key;

	(void)state;
	assert_int_equal(hex_decode(key.bytes, AEAD_KEY_LEN,
				    "feffe9928665731c6d6a8f9467308308"
				    "feffe9928665731c6d6a8f9467308308"),
			 0);
	assert_int_equal(
		hex_decode(aad, 20, "feedfacedeadbeeffeedfacedeadbeefabaddad2"),
		0);
	assert_int_equal(hex_decode(want, 60, text), 0);
	assert_int_equal(hex_decode(sealed, sizeof(sealed), sealed_hex), 0);
	assert_int_equal(
		aead_open(&key, aad, 20, sealed, sizeof(sealed), plain), 0);
	assert_memory_equal(plain, want, 60);
}

static void round_trips(void **state)
{
	static const size_t lens[] = { 0, 1, 15, 16, 17, 4096, 65536, 100001 };
	struct aead_key key;

	(void)state;
	assert_int_equal(aead_key_random(&key), 0);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = lens[i];
		uint8_t *plain = malloc(len + 1), *got = malloc(len + 1);
		uint8_t *a = malloc(len + AEAD_OVERHEAD);
		uint8_t *b = malloc(len + AEAD_OVERHEAD);

		memset(plain, 0x5a, len);
		assert_int_equal(aead_seal(&key, "x", 1, plain, len, a), 0);
		assert_int_equal(aead_seal(&key, "x", 1, plain, len, b), 0);
		/* Fresh nonces: not even two seals of the same look alike. */
		assert_memory_not_equal(a, b, AEAD_NONCE_LEN);
		if (len > 15)
			assert_memory_not_equal(a + AEAD_NONCE_LEN,
						b + AEAD_NONCE_LEN, 16);
		got[len] = 0x77;
		assert_int_equal(
			aead_open(&key, "x", 1, a, len + AEAD_OVERHEAD, got),
			0);
		assert_memory_equal(got, plain, len);
		assert_int_equal(got[len], 0x77);
		free(plain);
		free(got);
		free(a);
		free(b);
	}
	aead_key_wipe(&key);
}

static void every_bit_counts(void **state)
{
	uint8_t sealed[50 + AEAD_OVERHEAD], plain[50], zeros[50] = { 0 };
	struct aead_key key, other;

	(void)state;
	assert_int_equal(aead_key_random(&key), 0);
	assert_int_equal(aead_key_random(&other), 0);
	memset(plain, 'p', sizeof(plain));
	assert_int_equal(aead_seal(&key, "aad", 3, plain, 50, sealed), 0);
	for (size_t i = 0; i < 8 * sizeof(sealed); i++) {
		sealed[i / 8] ^= (uint8_t)(1U << i % 8);
		memset(plain, 'q', sizeof(plain));
		assert_int_equal(aead_open(&key, "aad", 3, sealed,
					   sizeof(sealed), plain),
				 -EBADMSG);
		assert_memory_equal(plain, zeros, sizeof(plain));
		sealed[i / 8] ^= (uint8_t)(1U << i % 8);
	}
	for (size_t len = 0; len < sizeof(sealed); len++)
		assert_int_equal(aead_open(&key, "aad", 3, sealed, len, plain),
				 -EBADMSG);
	assert_int_equal(
		aead_open(&key, "aae", 3, sealed, sizeof(sealed), plain),
		-EBADMSG);
	assert_int_equal(
		aead_open(&key, "aad", 2, sealed, sizeof(sealed), plain),
		-EBADMSG);
	assert_int_equal(
		aead_open(&key, NULL, 0, sealed, sizeof(sealed), plain),
		-EBADMSG);
	assert_int_equal(
		aead_open(&other, "aad", 3, sealed, sizeof(sealed), plain),
		-EBADMSG);
	assert_int_equal(
		aead_open(&key, "aad", 3, sealed, sizeof(sealed), plain), 0);
	assert_int_equal(plain[49], 'p');
}

static void derives(void **state)
{
	struct aead_key master, key;
	char hex[2 * AEAD_KEY_LEN + 1];

	(void)state;
	counting_key(&master);
	/* From another implementation of RFC 5869. */
	assert_int_equal(aead_key_derive(&key, &master, "dg test v1",
					 (const uint8_t *)"salty", 5),
			 0);
	hex_encode(hex, key.bytes, AEAD_KEY_LEN);
	assert_string_equal(
		hex,
		"7723e53d2b7f544bdf6d9dda2e6c5b80cf742eb110d944a9ac09d4f15169c39f");
	assert_int_equal(aead_key_derive(&key, &master, "dg test v1", NULL, 0),
			 0);
	hex_encode(hex, key.bytes, AEAD_KEY_LEN);
	assert_string_equal(
		hex,
		"66f935af593e0be78a30defb73cd6c681c268407f8abe66ca7dd7a698b434e17");
}

static void random_and_wiped(void **state)
{
	struct aead_key a, b, zero = { { 0 } };
	uint8_t x[32], y[32];

	(void)state;
	assert_int_equal(aead_key_random(&a), 0);
	assert_int_equal(aead_key_random(&b), 0);
	assert_memory_not_equal(a.bytes, b.bytes, AEAD_KEY_LEN);
	assert_memory_not_equal(a.bytes, zero.bytes, AEAD_KEY_LEN);
	aead_key_wipe(&a);
	assert_memory_equal(a.bytes, zero.bytes, AEAD_KEY_LEN);
	assert_int_equal(aead_random(x, sizeof(x)), 0);
	assert_int_equal(aead_random(y, sizeof(y)), 0);
	assert_memory_not_equal(x, y, sizeof(x));
	assert_int_equal(aead_random(NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answer),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(derives),
		cmocka_unit_test(random_and_wiped),
	};

	return cmocka_run_group_tests_name("aead", tests, NULL, NULL);
}
