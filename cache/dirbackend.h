#ifndef CACHE_DIRBACKEND_H
#define CACHE_DIRBACKEND_H

#include "cache/backend.h"

struct dirbackend_conf {
	int dirfd; /* borrowed: the directory, which nobody else may write to */
	uint64_t limit; /* bytes on disk, of all that is in it */
	uint64_t min_free; /* bytes of the disk to leave to others */
	const struct cachekey *key; /* entries of other keys are removed */
	struct cache_log
		log; /* called with locks held: it must not call back */
};

/*
 * References as sealed files in a directory (cache/FORMAT.md), which any
 * number of processes use at once.  What it finds there that is damaged,
 * another key's or no entry at all is removed.  0 or -errno.
 */
MUST_CHECK int dirbackend_new(struct cache_backend **out,
			      const struct dirbackend_conf *conf);

#endif
