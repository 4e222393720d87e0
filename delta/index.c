#include "delta/index.h"

#include <errno.h>
#include <stdlib.h>

#include "delta/index_private.h"
#include "delta/nature.h"

#define REF_MAX     ((size_t)16 << 30)
#define FINE_MAX    ((size_t)128 << 20)
#define STEP_FINE   2 /* log2 */
#define STEP_DENSE  2
#define STEP_COARSE 4
#define SAME_FINE   6 /* positions kept of equal windows */
#define SAME_COARSE 2
#define LINE        (INDEX_WAYS * sizeof(uint32_t))
#define BATCH       64 /* buckets asked for ahead */

enum delta_grain delta_grain_of(const uint8_t *ref, size_t ref_len)
{
	struct nature n = nature_of(ref, ref_len);

	/* What is compressed shares long runs, or none. */
	return ref_len <= FINE_MAX && n.binary && !n.dense ? DELTA_FINE
							   : DELTA_COARSE;
}

static size_t positions(const struct delta_index *ix)
{
	if (ix->ref_len < ix->window)
		return 0;
	return ((ix->ref_len - ix->window) >> ix->step_bits) + 1;
}

/* As many slots as positions, whole cache lines of them, and at least one. */
static size_t buckets(const struct delta_index *ix)
{
	size_t n = positions(ix) / INDEX_WAYS;

	return n ? n : 1;
}

size_t delta_index_cost(size_t ref_len)
{
	size_t step = ref_len <= FINE_MAX ? STEP_FINE : STEP_COARSE;

	return (ref_len >> step) * sizeof(uint32_t) + LINE;
}

static void choose_density(struct delta_index *ix)
{
	if (delta_grain_of(ix->ref, ix->ref_len) == DELTA_FINE) {
		ix->window = 8;
		ix->step_bits = STEP_FINE;
	} else if (ix->ref_len <= FINE_MAX &&
		   nature_of(ix->ref, ix->ref_len).dense) {
		ix->window = 16;
		ix->step_bits = STEP_DENSE;
	} else {
		ix->window = INDEX_WINDOW_MAX;
		ix->step_bits = STEP_COARSE;
	}
}

static void insert(struct delta_index *ix, uint64_t h, size_t i, int same_max)
{
	uint32_t *bucket = index_bucket(ix, h), tag = index_tag(ix, h);
	unsigned empty, same = index_same(bucket, ix->pos_bits, tag, &empty);

	/*
	 * The first of equal windows stay: a copy of what stands early in a
	 * file is as good as a later one, a window that is everywhere would
	 * fill its bucket, and a crafted file cannot make lookups slow.
	 */
	if (empty && __builtin_popcount(same) < same_max)
		bucket[__builtin_ctz(empty)] = tag | (uint32_t)(i + 1);
}

static void fill(struct delta_index *ix)
{
	size_t n = positions(ix);
	int same = ix->window == 8 ? SAME_FINE : SAME_COARSE;

	for (size_t first = 0; first < n; first += BATCH) {
		size_t some = n - first < BATCH ? n - first : BATCH;
		uint64_t h[BATCH];

		for (size_t i = 0; i < some; i++) {
			h[i] = index_hash(
				ix, ix->ref + ((first + i) << ix->step_bits));
			index_prefetch(ix, h[i]);
		}
		for (size_t i = 0; i < some; i++)
			insert(ix, h[i], first + i, same);
	}
}

int delta_index_new(struct delta_index **out, const uint8_t *ref,
		    size_t ref_len, size_t max)
{
	struct delta_index *ix;

	if (ref_len > REF_MAX)
		return -EFBIG;
	ix = calloc(1, sizeof(*ix));
	if (!ix)
		return -ENOMEM;
	ix->ref = ref;
	ix->ref_len = ref_len;
	choose_density(ix);
	while (buckets(ix) > 1 && buckets(ix) * LINE > max)
		ix->step_bits++;
	ix->buckets = buckets(ix);
	ix->pos_bits = 1;
	while (ix->pos_bits < 31 &&
	       ((size_t)1 << ix->pos_bits) < positions(ix) + 1)
		ix->pos_bits++;
	ix->slots = aligned_alloc(LINE, ix->buckets * LINE);
	if (!ix->slots) {
		free(ix);
		return -ENOMEM;
	}
	memset(ix->slots, 0, ix->buckets * LINE);
	fill(ix);
	*out = ix;
	return 0;
}

void delta_index_free(struct delta_index *ix)
{
	if (!ix)
		return;
	free(ix->slots);
	free(ix);
}
