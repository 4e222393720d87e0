#include "tests/support/edits.h"

#include <stdlib.h>

static uint64_t state = 1;

void edits_seed(uint64_t seed)
{
	state = seed;
}

uint32_t edits_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

uint32_t edits_below(size_t n)
{
	return n ? edits_random() % (uint32_t)n : 0;
}

static void append(struct bytes *b, const void *data, size_t len)
{
	if (len && bytes_append(b, data, len))
		abort();
}

void edits_fill(struct bytes *b, size_t len)
{
	if (bytes_reserve(b, len ? len : 1))
		abort();
	for (size_t i = 0; i < len; i++)
		b->data[b->len++] = (uint8_t)edits_random();
}

void edits_splice(struct bytes *b, size_t at, size_t del, const void *ins,
		  size_t len)
{
	struct bytes out = BYTES_INIT;

	if (del > b->len - at)
		del = b->len - at;
	append(&out, b->data, at);
	append(&out, ins, len);
	append(&out, b->data + at + del, b->len - at - del);
	bytes_clear(b);
	*b = out;
}

void edits_make(struct bytes *b)
{
	uint8_t junk[512];
	size_t at = edits_below(b->len + 1), n = edits_below(sizeof(junk)) + 1,
	       from;
	struct bytes piece = BYTES_INIT;

	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)edits_random();
	from = edits_below(b->len + 1);
	switch (edits_random() % 6) {
	case 0:
		edits_splice(b, at, 0, junk, n);
		break;
	case 1:
		edits_splice(b, at, n * 20, junk, 0);
		break;
	case 2:
		edits_splice(b, at, n, junk, n);
		break;
	case 3: /* duplicate or move something long */
		if (b->len - from < 5000)
			break;
		append(&piece, b->data + from, 5000);
		if (edits_random() & 1)
			edits_splice(b, from, 5000, junk, 0);
		edits_splice(b, edits_below(b->len + 1), 0, piece.data,
			     piece.len);
		break;
	case 4: /* addresses that shift: one byte in every few */
		for (size_t i = at; i < b->len && i < at + 20000; i += 24)
			b->data[i] = (uint8_t)(b->data[i] + 16);
		break;
	default: /* single bytes */
		for (int i = 0; i < 30 && b->len; i++)
			b->data[edits_below(b->len)] ^= 1;
		break;
	}
	bytes_clear(&piece);
}
