#ifndef CACHE_BACKEND_H
#define CACHE_BACKEND_H

#include <stdint.h>

#include "cache/cachekey.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"

struct reffile;

/*
 * Where a cache keeps its sealed references: a directory that several
 * processes may share (cache/dirbackend.h), or memory (cache/membackend.h).
 * Never beyond its limit: room is taken before anything is put there, and what
 * was not used for longest goes first.  What somebody holds never goes.
 * Thread-safe.
 */
struct cache_backend {
	const struct backend_ops *ops;
};

/* One reference, held. */
struct cached {
	struct reffile *file;
};

enum evict_reason {
	EVICT_SPACE, /* something else needs the room */
	EVICT_DISK, /* others fill the disk */
	EVICT_MEMORY, /* memory gets short */
	EVICT_REASONS
};

/* What happened to something in the cache, for whoever keeps the log. */
enum cache_event {
	CACHE_FOREIGN, /* so many entries of another key were removed */
	CACHE_DAMAGED, /* so many damaged, forged or misplaced ones */
	CACHE_ALIEN, /* so many things that are none */
	CACHE_TOO_LARGE, /* one of so many bytes is past the limit: not kept */
	CACHE_NO_ROOM, /* and the disk, or memory, has none for one: not kept */
	CACHE_UNUSABLE /* an error of that number: not kept */
};

struct cache_log {
	void (*on)(void *arg, enum cache_event what, uint64_t n); /* or NULL */
	void *arg;
};

struct backend_stats {
	uint64_t bytes, limit; /* sealed, overhead counted */
	uint64_t entries;
	uint64_t clear_pending; /* to go when they are put back */
	uint64_t evictions[EVICT_REASONS];
	uint64_t corruptions; /* entries found damaged, aliens too */
	uint64_t foreign; /* entries of another key */
};

struct backend_want {
	const struct cachekey *key;
	const uint8_t *digest;
	uint64_t len;
};

/* One line of a listing. */
struct cached_facts {
	const uint8_t *digest;
	uint64_t len;
	int in_use;
	int64_t used_s; /* last use, seconds since 1970 */
};
typedef int backend_list_fn(void *arg, const struct cached_facts *facts);

struct backend_ops {
	/*
	 * Hold the one that is wanted.  0: it is there.  1: it was not, and
	 * `out` has the room for it: append to its file, finish that, and
	 * publish(), or else put() it as it is.  One thread of a process at a
	 * time asks for the same.
	 * No room, not even with all idle ones gone: -EDQUOT by the limit,
	 * -ENOSPC on the disk, or in memory.  -EBUSY: another process has been at it for too
	 * long; -ENOMEM; -EIO.
	 */
	int (*get)(struct cache_backend *b, const struct backend_want *want,
		   struct cached **out);
	/* It is finished: others may have it, or with `once` nobody else. */
	int (*publish)(struct cache_backend *b, struct cached *c, int once);
	/* Let go; what was never published, or is doomed, goes. */
	void (*put)(struct cache_backend *b, struct cached *c);
	/* Nobody gets this one any more; with `damaged` it is counted. */
	void (*doom)(struct cache_backend *b, struct cached *c, int damaged);
	/*
	 * Drop all that nobody holds, at once; the rest when it is put.
	 * 0; -EBUSY if another process holds it up for too long; -errno.
	 */
	int (*clear)(struct cache_backend *b);
	/* The same for what is sealed under `key`. */
	int (*retire)(struct cache_backend *b, const struct cachekey *key);
	/* Drop idle ones for `bytes` or more, if there are.  Bytes dropped. */
	uint64_t (*evict)(struct cache_backend *b, uint64_t bytes,
			  enum evict_reason why);
	/* `min_free`: bytes of the disk to leave to others. */
	void (*set_limit)(struct cache_backend *b, uint64_t limit,
			  uint64_t min_free);
	/* All that are sealed under `key`, until `fn` does not return 0. */
	int (*list)(struct cache_backend *b, const struct cachekey *key,
		    backend_list_fn *fn, void *arg);
	void (*stats)(struct cache_backend *b, struct backend_stats *out);
	/* None may be held any more.  What is in a directory stays there. */
	void (*free)(struct cache_backend *b);
};

#endif
