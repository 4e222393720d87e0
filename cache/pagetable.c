#include "cache/pagetable.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((uint64_t)1024) /* pages */

void pagetable_clear(struct pagetable *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->chunks[i]);
	free(t->chunks);
	memset(t, 0, sizeof(*t));
}

const struct page *pagetable_peek(const struct pagetable *t, uint64_t i)
{
	static const struct page none;

	if (i / CHUNK >= t->count || !t->chunks[i / CHUNK])
		return &none;
	return &t->chunks[i / CHUNK][i % CHUNK];
}

struct page *pagetable_touch(struct pagetable *t, uint64_t i)
{
	size_t chunk = (size_t)(i / CHUNK);

	if (chunk >= t->count) {
		size_t count =
			chunk + 1 > 2 * t->count ? chunk + 1 : 2 * t->count;
		struct page **grown;

		grown = realloc(t->chunks, count * sizeof(struct page *));
		if (!grown)
			return NULL;
		memset(grown + t->count, 0,
		       (count - t->count) * sizeof(struct page *));
		t->chunks = grown;
		t->count = count;
	}
	if (!t->chunks[chunk])
		t->chunks[chunk] = calloc(CHUNK, sizeof(struct page));
	return t->chunks[chunk] ? &t->chunks[chunk][i % CHUNK] : NULL;
}

uint64_t pagetable_offset(uint64_t i)
{
	return i * PAGETABLE_SLOT;
}

static uint64_t first_block(uint64_t i)
{
	return pagetable_offset(i) / PAGETABLE_BLOCK;
}

static uint64_t last_block(uint64_t i, uint32_t room)
{
	return (pagetable_offset(i) + room + AEAD_OVERHEAD - 1) /
	       PAGETABLE_BLOCK;
}

/* Non-zero if page `i`, with `room`, and the one above share a block. */
static int overlap(const struct pagetable *t, uint64_t i, uint32_t room)
{
	return room && pagetable_peek(t, i + 1)->room &&
	       last_block(i, room) == first_block(i + 1);
}

/* Blocks that page `i` has for itself alone if it has `room`. */
static uint64_t own_blocks(const struct pagetable *t, uint64_t i, uint32_t room)
{
	uint64_t n;

	if (!room)
		return 0;
	n = last_block(i, room) - first_block(i) + 1;
	if (overlap(t, i, room))
		n--;
	if (i) {
		uint32_t below = pagetable_peek(t, i - 1)->room;

		if (below && last_block(i - 1, below) == first_block(i))
			n--;
	}
	return n;
}

uint64_t pagetable_cost(const struct pagetable *t, uint64_t i, uint32_t room)
{
	return PAGETABLE_BLOCK * (own_blocks(t, i, room) -
				  own_blocks(t, i, pagetable_peek(t, i)->room));
}

void pagetable_set_room(struct pagetable *t, uint64_t i, uint32_t room)
{
	struct page *p = &t->chunks[i / CHUNK][i % CHUNK];

	t->disk -= PAGETABLE_BLOCK * own_blocks(t, i, p->room);
	t->disk += PAGETABLE_BLOCK * own_blocks(t, i, room);
	p->room = room;
}

uint64_t pagetable_cut_at(const struct pagetable *t, uint64_t first)
{
	uint64_t off = pagetable_offset(first);
	uint32_t below = first ? pagetable_peek(t, first - 1)->room : 0;

	/* A block that only the pages above had must not stay behind. */
	if (!below || last_block(first - 1, below) < first_block(first))
		off -= off % PAGETABLE_BLOCK;
	return off;
}

void pagetable_cut(struct pagetable *t, uint64_t first)
{
	for (uint64_t i = t->count * CHUNK; i > first; i--) {
		uint64_t chunk = (i - 1) / CHUNK;

		if (!t->chunks[chunk]) {
			i = chunk * CHUNK + 1; /* nothing more in there */
			continue;
		}
		pagetable_set_room(t, i - 1, 0);
		memset(&t->chunks[chunk][(i - 1) % CHUNK], 0,
		       sizeof(struct page));
		if ((i - 1) % CHUNK == 0) {
			free(t->chunks[chunk]);
			t->chunks[chunk] = NULL;
		}
	}
}
