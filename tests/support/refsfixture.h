#ifndef TESTS_SUPPORT_REFSFIXTURE_H
#define TESTS_SUPPORT_REFSFIXTURE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/budget.h"
#include "cache/reffile.h"
#include "cache/refs.h"
#include "cache/sealing.h"
#include "cache/texts.h"
#include "crypto/aead.h"
#include "crypto/digest.h"

/* A cache of references in a directory of its own, for cmocka's tests. */

#define PAGE SEALING_PAGE
#define MIB  ((uint64_t)1 << 20)

/* Where references come from: made from a seed, so that all are known. */
struct source {
	uint64_t seed, len;
	uint8_t *data;
	uint8_t digest[DIGEST_LEN];
	atomic_uint fetches;
	/* How to go wrong. */
	int fail; /* returned halfway */
	int64_t extra; /* bytes more or fewer than promised */
	uint64_t flip; /* with `flipped`: a wrong byte */
	int flipped;
	void (*hook)(struct source *s); /* called in the middle */
	void *hook_arg;
};

struct fixture {
	char dir[64];
	int dirfd;
	struct aead_key key;
	int memory; /* a cache in memory, not in the directory */
	struct budget spill;
	struct cache_backend *backend;
	struct texts *texts;
	struct refs *refs;
	uint64_t events[CACHE_UNUSABLE + 1];
};

/* The room that a reference of `len` bytes is given, and that of `n` such. */
#define EACH(len)    ((reffile_size(len) + 4095) / 4096 * 4096 + 4096)
#define ROOM(n, len) ((n)*EACH(len) + (64 << 10))

int refs_setup(void **state);
int refs_setup_memory(void **state);
/* Fails if anything is left in the directory. */
int refs_teardown(void **state);

/* Open it anew, with these bounds in bytes. */
void refs_begin(struct fixture *x, uint64_t limit, uint64_t memory_max,
		uint64_t memory_idle);
void refs_make(struct fixture *x, uint64_t disk_max, uint64_t memory_max);
void refs_end(struct fixture *x);

void source_init(struct source *s, uint64_t seed, uint64_t len);
void source_clear(struct source *s);
/* A refs_fetch_fn. */
int source_fetch(void *arg, refs_sink_fn *sink, void *sink_arg);

/* Fetched if it must be. */
struct ref *get_ref(struct fixture *x, struct source *s);
/* 0 if it is in the cache. */
int get_cached(struct fixture *x, struct source *s);
void expect_ref(struct ref *ref, const struct source *s, uint64_t off,
		size_t len);

/* What refs_stats() tells, in brief. */
struct seen {
	uint64_t bytes, limit, entries, clear_pending, evictions, corruptions;
	uint64_t foreign, memory_bytes, memory_limit, in_use, hits, misses;
	uint64_t clears, fetched_bytes, unkept;
};

struct seen seen(struct fixture *x);

/* Files in the directory, the disk they take, and the name of the last. */
unsigned files_of(const char *dir, uint64_t *bytes, char name[256]);

/* Rows of cmocka's table, with the files or the memory. */
#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, refs_setup, refs_teardown)
#define IN_MEMORY(name)                                                     \
	{                                                                   \
#name " in memory", name, refs_setup_memory, refs_teardown, \
			NULL                                                \
	}

#endif
