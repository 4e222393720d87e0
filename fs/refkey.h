#ifndef FS_REFKEY_H
#define FS_REFKEY_H

#include "crypto/bytes.h"
#include "crypto/digest.h"

struct delta_info;
struct key;
struct ref;
struct store_call;
struct volume;

/* Where the mount keeps what belongs to a content: keys under .dg/. */
MUST_CHECK int reference_key(struct volume *v, const uint8_t digest[DIGEST_LEN],
			     struct key *out);
MUST_CHECK int sums_key(struct volume *v, const uint8_t digest[DIGEST_LEN],
			struct key *out);

/*
 * Hold the reference that a container names: from the cache, or from the key
 * it gives, or from where this mount would keep it.  0; -EIO (logged) if it
 * is nowhere or not what its digest says; or the store's or the cache's error.
 */
MUST_CHECK int reference_get(struct volume *v, const struct store_call *call,
			     const struct delta_info *info, struct ref **out);

/* Hold the bytes of the object `key`, version `etag`, as a reference. */
struct reference_source {
	const char *key, *etag; /* etag "" for any */
	uint64_t len;
	const uint8_t *digest;
};
MUST_CHECK int reference_from(struct volume *v, const struct store_call *call,
			      const struct reference_source *s,
			      struct ref **out);

#endif
