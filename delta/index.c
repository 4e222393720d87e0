#include "delta/index.h"

#include <errno.h>
#include <stdlib.h>

#include "delta/index_private.h"

#define REF_MAX       ((uint64_t)32 << 30)
#define HASH_BITS_MIN 10

static size_t positions(size_t ref_len)
{
	return ref_len < INDEX_WINDOW
		       ? 0
		       : (ref_len - INDEX_WINDOW) / INDEX_STEP + 1;
}

/* Between 1 and 2 slots a position: half a slot's worth of collisions at most. */
static unsigned hash_bits(size_t ref_len)
{
	unsigned bits = HASH_BITS_MIN;

	while (((size_t)1 << bits) < positions(ref_len))
		bits++;
	return bits;
}

size_t delta_index_cost(size_t ref_len)
{
	return sizeof(uint32_t) << hash_bits(ref_len);
}

static void fill(struct delta_index *ix)
{
	size_t n = positions(ix->ref_len);

	/*
	 * The first of equal windows stays: a copy of what stands early in a
	 * file is as good as a later one, and the result does not depend on
	 * anything but the bytes.
	 */
	for (size_t i = 0; i < n; i++) {
		uint64_t h = index_hash(ix->ref + i * INDEX_STEP);
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
	ix->ref_len = ref_len;
	ix->hash_bits = hash_bits(ref_len);
	ix->pos_bits = 1;
	while (ix->pos_bits < 31 &&
	       ((size_t)1 << ix->pos_bits) < positions(ref_len) + 1)
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
