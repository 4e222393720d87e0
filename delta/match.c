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

size_t extend_forward(const uint8_t *t, const uint8_t *r, size_t max,
		      int64_t x_drop, size_t *gone)
{
	size_t i = 0, best_len = 0;
	int64_t score = 0, best = 0;

	while (i < max) {
		if (i + 8 <= max && load64(t + i) == load64(r + i)) {
			i += 8;
			score += 8;
		} else {
			score += t[i] == r[i] ? 1 : -1;
			i++;
		}
		if (score > best) {
			best = score;
			best_len = i;
		} else if (best - score > x_drop) {
			break;
		}
	}
	*gone = i;
	return best_len;
}

size_t extend_backward(const uint8_t *t, const uint8_t *r, size_t max,
		       int64_t x_drop, size_t *gone)
{
	size_t i = 0, best_len = 0;
	int64_t score = 0, best = 0;

	while (i < max) {
		if (i + 8 <= max && load64(t - i - 8) == load64(r - i - 8)) {
			i += 8;
			score += 8;
		} else {
			i++;
			score += *(t - i) == *(r - i) ? 1 : -1;
		}
		if (score > best) {
			best = score;
			best_len = i;
		} else if (best - score > x_drop) {
			break;
		}
	}
	*gone = i;
	return best_len;
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
