#ifndef FS_KEYTEXT_H
#define FS_KEYTEXT_H

#include <stddef.h>

#include "crypto/aead.h"
#include "crypto/bytes.h"

/*
 * A key as people keep it: 44 characters of base64, of either alphabet; 43
 * without the padding; or 60, which are such a text of 44 in base64 once more,
 * as DeltaGlider's guide makes it.
 */
#define KEYTEXT_SIZE 45 /* 44 characters and a NUL */

/* A fresh key.  The caller wipes it.  0, -EIO or -ENOMEM. */
/* Is that a key, in any of its forms?  Then nobody is to see it. */
int keytext_is(const char *text);

MUST_CHECK int keytext_make(char out[KEYTEXT_SIZE]);

/*
 * Read one; white space around it does not matter.  Overwrites `text` as it
 * goes, so as to need no memory but the caller's, which should be secret.
 * 0; -ENODATA: only white space; -EINVAL.  `out` is untouched on error.
 */
MUST_CHECK int keytext_parse(char *text, size_t len, struct aead_key *out);

#endif
