#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

#define AEAD_KEY_LEN   32 /* AES-256-GCM */
#define AEAD_NONCE_LEN 12
#define AEAD_TAG_LEN   16
#define AEAD_OVERHEAD  (AEAD_NONCE_LEN + AEAD_TAG_LEN)

/* A key that wipes itself: pass by pointer, never copy. */
struct aead_key {
	uint8_t bytes[AEAD_KEY_LEN];
};

/* A fresh key from the system's generator.  0 or -EIO; `key` wiped on error. */
MUST_CHECK int aead_key_random(struct aead_key *key);

/* `len` unpredictable bytes: nonces, names, salts.  0 or -EIO. */
MUST_CHECK int aead_random(void *buf, size_t len);

/*
 * Derive a subkey with HKDF-SHA256.  `purpose` is a constant of ours that no
 * other caller uses ("dg page v1"); `salt` sets apart the files that share it.
 */
MUST_CHECK int aead_key_derive(struct aead_key *out,
			       const struct aead_key *master,
			       const char *purpose, const uint8_t *salt,
			       size_t salt_len);
void aead_key_wipe(struct aead_key *key);

/*
 * Seal `len` bytes of `plain` into `out`, which must hold len + AEAD_OVERHEAD
 * bytes: a fresh random nonce, the ciphertext, the tag.  `aad` is
 * authenticated, not stored.  0, -ENOMEM or -EIO.
 */
MUST_CHECK int aead_seal(const struct aead_key *key, const void *aad,
			 size_t aad_len, const void *plain, size_t len,
			 uint8_t *out);

/*
 * Open what aead_seal() wrote; `len` counts its overhead.  `plain` must hold
 * len - AEAD_OVERHEAD bytes and is wiped if the tag does not match.
 * 0; -EBADMSG if it is forged, damaged or too short; -ENOMEM; -EIO.
 */
MUST_CHECK int aead_open(const struct aead_key *key, const void *aad,
			 size_t aad_len, const uint8_t *sealed, size_t len,
			 void *plain);

#endif
