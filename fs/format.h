#ifndef FS_FORMAT_H
#define FS_FORMAT_H

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * `.dg/format` under the mount's prefix says that the bucket is laid out as
 * ARCHITECTURE describes, and in which version.  Check it, and write it if it
 * is missing and `may_write`.
 * 0; -ENOTSUP for a newer version, with the call's error set; or the store's.
 */
MUST_CHECK int format_check(struct store *s, const char *prefix, int may_write,
			    const struct store_call *call);

#endif
