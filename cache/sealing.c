#include "cache/sealing.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "crypto/secret.h"

#define AAD_LEN (SEALING_ID_LEN + 8)

static atomic_uint_fast64_t seal_ns, open_ns, sealed_bytes, opened_bytes;

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void count(atomic_uint_fast64_t *ns, uint64_t since,
		  atomic_uint_fast64_t *bytes, size_t len)
{
	atomic_fetch_add_explicit(ns, now_ns() - since, memory_order_relaxed);
	atomic_fetch_add_explicit(bytes, len, memory_order_relaxed);
}

int sealing_derive(struct sealing *s, const struct aead_key *master,
		   const char *kind, const uint8_t id[SEALING_ID_LEN])
{
	struct aead_key *key = secret_new(sizeof(*key));
	int err;

	if (!key)
		return -ENOMEM;
	err = aead_key_derive(key, master, kind, id, SEALING_ID_LEN);
	if (err) {
		secret_free(key, sizeof(*key));
		return err;
	}
	s->key = key;
	memcpy(s->id, id, SEALING_ID_LEN);
	return 0;
}

int sealing_init(struct sealing *s, const struct aead_key *master,
		 const char *kind)
{
	uint8_t id[SEALING_ID_LEN];
	int err = aead_random(id, sizeof(id));

	return err ? err : sealing_derive(s, master, kind, id);
}

void sealing_clear(struct sealing *s)
{
	secret_free(s->key, sizeof(*s->key));
	s->key = NULL;
}

static void aad_make(const struct sealing *s, uint64_t page,
		     uint8_t aad[AAD_LEN])
{
	memcpy(aad, s->id, SEALING_ID_LEN);
	le64_put(aad + SEALING_ID_LEN, page);
}

int sealing_seal(const struct sealing *s, uint64_t page, const void *plain,
		 size_t len, uint8_t *slot)
{
	uint64_t since = now_ns();
	uint8_t aad[AAD_LEN];
	int err;

	aad_make(s, page, aad);
	err = aead_seal(s->key, aad, sizeof(aad), plain, len, slot);
	count(&seal_ns, since, &sealed_bytes, len);
	return err;
}

int sealing_open(const struct sealing *s, uint64_t page, const uint8_t *slot,
		 size_t len, void *plain)
{
	uint64_t since = now_ns();
	uint8_t aad[AAD_LEN];
	int err;

	aad_make(s, page, aad);
	err = aead_open(s->key, aad, sizeof(aad), slot, len + AEAD_OVERHEAD,
			plain);
	count(&open_ns, since, &opened_bytes, len);
	return err;
}

void sealing_spent(struct sealing_spent *out)
{
	out->seal_ns = atomic_load(&seal_ns);
	out->open_ns = atomic_load(&open_ns);
	out->sealed_bytes = atomic_load(&sealed_bytes);
	out->opened_bytes = atomic_load(&opened_bytes);
}
