#ifndef CACHE_CACHEKEY_H
#define CACHE_CACHEKEY_H

#include <stdint.h>

#include "crypto/aead.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"

#define CACHEKEY_ID_LEN   16
#define CACHEKEY_NAME_LEN 16 /* bytes of the name of a file */

/*
 * The key that the references of a cache are sealed under, with what follows
 * from it.  Never changed once made; shared by counting, because a reference
 * that is in use outlives the rotation of its key.
 */
struct cachekey;

/* Takes a copy of `master` into secret memory.  0, -ENOMEM or -EIO. */
MUST_CHECK int cachekey_new(struct cachekey **out,
			    const struct aead_key *master);
struct cachekey *cachekey_hold(struct cachekey *k); /* returns `k` */
void cachekey_put(struct cachekey *k); /* NULL-safe */

const struct aead_key *cachekey_master(const struct cachekey *k);

/* Tells keys apart, and nothing about them: it stands in every file. */
const uint8_t *cachekey_id(const struct cachekey *k); /* CACHEKEY_ID_LEN */

/*
 * The name, as hexadecimal digits and a NUL, of the file that holds the
 * reference of this digest and length.  Who lacks the key does not learn the
 * content from it.  0 or -errno.
 */
MUST_CHECK int cachekey_name(const struct cachekey *k,
			     const uint8_t digest[DIGEST_LEN], uint64_t len,
			     char out[2 * CACHEKEY_NAME_LEN + 1]);

#endif
