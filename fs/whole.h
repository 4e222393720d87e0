#ifndef FS_WHOLE_H
#define FS_WHOLE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "fs/object.h"

struct delta_info;
struct store_call;
struct volume;

/*
 * A file whose codec has no windows, decoded once: sealed, in the spool and out
 * of its budget, shared by all who read that content at the same time, gone
 * with the last of them.  Thread-safe.
 */
struct whole;

/* Which object, and on whose behalf. */
struct whole_source {
	struct volume *v;
	const struct store_call *call; /* if_match is not looked at */
	const char *key;
	const struct object *obj; /* OBJECT_BSDIFF */
};

/*
 * Hold the content of the object, which is fetched and decoded if nobody has
 * it.  The caller gives it back with whole_put().  0; -ESTALE if it is another
 * version by now; -EBADMSG if it does not decode to what its digest says;
 * -ENOSPC (logged) if it does not fit the spool; -EIO without its reference
 * (logged); or the store's errors.
 */
MUST_CHECK int whole_get(const struct whole_source *s, struct whole **out);
void whole_put(struct volume *v, struct whole *w); /* NULL-safe */

/*
 * Exactly `len` bytes at `off`, which must lie inside.  0; -EBADMSG if the
 * local disk damaged them: then the next whole_get() decodes anew.
 */
MUST_CHECK int whole_read(struct volume *v, struct whole *w, void *buf,
			  size_t len, uint64_t off);

/* What its metadata say of it and its reference.  As whole_get(). */
MUST_CHECK int whole_describe(const struct whole_source *s,
			      struct delta_info *out);

#endif
