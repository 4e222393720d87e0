#ifndef CACHE_SEALING_H
#define CACHE_SEALING_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/aead.h"
#include "crypto/bytes.h"

#define SEALING_PAGE   ((size_t)64 << 10) /* plaintext bytes a page */
#define SEALING_SLOT   (SEALING_PAGE + AEAD_OVERHEAD) /* the same, sealed */
#define SEALING_ID_LEN 16

/*
 * What the pages of one file are sealed under: a key of its own, derived from
 * a master key and a random identity.  Identity and number of a page are
 * authenticated with it, so that it opens in its own place only.
 */
struct sealing {
	struct aead_key *key; /* in secret memory */
	uint8_t id[SEALING_ID_LEN];
};

/* One derivation for each kind of file: their keys never meet. */
#define SEALING_SPOOL     "dg page v1"
#define SEALING_REFERENCE "dg reference v1"

/* For a new file.  0, -ENOMEM or -EIO; sealing_clear() only after 0. */
MUST_CHECK int sealing_init(struct sealing *s, const struct aead_key *master,
			    const char *kind);

/* For a file whose identity is known.  As sealing_init(). */
MUST_CHECK int sealing_derive(struct sealing *s, const struct aead_key *master,
			      const char *kind,
			      const uint8_t id[SEALING_ID_LEN]);
void sealing_clear(struct sealing *s);

/* Into len + AEAD_OVERHEAD bytes of `slot`.  0, -ENOMEM or -EIO. */
MUST_CHECK int sealing_seal(const struct sealing *s, uint64_t page,
			    const void *plain, size_t len, uint8_t *slot);

/*
 * `len` bytes of plaintext out of `slot`.  0; -EBADMSG, and `plain` is wiped;
 * -ENOMEM; -EIO.
 */
MUST_CHECK int sealing_open(const struct sealing *s, uint64_t page,
			    const uint8_t *slot, size_t len, void *plain);

/* What sealing and opening pages has taken this process so far. */
struct sealing_spent {
	uint64_t seal_ns, open_ns;
	uint64_t sealed_bytes, opened_bytes; /* of plaintext */
};
void sealing_spent(struct sealing_spent *out);

#endif
