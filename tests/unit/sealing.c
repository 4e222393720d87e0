#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/sealing.h"

#define MOST SEALING_SLOT

static void known_master(struct aead_key *master)
{
	for (unsigned i = 0; i < AEAD_KEY_LEN; i++)
		master->bytes[i] = (uint8_t)i;
}

/* What OpenSSL's kdf and another implementation of AES-GCM make of it. */
static void known_answers(void **state)
{
	static const struct {
		const char *kind, *key, *slot;
	} cases[] = {
		{ SEALING_SPOOL,
		  "57b3d344c4a7ef574714b30dd0d5b09a314c2eedabb8907e966efc01215b331b",
		  "c0c1c2c3c4c5c6c7c8c9cacb816bc91d5cb0d18158c6aa"
		  "567c24348cd165244a31f963776ea95b" },
		{ SEALING_REFERENCE,
		  "10e1fd44699977ad3cf438fbb9d650e865957d6418d4ab1068d82af3bb2c4ab6",
		  "c0c1c2c3c4c5c6c7c8c9cacb8c1ba6889787af403a85a5"
		  "b5c5b1d3f07e39063ff7182cc0eeaf3b" },
	};
	uint8_t id[SEALING_ID_LEN], key[AEAD_KEY_LEN];
	uint8_t slot[11 + AEAD_OVERHEAD], plain[11];
	struct aead_key master;
	struct sealing s;

	(void)state;
	known_master(&master);
	for (unsigned i = 0; i < SEALING_ID_LEN; i++)
		id[i] = (uint8_t)(0xa0 + i);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(sealing_derive(&s, &master, cases[i].kind, id),
				 0);
		assert_int_equal(hex_decode(key, sizeof(key), cases[i].key), 0);
		assert_memory_equal(s.key->bytes, key, sizeof(key));
		assert_int_equal(hex_decode(slot, sizeof(slot), cases[i].slot),
				 0);
		assert_int_equal(sealing_open(&s, 2, slot, 11, plain), 0);
		assert_memory_equal(plain, "hello world", 11);
		sealing_clear(&s);
		assert_null(s.key);
	}
}

static void any_length_to_a_page(void **state)
{
	static const size_t lens[] = { 0, 1, 15, 16, 17, 4096, 65535, 65536 };
	uint8_t *plain = malloc(SEALING_PAGE), *back = malloc(SEALING_PAGE);
	uint8_t *slot = malloc(MOST);
	struct aead_key master;
	struct sealing s;

	(void)state;
	assert_true(plain && back && slot);
	assert_int_equal(aead_key_random(&master), 0);
	assert_int_equal(aead_random(plain, SEALING_PAGE), 0);
	assert_int_equal(sealing_init(&s, &master, SEALING_REFERENCE), 0);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t n = lens[i];

		assert_int_equal(sealing_seal(&s, i, plain, n, slot), 0);
		memset(back, 0, n);
		assert_int_equal(sealing_open(&s, i, slot, n, back), 0);
		assert_memory_equal(back, plain, n);
		if (!n)
			continue;
		/* One byte fewer is another text, and none of it is given. */
		assert_int_equal(sealing_open(&s, i, slot, n - 1, back),
				 -EBADMSG);
		for (size_t k = 0; k + 1 < n; k++)
			assert_int_equal(back[k], 0);
	}
	sealing_clear(&s);
	free(plain);
	free(back);
	free(slot);
}

/* Number, identity, kind, master key: none may differ. */
static void it_opens_in_its_own_place_only(void **state)
{
	static const uint64_t pages[] = {
		0, 1, 255, 256, UINT32_MAX, (uint64_t)1 << 32, UINT64_MAX
	};
	struct sealing s, same, id, kind, key;
	uint8_t slot[32 + AEAD_OVERHEAD], text[32] = "a page", out[32];
	struct aead_key master, other;
	uint8_t wrong[SEALING_ID_LEN];

	(void)state;
	assert_int_equal(aead_key_random(&master), 0);
	assert_int_equal(aead_key_random(&other), 0);
	assert_int_equal(sealing_init(&s, &master, SEALING_REFERENCE), 0);
	memcpy(wrong, s.id, sizeof(wrong));
	wrong[SEALING_ID_LEN - 1] ^= 1;
	assert_int_equal(
		sealing_derive(&same, &master, SEALING_REFERENCE, s.id), 0);
	assert_int_equal(sealing_derive(&id, &master, SEALING_REFERENCE, wrong),
			 0);
	assert_int_equal(sealing_derive(&kind, &master, SEALING_SPOOL, s.id),
			 0);
	assert_int_equal(sealing_derive(&key, &other, SEALING_REFERENCE, s.id),
			 0);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		uint64_t page = pages[i];

		assert_int_equal(sealing_seal(&s, page, text, 32, slot), 0);
		assert_int_equal(sealing_open(&same, page, slot, 32, out), 0);
		assert_memory_equal(out, text, 32);
		for (size_t k = 0; k < sizeof(pages) / sizeof(pages[0]); k++)
			assert_int_equal(
				sealing_open(&s, pages[k], slot, 32, out),
				i == k ? 0 : -EBADMSG);
		assert_int_equal(sealing_open(&id, page, slot, 32, out),
				 -EBADMSG);
		assert_int_equal(sealing_open(&kind, page, slot, 32, out),
				 -EBADMSG);
		assert_int_equal(sealing_open(&key, page, slot, 32, out),
				 -EBADMSG);
	}
	/* An identity is bound by more than the key that follows from it. */
	memcpy(same.id, wrong, sizeof(wrong));
	assert_int_equal(sealing_seal(&s, 0, text, 32, slot), 0);
	assert_int_equal(sealing_open(&same, 0, slot, 32, out), -EBADMSG);
	sealing_clear(&s);
	sealing_clear(&same);
	sealing_clear(&id);
	sealing_clear(&kind);
	sealing_clear(&key);
}

static void nothing_is_used_twice(void **state)
{
	uint8_t nonces[200][AEAD_NONCE_LEN], ids[200][SEALING_ID_LEN];
	uint8_t slot[AEAD_OVERHEAD + 1];
	struct aead_key master;
	struct sealing s;

	(void)state;
	assert_int_equal(aead_key_random(&master), 0);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(sealing_init(&s, &master, SEALING_SPOOL), 0);
		assert_int_equal(sealing_seal(&s, 0, "x", 1, slot), 0);
		memcpy(ids[i], s.id, SEALING_ID_LEN);
		memcpy(nonces[i], slot, AEAD_NONCE_LEN);
		sealing_clear(&s);
		for (unsigned k = 0; k < i; k++) {
			assert_memory_not_equal(ids[i], ids[k], SEALING_ID_LEN);
			assert_memory_not_equal(nonces[i], nonces[k],
						AEAD_NONCE_LEN);
		}
	}
}

#define THREADS 4
#define ROUNDS  300

struct worker {
	const struct sealing *s;
	unsigned bad;
};

static void *seal_and_open(void *arg)
{
	uint8_t text[1000], slot[1000 + AEAD_OVERHEAD], out[1000];
	struct worker *w = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		memset(text, (int)i, sizeof(text));
		w->bad += sealing_seal(w->s, i, text, 1000, slot) ||
			  sealing_open(w->s, i, slot, 1000, out) ||
			  memcmp(text, out, 1000) != 0;
	}
	return NULL;
}

/* One sealing serves all threads, and what it takes is counted. */
static void shared_and_counted(void **state)
{
	struct sealing_spent before, after;
	struct worker w[THREADS];
	pthread_t threads[THREADS];
	struct aead_key master;
	struct sealing s;

	(void)state;
	assert_int_equal(aead_key_random(&master), 0);
	assert_int_equal(sealing_init(&s, &master, SEALING_REFERENCE), 0);
	sealing_spent(&before);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .s = &s };
		assert_int_equal(
			pthread_create(&threads[i], NULL, seal_and_open, &w[i]),
			0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(w[i].bad, 0);
	}
	sealing_spent(&after);
	assert_int_equal(after.sealed_bytes - before.sealed_bytes,
			 THREADS * ROUNDS * 1000);
	assert_int_equal(after.opened_bytes - before.opened_bytes,
			 THREADS * ROUNDS * 1000);
	assert_true(after.seal_ns > before.seal_ns);
	assert_true(after.open_ns > before.open_ns);
	sealing_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(any_length_to_a_page),
		cmocka_unit_test(it_opens_in_its_own_place_only),
		cmocka_unit_test(nothing_is_used_twice),
		cmocka_unit_test(shared_and_counted),
	};

	return cmocka_run_group_tests_name("sealing", tests, NULL, NULL);
}
