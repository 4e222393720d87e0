#include "delta/nature.h"

/* Runs, because a byte here and there costs a cache line each. */
#define SAMPLE_RUNS 64
#define SAMPLE_RUN  ((size_t)1024)

struct nature nature_of(const uint8_t *p, size_t len)
{
	uint32_t count[256] = { 0 };
	uint64_t squares = 0, n = 0, high = 0;
	size_t stride = len / SAMPLE_RUNS;

	if (stride < SAMPLE_RUN)
		stride = SAMPLE_RUN;
	for (size_t at = 0; at < len; at += stride)
		for (size_t i = at; i < at + SAMPLE_RUN && i < len; i++, n++)
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
