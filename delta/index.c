#include "delta/index.h"

#include <errno.h>
#include <stdlib.h>

#include "delta/index_private.h"

#define REF_MAX       ((uint64_t)32 << 30)
#define HASH_BITS_MIN 10
#define DENSE_MAX     ((size_t)128 << 20)

/*
 * Machine code and compressed data share short runs with their next version,
 * text long ones.
 */
static void choose_density(struct delta_index *ix, const uint8_t *ref,
			   size_t ref_len)
{
	int binary = ref_len <= DENSE_MAX && nature_of(ref, ref_len).binary;

	ix->ref_len = ref_len;
	ix->window = binary ? 16 : INDEX_WINDOW_MAX;
	ix->step_bits = binary ? (ref_len <= DENSE_MAX / 4 ? 2 : 3) : 4;
}

static size_t positions(const struct delta_index *ix)
{
	if (ix->ref_len < INDEX_WINDOW_MAX)
		return 0;
	return ((ix->ref_len - INDEX_WINDOW_MAX) >> ix->step_bits) + 1;
}

/*
 * As many slots as positions, or nearly: never more memory than the reference
 * itself has.
 */
static unsigned hash_bits(const struct delta_index *ix)
{
	unsigned bits = HASH_BITS_MIN;

	while (((size_t)1 << bits) < positions(ix) &&
	       ((size_t)2 << bits) * sizeof(uint32_t) <= ix->ref_len)
		bits++;
	return bits;
}

/* As if it were dense: the content is not known when room is made. */
size_t delta_index_cost(size_t ref_len)
{
	struct delta_index ix = { .ref_len = ref_len,
				  .step_bits = ref_len > DENSE_MAX       ? 4
					       : ref_len > DENSE_MAX / 4 ? 3
									 : 2 };

	return sizeof(uint32_t) << hash_bits(&ix);
}

static void fill(struct delta_index *ix)
{
	size_t n = positions(ix);

	/*
	 * The first of equal windows stays: a copy of what stands early in a
	 * file is as good as a later one, and the result does not depend on
	 * anything but the bytes.
	 */
	for (size_t i = 0; i < n; i++) {
		uint64_t h = index_hash(ix, ix->ref + (i << ix->step_bits));
		uint32_t *slot = &ix->slots[index_slot(ix, h)];

		if (!*slot)
			*slot = (uint32_t)(i + 1) | index_tag(ix, h);
	}
}

int delta_index_new(struct delta_index **out, const uint8_t *ref,
		    size_t ref_len)
{
	struct delta_index *ix;

	if (ref_len > REF_MAX)
		return -EFBIG;
	ix = calloc(1, sizeof(*ix));
	if (!ix)
		return -ENOMEM;
	ix->ref = ref;
	choose_density(ix, ref, ref_len);
	ix->hash_bits = hash_bits(ix);
	ix->pos_bits = 1;
	while (ix->pos_bits < 31 &&
	       ((size_t)1 << ix->pos_bits) < positions(ix) + 1)
		ix->pos_bits++;
	ix->slots = calloc((size_t)1 << ix->hash_bits, sizeof(*ix->slots));
	if (!ix->slots) {
		free(ix);
		return -ENOMEM;
	}
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

const uint8_t *delta_index_ref(const struct delta_index *ix, size_t *len)
{
	*len = ix->ref_len;
	return ix->ref;
}
