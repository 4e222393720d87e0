#ifndef CACHE_CACHEDIR_H
#define CACHE_CACHEDIR_H

#include "crypto/bytes.h"

/*
 * The directory that a mount keeps its sealed files in.  Two kinds:
 *
 * PARENT/deltaglider-XXXXXX is one mount's own.  It holds the file "lock" in
 * it locked (flock) for as long as it lives; a directory of that name whose
 * lock nobody holds was left by a mount that was killed.
 *
 * PARENT/deltaglider-cache-UID is shared by the mounts of one user, each of
 * which holds the lock shared.  The last to leave removes it, or keeps it.
 *
 * Both have mode 0700.  While it is in use it is locked itself too, which is
 * how systemd-tmpfiles is told to leave it alone.
 */
struct cachedir;

struct cachedir_conf {
	const char *parent; /* a directory that exists */
	int shared;
	int keep; /* shared: the last to leave does not empty it */
};

/*
 * Remove the left-overs under the parent, then make, or join, a directory
 * there.  The parent must be a directory (not a symbolic link) that is ours or
 * root's and not writable by others unless sticky.  *swept counts the
 * left-overs.
 *
 * 0; -errno, and `why` (256 bytes) says in one line what is wrong with which
 * path and what to do.
 */
MUST_CHECK int cachedir_open(struct cachedir **out,
			     const struct cachedir_conf *conf, unsigned *swept,
			     char why[256]);
/*
 * Remove the left-overs under another parent, where there may be some too;
 * how many.  One that others could play tricks in is left alone.
 */
unsigned cachedir_sweep(const char *parent);

int cachedir_fd(const struct cachedir *d); /* borrowed */

/*
 * Where files without a name go: the parent, which is still there when
 * somebody has removed the directory.  Borrowed.
 */
int cachedir_nameless_fd(const struct cachedir *d);
const char *cachedir_path(const struct cachedir *d); /* borrowed */

/* Change what the last to leave does. */
void cachedir_set_keep(struct cachedir *d, int keep);

/*
 * Leave: remove all that is in it and the directory, unless others are in it
 * or it is kept.  NULL-safe.
 */
void cachedir_close(struct cachedir *d);

#endif
