#ifndef CACHE_REFS_PRIVATE_H
#define CACHE_REFS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/budget.h"
#include "cache/refs.h"
#include "crypto/aead.h"

#define REFS_BUCKETS 1024

enum space { DISK, MEMORY, SPACES };

/*
 * What one kind of space is used for: used = in use + idle + dropping.
 * `dropping` is on its way back: already out of the table, not yet freed.
 */
struct refs_space {
	uint64_t max, used, idle, dropping;
};

/*
 * One reference.  All is guarded by refs.lock but what is said to be constant
 * while the entry is READY and held: that is read without.
 */
struct entry {
	struct entry *chain; /* next in the same bucket */
	struct entry *older, *newer; /* among the idle ones */
	uint8_t digest[DIGEST_LEN]; /* constant */
	uint64_t len; /* constant */
	enum { FETCHING, READY, FAILED } state;
	int err; /* why FAILED */
	unsigned holders; /* 0: idle */
	int listed; /* in the table; if not, it goes when it is put */
	int keep; /* stays when it is put */
	int clearing; /* refs_clear() wants it gone */

	/* The fetching thread's until READY, then constant. */
	struct pagefile *file; /* NULL: in memory only */
	struct budget room; /* lent to `file`; there iff that is */

	_Atomic(uint8_t *) text; /* plainmem of len bytes (1 if that is 0) */
	size_t index_room; /* bytes taken for the index; 0: none yet */
	struct delta_index *index; /* of text */
	int building; /* a thread makes text or index */
	unsigned builds; /* made or failed so far */
	int build_err; /* of the last one */

	uint64_t held[SPACES]; /* its part of refs.space[].used */
};

struct refs {
	int dirfd;
	const struct aead_key *key;
	struct aead_key name_key;

	pthread_mutex_t
		lock; /* all below; never across data I/O or a callback */
	pthread_cond_t change; /* fetched, built, freed */
	struct entry *buckets[REFS_BUCKETS];
	struct entry *oldest, *newest; /* idle */
	struct refs_space space[SPACES];
	uint64_t memory_idle_max;
	uint64_t serial; /* of file names */
	struct refs_stats stats; /* its counters only */
};

/* refs_space.c */

/*
 * Take `n` bytes, dropping idle entries, oldest first, if that makes it fit;
 * if it does not, none is dropped.  0 or -ENOSPC.  Without the lock.
 */
MUST_CHECK int refs_take(struct refs *r, enum space kind, uint64_t n);
void refs_give(struct refs *r, enum space kind, uint64_t n);

/* Drop one idle entry that is on disk.  Non-zero if there was one. */
int refs_evict_one(struct refs *r);

/*
 * With the lock, which is dropped meanwhile: let go of the plain texts of idle
 * references, oldest first, down to memory_idle_max.
 */
void refs_trim_memory(struct refs *r);

/* With the lock: into and out of the idle ones. */
void entry_idle(struct refs *r, struct entry *e);
void entry_wake(struct refs *r, struct entry *e);

/* With the lock: out of the table, nameless; gone when it is put. */
void entry_unlist(struct refs *r, struct entry *e);

/*
 * Free an entry that nobody holds.  With the lock, which is dropped while
 * files are closed and memory is wiped.
 */
void entry_drop(struct refs *r, struct entry *e);

/* Wipe and free a text and its index. */
void text_free(uint8_t *text, uint64_t len, struct delta_index *index);

/* refs_fill.c: fetch into a new entry, check; on error it holds nothing. */
MUST_CHECK int entry_fill(struct refs *r, struct entry *e, refs_fetch_fn *fetch,
			  void *fetch_arg);

#endif
