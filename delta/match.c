#include "delta/match.h"

#include <errno.h>
#include <stdlib.h>

#include "delta/match_private.h"

void matches_clear(struct matches *m)
{
	free(m->v);
	*m = (struct matches){ 0 };
}

int matches_push(struct matches *m, const struct match *one)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 256;
		struct match *v = reallocarray(m->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		m->v = v;
		m->cap = cap;
	}
	m->v[m->n++] = *one;
	return 0;
}

/* Of eight bytes whose words differ by `x`: equal ones less others. */
static int64_t word_score(uint64_t x)
{
	const uint64_t low = 0x7f7f7f7f7f7f7f7fu, one = 0x0101010101010101u;
	uint64_t differ = (((x & low) + low) | x) >> 7 & one;

	return 8 - 2 * (int64_t)(differ * one >> 56);
}

int64_t score_of(const uint8_t *t, const uint8_t *r, size_t len)
{
	int64_t score = 0;
	size_t i = 0;

	for (; i + 8 <= len; i += 8)
		score += word_score(load64(t + i) ^ load64(r + i));
	for (; i < len; i++)
		score += t[i] == r[i] ? 1 : -1;
	return score;
}

/*
 * Eight bytes at a time, and then byte by byte where the best must be: in the
 * word that ended with the best score, or the one behind it.
 */
struct extension extend_forward(const uint8_t *t, const uint8_t *r, size_t max,
				int64_t x_drop)
{
	struct extension e = { 0 };
	int64_t score = 0;
	size_t i = 0, end;

	while (i + 8 <= max && e.score - score <= x_drop) {
		score += word_score(load64(t + i) ^ load64(r + i));
		i += 8;
		if (score > e.score) {
			e.score = score;
			e.len = i;
		}
	}
	e.gone = i;
	i = e.len < 8 ? 0 : e.len - 8;
	score = e.score - score_of(t + i, r + i, e.len - i);
	end = e.len + 8 < max ? e.len + 8 : max;
	for (; i < end; i++) {
		score += t[i] == r[i] ? 1 : -1;
		if (score > e.score) {
			e.score = score;
			e.len = i + 1;
		}
	}
	return e;
}

struct extension extend_backward(const uint8_t *t, const uint8_t *r, size_t max,
				 int64_t x_drop)
{
	struct extension e = { 0 };
	int64_t score = 0;
	size_t i = 0, end;

	while (i + 8 <= max && e.score - score <= x_drop) {
		i += 8;
		score += word_score(load64(t - i) ^ load64(r - i));
		if (score > e.score) {
			e.score = score;
			e.len = i;
		}
	}
	e.gone = i;
	i = e.len < 8 ? 0 : e.len - 8;
	score = e.score - score_of(t - e.len, r - e.len, e.len - i);
	end = e.len + 8 < max ? e.len + 8 : max;
	while (i < end) {
		i++;
		score += *(t - i) == *(r - i) ? 1 : -1;
		if (score > e.score) {
			e.score = score;
			e.len = i;
		}
	}
	return e;
}

size_t best_split(const uint8_t *t, const uint8_t *a, const uint8_t *b,
		  size_t len)
{
	int64_t lead = 0, best = 0;
	size_t split = 0;

	for (size_t i = 0; i < len; i++) {
		lead += (t[i] == a[i]) - (t[i] == b[i]);
		if (lead > best) {
			best = lead;
			split = i + 1;
		}
	}
	return split;
}

void matcher_init(struct matcher *m, const uint8_t *ref, size_t ref_len)
{
	*m = (struct matcher){ .ref = ref,
			       .ref_len = ref_len,
			       .grain = delta_grain_of(ref, ref_len),
			       .aligned = 1 };
}

int matcher_index(struct matcher *m)
{
	return m->ix ? 0 : m->index(m->index_arg, &m->ix);
}

int matcher_run(struct matcher *m, const uint8_t *t, size_t len,
		struct matches *out)
{
	return m->grain == DELTA_FINE ? match_fine(m, t, len, out)
				      : match_coarse(m, t, len, out);
}
