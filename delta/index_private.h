#ifndef DELTA_INDEX_PRIVATE_H
#define DELTA_INDEX_PRIVATE_H

#include <string.h>

#include "delta/index.h"

/*
 * Inline, because the matcher asks once for every byte of the target.
 *
 * A slot holds the number of a position (in steps of INDEX_STEP, plus one so
 * that 0 means empty) in its low `pos_bits`, and as many bits of the hash as
 * are left, which spare most looks at the reference for a wrong candidate.
 */
#define INDEX_STEP   16 /* every so many bytes of the reference */
#define INDEX_WINDOW 24 /* bytes that are hashed */

struct delta_index {
	const uint8_t *ref;
	size_t ref_len;
	uint32_t *slots;
	unsigned hash_bits; /* log2 of the number of slots */
	unsigned pos_bits;
};

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* INDEX_WINDOW bytes at `p`, mixed by multiplication (as splitmix64 ends). */
static inline uint64_t index_hash(const uint8_t *p)
{
	uint64_t h = load64(p) * 0x9e3779b97f4a7c15u;

	h = (h ^ (h >> 29) ^ load64(p + 8)) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 32) ^ load64(p + 16)) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

static inline size_t index_slot(const struct delta_index *ix, uint64_t h)
{
	return (size_t)(h >> (64 - ix->hash_bits));
}

static inline uint32_t index_tag(const struct delta_index *ix, uint64_t h)
{
	return (uint32_t)h & ~(uint32_t)((1u << ix->pos_bits) - 1);
}

static inline void index_prefetch(const struct delta_index *ix, uint64_t h)
{
	__builtin_prefetch(&ix->slots[index_slot(ix, h)]);
}

/* A position whose window equals the one at `p`: non-zero, and *pos set. */
static inline int index_find(const struct delta_index *ix, const uint8_t *p,
			     uint64_t h, size_t *pos)
{
	uint32_t slot = ix->slots[index_slot(ix, h)];
	uint32_t mask = (uint32_t)((1u << ix->pos_bits) - 1);
	size_t at;

	if (!slot || (slot & ~mask) != index_tag(ix, h))
		return 0;
	at = (size_t)((slot & mask) - 1) * INDEX_STEP;
	if (memcmp(ix->ref + at, p, INDEX_WINDOW) != 0)
		return 0;
	*pos = at;
	return 1;
}

#endif
