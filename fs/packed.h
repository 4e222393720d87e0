#ifndef FS_PACKED_H
#define FS_PACKED_H

#include <stdint.h>

#include "crypto/digest.h"
#include "fs/object.h"

#define PACKED_ETAG 40 /* bytes, with the NUL, of one that is kept inside */

/*
 * A struct object in less room, for what is kept of every file.  Zero-initialise
 * it.  What hardly any file has is elsewhere: a long ETag, the digest of a table
 * of sums.
 */
struct packed_object {
	uint64_t stored, size;
	int64_t written_s;
	int32_t written_ns;
	uint8_t form, flags;
	char etag[PACKED_ETAG];
	uint8_t digest[DIGEST_LEN];
	struct packed_rest *rest; /* owned; or NULL */
};

/*
 * Keep `o` instead of what is there.  Where there is no memory the rest is lost:
 * it is then an object whose ETag is not known, or whose blocks cannot be
 * verified each.
 */
void packed_set(struct packed_object *p, const struct object *o);
void packed_get(const struct packed_object *p, struct object *out);
const char *packed_etag(const struct packed_object *p); /* borrowed */
void packed_clear(struct packed_object *p);

#endif
