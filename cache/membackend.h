#ifndef CACHE_MEMBACKEND_H
#define CACHE_MEMBACKEND_H

#include "cache/backend.h"

/* References of this process alone, in memory, sealed all the same; `limit`
 * in bytes.  0 or -ENOMEM. */
MUST_CHECK int membackend_new(struct cache_backend **out, uint64_t limit);

#endif
