#ifndef CACHE_CACHEDIR_H
#define CACHE_CACHEDIR_H

#include "crypto/bytes.h"

/*
 * The directory that one mount keeps its sealed files in:
 * PARENT/deltaglider-XXXXXX, mode 0700, with a file "lock" in it that is held
 * (flock) for as long as the mount lives.  A directory of that name whose lock
 * nobody holds was left by a mount that was killed.
 */
struct cachedir;

/*
 * Remove the left-overs under `parent`, then make a new directory there.
 * `parent` must be a directory (not a symbolic link) that is ours or root's
 * and not writable by others unless sticky.  *swept counts the left-overs.
 *
 * 0; -errno, and `why` (256 bytes) says in one line what is wrong with which
 * path and what to do.
 */
MUST_CHECK int cachedir_open(struct cachedir **out, const char *parent,
			     unsigned *swept, char why[256]);
int cachedir_fd(const struct cachedir *d); /* borrowed */
const char *cachedir_path(const struct cachedir *d); /* borrowed */

/*
 * After fork(2) the child must hold the lock alone.  The parent calls this
 * instead of cachedir_close().
 */
void cachedir_abandon(struct cachedir *d);

/* Remove all that is in it and the directory; NULL-safe. */
void cachedir_close(struct cachedir *d);

#endif
