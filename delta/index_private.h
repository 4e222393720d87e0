#ifndef DELTA_INDEX_PRIVATE_H
#define DELTA_INDEX_PRIVATE_H

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "delta/index.h"

/*
 * Inline, because the matcher asks at nearly every byte of a target that
 * differs.
 *
 * A bucket is one cache line.  A slot of it holds the number of a position (in
 * steps, plus one so that 0 means empty) in its low `pos_bits`, and above them
 * as many bits of the hash as are left, which spare most looks at the reference
 * for a wrong candidate.
 */
#define INDEX_WAYS 16

struct delta_index {
	const uint8_t *ref;
	size_t ref_len;
	uint32_t *slots;
	size_t buckets;
	unsigned pos_bits;
	unsigned step_bits; /* log2 of the distance of indexed positions */
	unsigned window; /* bytes that are hashed: 8, 16 or 24 */
};

#define INDEX_WINDOW_MAX 24

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Of a little-endian difference of two words: how many bytes are equal. */
static inline size_t equal_bytes(uint64_t x)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (size_t)__builtin_ctzll(x) >> 3;
#else
	return (size_t)__builtin_clzll(x) >> 3;
#endif
}

/* How many bytes from the start on are equal, at most `max`. */
static inline size_t equal_run(const uint8_t *a, const uint8_t *b, size_t max)
{
	size_t i = 0;

	while (i + 8 <= max) {
		uint64_t x = load64(a + i) ^ load64(b + i);

		if (x)
			return i + equal_bytes(x);
		i += 8;
	}
	while (i < max && a[i] == b[i])
		i++;
	return i;
}

/* The window at `p`, mixed by multiplication (as splitmix64 ends). */
static inline uint64_t index_hash(const struct delta_index *ix,
				  const uint8_t *p)
{
	uint64_t h = load64(p) * 0x9e3779b97f4a7c15u;

	if (ix->window > 8)
		h = (h ^ (h >> 29) ^ load64(p + 8)) * 0xbf58476d1ce4e5b9u;
	if (ix->window > 16)
		h = (h ^ (h >> 32) ^ load64(p + 16)) * 0x94d049bb133111ebu;
	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
	return h ^ (h >> 31);
}

static inline uint32_t *index_bucket(const struct delta_index *ix, uint64_t h)
{
	return ix->slots + INDEX_WAYS * (size_t)((h >> 32) * ix->buckets >> 32);
}

static inline uint32_t index_tag(const struct delta_index *ix, uint64_t h)
{
	return (uint32_t)h << ix->pos_bits;
}

static inline void index_prefetch(const struct delta_index *ix, uint64_t h)
{
	__builtin_prefetch(index_bucket(ix, h));
}

/* A bit for each slot that is used and has this tag; those unused in *empty. */
static inline unsigned index_same(const uint32_t *bucket, unsigned pos_bits,
				  uint32_t tag, unsigned *empty)
{
	uint32_t mask = ~((1u << pos_bits) - 1);
	unsigned same = 0, none = 0;
#ifdef __SSE2__
	const __m128i zero = _mm_setzero_si128();
	const __m128i want = _mm_set1_epi32((int)tag);
	const __m128i keep = _mm_set1_epi32((int)mask);

	for (unsigned i = 0; i < INDEX_WAYS / 4; i++) {
		__m128i v = _mm_load_si128((const __m128i *)bucket + i);
		__m128i s = _mm_cmpeq_epi32(_mm_and_si128(v, keep), want);
		__m128i e = _mm_cmpeq_epi32(v, zero);

		same |= (unsigned)_mm_movemask_ps(_mm_castsi128_ps(s))
			<< (4 * i);
		none |= (unsigned)_mm_movemask_ps(_mm_castsi128_ps(e))
			<< (4 * i);
	}
#else
	for (unsigned i = 0; i < INDEX_WAYS; i++) {
		same |= (unsigned)((bucket[i] & mask) == tag) << i;
		none |= (unsigned)!bucket[i] << i;
	}
#endif
	*empty = none;
	return same & ~none;
}

/* The candidates for a window of hash `h`: a bit for each slot of its bucket. */
static inline unsigned index_candidates(const struct delta_index *ix,
					uint64_t h)
{
	unsigned empty;

	return index_same(index_bucket(ix, h), ix->pos_bits, index_tag(ix, h),
			  &empty);
}

static inline size_t index_position(const struct delta_index *ix, uint64_t h,
				    unsigned way)
{
	uint32_t v = index_bucket(ix, h)[way] & ((1u << ix->pos_bits) - 1);

	return (size_t)(v - 1) << ix->step_bits;
}

#endif
