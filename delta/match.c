#include "delta/match.h"

#include <errno.h>
#include <stdlib.h>

#include "delta/index_private.h"

/*
 * Tuned on series of binaries and source trees; see delta/FORMAT.md, "Why".
 * A match must gain some bytes over literals; an extension is given up
 * once it has lost X_DROP against its best; after the alignment is lost, it is
 * looked for within RESYNC_REACH bytes of where it was.
 */
#define GAIN_TEXT    32 /* where literals compress well */
#define GAIN_DENSE   14 /* where they hardly do */
#define X_DROP       256
#define RESYNC_REACH 1024
#define RESYNC_MIN   24 /* exact bytes that make a new alignment */
#define RESYNC_PRICE 48 /* bytes gone over that pay for one */
#define HOME_MIN     1024 /* a match of so many bytes is no accident */
#define ALIGNED_MIN  16 /* exact bytes that bring the last alignment back */
#define BACK_REACH   4096 /* bytes of the last match that the next may take */

struct run {
	const struct delta_index *ix;
	const uint8_t *t;
	size_t len;
	struct matches *out;
	size_t first; /* matches of this chunk start here in out->v */
	size_t anchor; /* end of the last match: bytes before it are settled */
	int aligned;
	int64_t shift; /* if aligned: reference offset less target offset */
	int64_t gain_min;
	int64_t home; /* the alignment of the last long match */
	size_t credit; /* bytes gone over since the last resync */
};

void matches_clear(struct matches *m)
{
	free(m->v);
	*m = (struct matches){ 0 };
}

static int matches_push(struct matches *m, const struct match *one)
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

/* Length of the prefix with the best score, +1 for a match and -1 for a miss. */
static size_t extend_forward(const uint8_t *t, const uint8_t *r, size_t max)
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
		} else if (score < best - X_DROP) {
			break;
		}
	}
	return best_len;
}

/* The same before `t` and `r`, towards lower addresses. */
static size_t extend_backward(const uint8_t *t, const uint8_t *r, size_t max)
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
		} else if (score < best - X_DROP) {
			break;
		}
	}
	return best_len;
}

static int64_t score_of(const uint8_t *t, const uint8_t *r, size_t len)
{
	int64_t score = 0;
	size_t i = 0;

	while (i < len) {
		if (i + 8 <= len && load64(t + i) == load64(r + i)) {
			i += 8;
			score += 8;
		} else {
			score += t[i] == r[i] ? 1 : -1;
			i++;
		}
	}
	return score;
}

/* Where in the overlap of two matches the second is to take over. */
static size_t best_split(const uint8_t *t, const uint8_t *a, const uint8_t *b,
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

static struct match *last_match(const struct run *run)
{
	return run->out->n > run->first ? &run->out->v[run->out->n - 1] : NULL;
}

/*
 * Grow the equal bytes at (p, r) both ways and settle who has the bytes that
 * the last match also covers.  1 if it pays and was taken, 0 if not, or
 * -ENOMEM.
 */
static int take(struct run *run, size_t p, size_t r)
{
	const uint8_t *t = run->t, *ref = run->ix->ref;
	struct match *last = last_match(run), one;
	size_t room = run->len - p, floor = run->anchor, back, fwd, overlap;
	int err;

	if (room > run->ix->ref_len - r)
		room = run->ix->ref_len - r;
	fwd = extend_forward(t + p, ref + r, room);
	if (last)
		floor = last->len > BACK_REACH ? run->anchor - BACK_REACH
					       : last->target;
	back = p - floor < r ? p - floor : r;
	back = extend_backward(t + p, ref + r, back);
	one = (struct match){ .target = p - back,
			      .len = back + fwd,
			      .ref = r - back };
	overlap = run->anchor > one.target ? run->anchor - one.target : 0;
	if (overlap) {
		size_t split = best_split(t + one.target,
					  ref + last->ref +
						  (one.target - last->target),
					  ref + one.ref, overlap);

		one.target += split;
		one.ref += split;
		one.len -= split;
		overlap -= split;
	}
	if (score_of(t + one.target, ref + one.ref, one.len) < run->gain_min)
		return 0;
	if (overlap && (last->len -= overlap) == 0)
		run->out->n--;
	err = matches_push(run->out, &one);
	if (err)
		return err;
	run->anchor = one.target + one.len;
	run->aligned = 1;
	run->shift = (int64_t)one.ref - (int64_t)one.target;
	if (one.len >= HOME_MIN)
		run->home = run->shift;
	return 1;
}

/* Do `n` exact bytes at target offset p stand where the last alignment says? */
static int holds(const struct run *run, int64_t shift, size_t p, size_t n,
		 size_t *r)
{
	int64_t at = (int64_t)p + shift;

	if (!run->aligned || at < 0 || n > run->len - p ||
	    (uint64_t)at + n > run->ix->ref_len)
		return 0;
	*r = (size_t)at;
	return !memcmp(run->t + p, run->ix->ref + *r, n);
}

static int exact_around(const struct run *run, size_t p, size_t r, size_t want)
{
	const uint8_t *t = run->t, *ref = run->ix->ref;
	size_t n = 0, b = 0;

	while (n < want && p + n < run->len && r + n < run->ix->ref_len &&
	       t[p + n] == ref[r + n])
		n++;
	while (n + b < want && b < p && b < r && t[p - b - 1] == ref[r - b - 1])
		b++;
	return n + b >= want;
}

/*
 * The alignment was lost at `p`: a few bytes were put in or taken out, most
 * likely.  Look for eight bytes of the target, a little further on, in the
 * reference around where they would have been; the nearest is the best.
 */
static int resync(const struct run *run, size_t p, size_t *at, size_t *r)
{
	static const size_t ahead[] = { 8, 32, 96 };
	const uint8_t *ref = run->ix->ref;

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		size_t q = p + ahead[i];
		int64_t mid = (int64_t)q + run->shift;
		uint64_t want;

		if (q + 8 > run->len || mid < RESYNC_REACH ||
		    (uint64_t)mid + RESYNC_REACH + 8 > run->ix->ref_len)
			return 0;
		want = load64(run->t + q);
		for (size_t d = 1; d < RESYNC_REACH; d++) {
			size_t up = (size_t)mid + d, down = (size_t)mid - d;

			if (load64(ref + up) == want &&
			    exact_around(run, q, up, RESYNC_MIN))
				*r = up;
			else if (load64(ref + down) == want &&
				 exact_around(run, q, down, RESYNC_MIN))
				*r = down;
			else
				continue;
			*at = q;
			return 1;
		}
	}
	return 0;
}

/* Through long misses ever more sparsely; odd, so that all phases are met. */
static size_t stride(size_t missed)
{
	if (missed < 256)
		return 1;
	if (missed < 2048)
		return 3;
	return missed < 16384 ? 7 : 15;
}

static int run_chunk(struct run *run)
{
	const size_t ahead = 8;
	size_t p = 0, q, r;

	while (p + ALIGNED_MIN <= run->len) {
		size_t step = stride(p - run->anchor);
		int took = 0;

		if (holds(run, run->shift, p, ALIGNED_MIN, &r) ||
		    (run->home != run->shift &&
		     holds(run, run->home, p, ALIGNED_MIN, &r))) {
			took = take(run, p, r);
		} else if (p + INDEX_WINDOW_MAX <= run->len) {
			uint64_t h = index_hash(run->ix, run->t + p);

			if (p + ahead * step + INDEX_WINDOW_MAX <= run->len)
				index_prefetch(
					run->ix,
					index_hash(run->ix,
						   run->t + p + ahead * step));
			if (index_find(run->ix, run->t + p, h, &r))
				took = take(run, p, r);
		}
		while (took > 0) {
			run->credit += run->anchor - p;
			p = run->anchor;
			if (run->credit < RESYNC_PRICE)
				break;
			run->credit = 0;
			if (!resync(run, p, &q, &r))
				break;
			took = take(run, q, r);
		}
		if (took < 0)
			return took;
		if (p < run->anchor)
			p = run->anchor;
		else
			p += step;
	}
	return 0;
}

int matcher_run(struct matcher *m, const uint8_t *t, size_t len,
		struct matches *out)
{
	struct run run = { .ix = m->ix,
			   .t = t,
			   .len = len,
			   .out = out,
			   .first = out->n,
			   .aligned = m->aligned,
			   .shift = (int64_t)m->next,
			   .home = (int64_t)m->next,
			   .credit = RESYNC_PRICE,
			   .gain_min = nature_of(t, len).dense ? GAIN_DENSE
							       : GAIN_TEXT };
	int64_t next;
	int err;

	err = run_chunk(&run);
	if (err)
		return err;
	next = (int64_t)len + run.shift;
	m->aligned = run.aligned && next >= 0;
	m->next = m->aligned ? (size_t)next : 0;
	return 0;
}
