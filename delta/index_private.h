#ifndef DELTA_INDEX_PRIVATE_H
#define DELTA_INDEX_PRIVATE_H

#include <string.h>

#include "delta/index.h"

/*
 * Inline, because the matcher asks once for every byte of the target.
 *
 * A slot holds the number of a position (in steps, plus one so that 0 means
 * empty) in its low `pos_bits`, and as many bits of the hash as are left,
 * which spare most looks at the reference for a wrong candidate.
 */
struct delta_index {
	const uint8_t *ref;
	size_t ref_len;
	uint32_t *slots;
	unsigned hash_bits; /* log2 of the number of slots */
	unsigned pos_bits;
	unsigned step_bits; /* log2 of the distance of indexed positions */
	unsigned window; /* bytes that are hashed and compared: 16 or 24 */
};

#define INDEX_WINDOW_MAX 24

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* What a sample of the bytes says of them all. */
struct nature {
	int binary; /* an eighth or more have the top bit set: code, media */
	int dense; /* as even as random ones: compressed, or encrypted */
};

static inline struct nature nature_of(const uint8_t *p, size_t len)
{
	uint32_t count[256] = { 0 };
	uint64_t squares = 0, n = 0, high = 0;
	size_t step = len / 65536 | 1;

	for (size_t i = 0; i < len; i += step, n++)
		count[p[i]]++;
	for (unsigned i = 0; i < 256; i++) {
		squares += (uint64_t)count[i] * count[i];
		high += i >= 128 ? count[i] : 0;
	}
	/* For random bytes the sum is n * n / 256, and a little by chance. */
	return (struct nature){ .binary = high * 8 >= n && n,
				.dense = n &&
					 squares * 256 <= 2 * n * n + n * 256 };
}

/* The window at `p`, mixed by multiplication (as splitmix64 ends). */
static inline uint64_t index_hash(const struct delta_index *ix,
				  const uint8_t *p)
{
	uint64_t h = load64(p) * 0x9e3779b97f4a7c15u;

	h = (h ^ (h >> 29) ^ load64(p + 8)) * 0xbf58476d1ce4e5b9u;
	if (ix->window == INDEX_WINDOW_MAX)
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
	at = (size_t)((slot & mask) - 1) << ix->step_bits;
	if (memcmp(ix->ref + at, p, ix->window) != 0)
		return 0;
	*pos = at;
	return 1;
}

#endif
