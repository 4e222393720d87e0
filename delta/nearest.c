#include "delta/nearest.h"

#include "delta/index_private.h"

static int is_at(const struct nearest *n, size_t at)
{
	return load64(n->ref + at) == n->want;
}

/* At distance `d`: above it, then below. */
static int look(const struct nearest *n, size_t d, size_t *at)
{
	if (d <= n->up && is_at(n, n->mid + d)) {
		*at = n->mid + d;
		return 1;
	}
	if (d <= n->down && is_at(n, n->mid - d)) {
		*at = n->mid - d;
		return 1;
	}
	return 0;
}

#ifdef __SSE2__
#define LANES 16

/* A bit for each of 16 places from `p` on whose first and last bytes fit. */
static unsigned likely(const uint8_t *p, __m128i first, __m128i last)
{
	__m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + 7));

	return (unsigned)_mm_movemask_epi8(_mm_and_si128(
		_mm_cmpeq_epi8(a, first), _mm_cmpeq_epi8(b, last)));
}

/* The distances of the next LANES at which there may be something. */
static unsigned distances(const struct nearest *n, size_t d)
{
	const uint8_t *want = (const uint8_t *)&n->want;
	__m128i first = _mm_set1_epi8((char)want[0]);
	__m128i last = _mm_set1_epi8((char)want[7]);
	unsigned bits = likely(n->ref + n->mid + d, first, last);
	unsigned below = likely(n->ref + n->mid - d - (LANES - 1), first, last);

	for (; below; below &= below - 1)
		bits |= 1u << (LANES - 1 - __builtin_ctz(below));
	return bits;
}

/* Among the next LANES distances, at once. */
static int look_wide(struct nearest *n, size_t *at)
{
	unsigned bits = distances(n, n->next);

	for (; bits; bits &= bits - 1) {
		size_t d = n->next + (size_t)__builtin_ctz(bits);

		if (look(n, d, at)) {
			n->next = d + 1;
			return 1;
		}
	}
	n->next += LANES;
	return 0;
}

static int wide(const struct nearest *n)
{
	return n->next + LANES <= n->up && n->next + LANES <= n->down;
}
#else
static int look_wide(struct nearest *n, size_t *at)
{
	return look(n, n->next++, at);
}

static int wide(const struct nearest *n)
{
	(void)n;
	return 0;
}
#endif

int nearest_find(struct nearest *n, size_t *at)
{
	size_t far = n->up > n->down ? n->up : n->down;

	while (n->next <= far)
		if (wide(n) ? look_wide(n, at) : look(n, n->next++, at))
			return 1;
	return 0;
}
