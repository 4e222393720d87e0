#ifndef FS_XATTRS_H
#define FS_XATTRS_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * Extended attributes as one line of text, which is the value of the metadata
 * key "xattr" as s3fs reads and writes it: a JSON object whose members are the
 * names, each with its value in base64, and percent-encoded at least where a
 * header cannot carry it.  NULL and "" have none.
 */
#define XATTRS_MAX 1024 /* bytes of the text: so that all else has room */

/* The value of `name`, appended to `out`.  0; -ENODATA; -ENOMEM. */
MUST_CHECK int xattrs_get(const char *text, const char *name,
			  struct bytes *out);

/* The names, each with its NUL.  0 or -ENOMEM. */
MUST_CHECK int xattrs_list(const char *text, struct bytes *out);

struct xattr_change {
	const char *name;
	const void *value; /* NULL: remove it */
	size_t len;
	int flags; /* of setxattr(2) */
};

/*
 * The text with that change, for free(), or NULL where none is left.  What
 * cannot be read of `text` is dropped.  0; -EEXIST, -ENODATA as setxattr(2)
 * has them; -ENOSPC past XATTRS_MAX; -ENOMEM.
 */
MUST_CHECK int xattrs_change(const char *text, const struct xattr_change *c,
			     char **out);

/* Of two texts, either of which may be NULL. */
int xattrs_equal(const char *a, const char *b);

#endif
