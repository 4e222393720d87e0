#ifndef FS_FETCH_H
#define FS_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "fs/object.h"

struct store_call;
struct volume;

/*
 * Reads one version of a file out of the bucket, whatever its form: a plain
 * object by ranges, a native delta window by window with its reference, a
 * bsdiff patch decoded as a whole first.  Nothing is
 * returned that was not checked, where there is something to check it by.
 * Thread-safe; keeps a little of what a sequential reader wants next.
 */
struct fetch;

/* Nothing is asked of the bucket yet.  `obj` and `key` are copied. */
MUST_CHECK int fetch_new(struct fetch **out, struct volume *v, const char *key,
			 const struct object *obj);
void fetch_free(struct fetch *f); /* NULL-safe */

/*
 * Exactly `len` bytes at `off`, all of which must lie inside the file.  0;
 * -ESTALE if the object is another one now; -EIO if the bytes do not match
 * their digest, fetched twice; or the store's errors.  The call's if_match is
 * not looked at.
 */
MUST_CHECK int fetch_read(struct fetch *f, const struct store_call *call,
			  void *buf, size_t len, uint64_t off);

/* Fill in size and digest from the container under `key`, of version obj->etag. */
MUST_CHECK int fetch_describe(struct volume *v, const struct store_call *call,
			      const char *key, struct object *obj);

/* Does the object under `key` start as our containers do?  1, 0 or -errno. */
MUST_CHECK int fetch_is_container(struct volume *v,
				  const struct store_call *call,
				  const char *key, const struct object *obj);

/* The reference of a delta: its digest and key.  -EINVAL for other forms. */
struct delta_info;
MUST_CHECK int fetch_reference(struct fetch *f, const struct store_call *call,
			       struct delta_info *out);

#endif
