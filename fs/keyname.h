#ifndef FS_KEYNAME_H
#define FS_KEYNAME_H

#include <limits.h>
#include <stddef.h>

#include "crypto/bytes.h"

/*
 * Names are any bytes, keys are UTF-8.  A byte of a name that is not part of
 * UTF-8 (in its shortest form, no surrogates) is the character U+EF00 plus that
 * byte in the key, from U+EF80 to U+EFFF; so is each byte of such a character
 * that a name has itself, so that every name comes back as it was.  All other
 * names are keys as they are.
 */
#define KEYNAME_MAX \
	((size_t)3 * NAME_MAX) /* bytes of a key that a name can take */

/* The part of a key, with a NUL.  Its length. */
size_t keyname_encode(char out[KEYNAME_MAX + 1], const char *name);

/*
 * The name that `len` bytes of a key stand for, with a NUL.  Its length, or
 * -ENAMETOOLONG past NAME_MAX.
 */
MUST_CHECK int keyname_decode(char out[NAME_MAX + 1], const char *key,
			      size_t len);

#endif
