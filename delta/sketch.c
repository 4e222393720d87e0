#include "delta/sketch.h"

#include <string.h>

/*
 * A window of 64 bytes ends where the gear hash has its top SAMPLE_BITS clear;
 * the hash itself, mixed, is the feature.  So the same text gives the same
 * features wherever it stands.
 */
#define SAMPLE_BITS 5
#define WINDOW      64

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

void sketcher_feed(struct sketcher *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t gear = s->gear, table[256];

	for (unsigned i = 0; i < 256; i++)
		table[i] = mix(i + 1);
	for (size_t i = 0; i < len; i++) {
		uint64_t f;
		unsigned bin;

		gear = (gear << 1) + table[p[i]];
		if (gear >> (64 - SAMPLE_BITS) || s->seen + i < WINDOW - 1)
			continue;
		f = mix(gear);
		bin = (unsigned)(f >> 58);
		f = (f & (((uint64_t)1 << 58) - 1)) + 1;
		if (!s->min[bin] || f < s->min[bin])
			s->min[bin] = f;
	}
	s->gear = gear;
	s->seen += len;
}

void sketcher_finish(const struct sketcher *s, struct sketch *out)
{
	/* The smallest feature has no entropy in its top bits: mix once more. */
	for (unsigned i = 0; i < SKETCH_BINS; i++)
		out->bin[i] =
			s->min[i] ? (uint8_t)(mix(s->min[i]) % 255 + 1) : 0;
}

unsigned sketch_resemblance(const struct sketch *a, const struct sketch *b)
{
	unsigned equal = 0, bins = 0;

	for (unsigned i = 0; i < SKETCH_BINS; i++) {
		bins += a->bin[i] || b->bin[i];
		equal += a->bin[i] && a->bin[i] == b->bin[i];
	}
	/* Too few to tell: content without variety, or very small. */
	return bins < SKETCH_BINS / 4 ? 0 : equal * 1000 / bins;
}
