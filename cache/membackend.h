#ifndef CACHE_MEMBACKEND_H
#define CACHE_MEMBACKEND_H

#include "cache/backend.h"

struct membackend_conf {
	uint64_t limit; /* bytes */
	/* So many can be taken now without harm, whatever the limit; or NULL. */
	uint64_t (*room)(void *arg);
	void *arg;
};

/*
 * References of this process alone, in memory, sealed all the same.  What there
 * is no room for makes way for idle ones first, and is -ENOSPC then.  0 or
 * -ENOMEM.
 */
MUST_CHECK int membackend_new(struct cache_backend **out,
			      const struct membackend_conf *conf);

#endif
