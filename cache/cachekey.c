#include "cache/cachekey.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

struct cachekey {
	atomic_uint holders;
	uint8_t id[CACHEKEY_ID_LEN];
	struct { /* in secret memory */
		struct aead_key master, name;
	} * secret;
};

static int derive(struct cachekey *k, const struct aead_key *master)
{
	struct aead_key id;
	int err;

	k->secret->master = *master;
	err = aead_key_derive(&k->secret->name, master, "dg ref name v1", NULL,
			      0);
	if (!err)
		err = aead_key_derive(&id, master, "dg key id v1", NULL, 0);
	if (err)
		return err;
	memcpy(k->id, id.bytes, CACHEKEY_ID_LEN);
	aead_key_wipe(&id);
	return 0;
}

int cachekey_new(struct cachekey **out, const struct aead_key *master)
{
	struct cachekey *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	atomic_init(&k->holders, 1);
	k->secret = secret_new(sizeof(*k->secret));
	err = k->secret ? derive(k, master) : -ENOMEM;
	if (err)
		cachekey_put(k);
	else
		*out = k;
	return err;
}

struct cachekey *cachekey_hold(struct cachekey *k)
{
	atomic_fetch_add(&k->holders, 1);
	return k;
}

void cachekey_put(struct cachekey *k)
{
	if (!k || atomic_fetch_sub(&k->holders, 1) != 1)
		return;
	secret_free(k->secret, sizeof(*k->secret));
	free(k);
}

const struct aead_key *cachekey_master(const struct cachekey *k)
{
	return &k->secret->master;
}

const uint8_t *cachekey_id(const struct cachekey *k)
{
	return k->id;
}

int cachekey_name(const struct cachekey *k, const uint8_t digest[DIGEST_LEN],
		  uint64_t len, char out[2 * CACHEKEY_NAME_LEN + 1])
{
	uint8_t text[DIGEST_LEN + 8], sum[DIGEST_LEN];
	int err;

	memcpy(text, digest, DIGEST_LEN);
	le64_put(text + DIGEST_LEN, len);
	err = digest_hmac(k->secret->name.bytes, AEAD_KEY_LEN, text,
			  sizeof(text), sum);
	if (!err)
		hex_encode(out, sum, CACHEKEY_NAME_LEN);
	return err;
}
