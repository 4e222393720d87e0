#ifndef CACHE_REFS_READ_H
#define CACHE_REFS_READ_H

#include "cache/refs_private.h"

#define REF_SLOTS 16 /* pages kept open: decoders read here and there, nearby */

/* One holder of an entry. */
struct ref {
	struct refs *refs;
	struct entry *entry;
	pthread_mutex_t lock; /* below; taken before refs.lock */
	uint8_t *pages; /* plainmem of REF_SLOTS pages, from the first use on */
	unsigned slots_used; /* the first so many have been filled */
	uint64_t clock; /* ticks with each use of a slot */
	struct {
		uint64_t page; /* UINT64_MAX: none */
		uint64_t used_at;
	} slots[REF_SLOTS];
};

#endif
