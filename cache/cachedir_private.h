#ifndef CACHE_CACHEDIR_PRIVATE_H
#define CACHE_CACHEDIR_PRIVATE_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * How a live directory is told from a left-over without a moment of doubt:
 *
 * It is made under the name with a dot in front, gets its file "lock", this is
 * locked and signed, and only then is it renamed.  So whatever has the plain
 * name has been locked, and is dead if it no longer is.
 *
 * One with the dot may be swept while it is being made.  Its maker notices:
 * either the lock is taken, or a step fails because the directory is gone; it
 * then begins again under another name.  Removing takes the lock first, and
 * drops it when the directory is gone.
 */
#define CACHEDIR_LOCK      "lock"
#define CACHEDIR_SIGNATURE "deltaglider cache directory\n"

/* A private one is this and so many letters; see cachedir.c for the other. */
#define CACHEDIR_PREFIX     "deltaglider-"
#define CACHEDIR_PREFIX_LEN (sizeof(CACHEDIR_PREFIX) - 1)
#define CACHEDIR_RANDOM_LEN 6
#define CACHEDIR_LETTERS    "abcdefghijklmnopqrstuvwxyz234567"

/* Open a directory that is ours alone.  Descriptor or -errno. */
int cachedir_own_open(int parent, const char *name);

/* Remove the directory, whose lock the caller holds.  0 or -errno. */
int cachedir_remove(int parent, const char *name, int dirfd);

/* Non-zero if the file is one of ours: nobody else's "lock" is touched. */
int cachedir_is_signed(int lock);

/* Remove what killed mounts have left in `parent`: how many. */
unsigned cachedir_sweep_in(int parent);

#endif
