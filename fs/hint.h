#ifndef FS_HINT_H
#define FS_HINT_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "fs/attr.h"
#include "fs/object.h"

/*
 * What a HEAD of one version of a file told, in the form in which it is kept
 * below .dg/hints/: see FORMAT.md, "Hints".  A hint is good for the version that
 * a listing shows with its ETag, length and time, and for no other.
 */
struct hint {
	const char *name; /* all three borrowed from where it was read */
	const char *xattr; /* see fs/xattrs.h; "" for none */
	struct object object; /* with an ETag */
	struct attr attr;
};

#define HINT_NAME_AT 92 /* its name in it, bytes from its beginning */
static inline const char *hint_name(const uint8_t *data)
{
	return (const char *)data + HINT_NAME_AT;
}

/* Append one.  0 or -ENOMEM. */
MUST_CHECK int hint_append(struct bytes *out, const struct hint *h);

/* The one at data[*at], which is moved behind it.  0; -EBADMSG: it is none. */
MUST_CHECK int hint_read(const uint8_t *data, size_t len, size_t *at,
			 struct hint *out);

/*
 * The object of a directory, whose key less the mount's prefix is `dir`: begin,
 * append hints by name, each once, end.  0, -ENOMEM, -EIO.
 */
MUST_CHECK int hint_file_begin(struct bytes *out, const char *dir);
MUST_CHECK int hint_file_end(struct bytes *out);

/*
 * Check such an object and that it is of `dir`: its hints are what is from
 * *first to *end.  0; -EBADMSG; -EIO.
 */
MUST_CHECK int hint_file_check(const struct bytes *file, const char *dir,
			       size_t *first, size_t *end);

#endif
