#ifndef CACHE_REFS_PRIVATE_H
#define CACHE_REFS_PRIVATE_H

#include <pthread.h>

#include "cache/backend.h"
#include "cache/budget.h"
#include "cache/cachekey.h"
#include "cache/refs.h"
#include "cache/sealing.h"
#include "cache/texts.h"

#define REFS_BUCKETS 1024

/* Where the sealed bytes of an entry are, and what they are taken from. */
enum place {
	PLACE_CACHED, /* the backend */
	PLACE_SPILLED, /* refs.spill */
	PLACE_MEMORY, /* the texts' budget */
	PLACES
};

/*
 * One reference that is held.  All is guarded by refs.lock but what is said to
 * be constant while the entry is READY: that is read without.
 */
struct entry {
	struct entry *chain; /* next in the same bucket */
	uint8_t digest[DIGEST_LEN]; /* constant */
	uint64_t len; /* constant */
	enum { FETCHING, READY, FAILED } state;
	int err; /* why FAILED */
	unsigned holders;
	int listed; /* in the table; if not, nobody joins */
	int dropping; /* not to be kept when it is put */
	int pending; /* counted in refs.pending */

	/* The fetching thread's until READY, then constant. */
	enum place place;
	struct cached *cached; /* PLACE_CACHED */
	struct reffile *file; /* the cached one's, or of its own */
	uint64_t held; /* bytes, of another place's budget */
	struct cachekey *key;
};

struct refs {
	struct cache_backend *backend;
	struct texts *texts;
	int spill_dirfd;
	struct budget *spill;
	struct cache_log log;

	pthread_mutex_t
		lock; /* all below; never across data I/O or a callback */
	pthread_cond_t change; /* fetched */
	struct cachekey *key;
	struct entry *buckets[REFS_BUCKETS];
	uint64_t held; /* entries there are */
	uint64_t pending; /* of them to be dropped, and not the backend's yet */
	uint64_t corruptions; /* in other places than the backend */
	struct refs_stats stats; /* its counters only */
};

#define REF_SLOTS 16 /* pages kept open: decoders read here and there, nearby */

/* One holder of an entry. */
struct ref {
	struct refs *refs;
	struct entry *entry;
	pthread_mutex_t lock; /* below; taken before refs.lock */
	struct text *text; /* from ref_text() on */
	uint8_t *pages; /* plainmem of REF_SLOTS pages, from the first use on */
	unsigned slots_used; /* the first so many have been filled */
	uint64_t clock; /* ticks with each use of a slot */
	struct {
		uint64_t page; /* UINT64_MAX: none */
		uint64_t used_at;
	} slots[REF_SLOTS];
};

/* With refs.lock: out of the table; gone when it is put. */
void entry_unlist(struct refs *r, struct entry *e);

/*
 * refs_fill.c: find it in the backend, or fetch it into a place and check it.
 * *fetched is set if it was fetched.  On error it holds nothing.
 */
MUST_CHECK int entry_fill(struct refs *r, struct entry *e, refs_fetch_fn *fetch,
			  void *fetch_arg, int *fetched);

/* The entry's sealed bytes go back to where they are from. */
void entry_empty(struct refs *r, struct entry *e);

#endif
