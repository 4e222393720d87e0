#include <errno.h>

#include "delta/match_private.h"
#include "delta/nature.h"

/*
 * For text, and for what is too large to be looked at finely.  Tuned on series
 * of source trees; see delta/FORMAT.md, "Why".  A match must gain some bytes
 * over literals; an extension is given up once it has lost X_DROP against its
 * best; after the alignment is lost, it is looked for within RESYNC_REACH bytes
 * of where it was.
 */
#define GAIN_TEXT    32 /* where literals compress well */
#define GAIN_DENSE   14 /* where they hardly do */
#define X_DROP       256
#define RESYNC_REACH 1024
#define RESYNC_MIN   24 /* exact bytes that make a new alignment */
#define RESYNC_PRICE 48 /* bytes gone over that pay for one; twice as many */
#define RESYNC_DEAR  1536 /* after each that failed, up to so many */
#define HOME_MIN     1024 /* a match of so many bytes is no accident */
#define ALIGNED_MIN  16 /* exact bytes that bring the last alignment back */
#define BACK_REACH   4096 /* bytes of the last match that the next may take */
#define EFFORT_TAKE  100 /* an extension that came to nothing */
#define EFFORT_GONE  2 /* bytes of an extension that led to nothing better */
#define WINDOW       INDEX_WINDOW_MAX

/*
 * An index takes as long to build as many an encoding without one.  So the
 * first time that bytes are nowhere near, the next LATE of them are gone over
 * for more, and only then gone over again with the index.
 */
#define LATE      ((size_t)8 << 10)
#define LATE_STEP 64

struct run {
	struct matcher *m;
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
	size_t price; /* of the next */
	size_t effort;
};

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
	const uint8_t *t = run->t, *ref = run->m->ref;
	struct match *last = last_match(run), one;
	size_t room = run->len - p, floor = run->anchor, back, fwd, overlap;
	size_t gone, gone_back;
	int err;

	if (room > run->m->ref_len - r)
		room = run->m->ref_len - r;
	fwd = extend_forward(t + p, ref + r, room, X_DROP, &gone);
	if (last)
		floor = last->len > BACK_REACH ? run->anchor - BACK_REACH
					       : last->target;
	back = p - floor < r ? p - floor : r;
	back = extend_backward(t + p, ref + r, back, X_DROP, &gone_back);
	/* What was gone over for nothing; and below, what was once before. */
	run->effort += (gone - fwd + gone_back - back) / EFFORT_GONE;
	one = (struct match){ .target = p - back,
			      .len = back + fwd,
			      .ref = r - back };
	overlap =
		last && run->anchor > one.target ? run->anchor - one.target : 0;
	run->effort += overlap;
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
	if (score_of(t + one.target, ref + one.ref, one.len) < run->gain_min) {
		run->effort += EFFORT_TAKE;
		return 0;
	}
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
	    (uint64_t)at + n > run->m->ref_len)
		return 0;
	*r = (size_t)at;
	return !memcmp(run->t + p, run->m->ref + *r, n);
}

static int exact_around(const struct run *run, size_t p, size_t r, size_t want)
{
	const uint8_t *t = run->t, *ref = run->m->ref;
	size_t n = 0, b = 0;

	while (n < want && p + n < run->len && r + n < run->m->ref_len &&
	       t[p + n] == ref[r + n])
		n++;
	while (n + b < want && b < p && b < r && t[p - b - 1] == ref[r - b - 1])
		b++;
	return n + b >= want;
}

/* The eight bytes at `q`, at most RESYNC_REACH from `mid`: the nearest. */
static int near(const struct run *run, size_t q, size_t mid, size_t up,
		size_t down, size_t *r)
{
	const uint8_t *ref = run->m->ref + mid;
	uint64_t want = load64(run->t + q);

	for (size_t d = 1; d < RESYNC_REACH; d++) {
		if (d <= up && load64(ref + d) == want &&
		    exact_around(run, q, mid + d, RESYNC_MIN)) {
			*r = mid + d;
			return 1;
		}
		if (d <= down && load64(ref - d) == want &&
		    exact_around(run, q, mid - d, RESYNC_MIN)) {
			*r = mid - d;
			return 1;
		}
		if (d > up && d > down)
			break;
	}
	return 0;
}

/*
 * The alignment was lost at `p`: a few bytes were put in or taken out, most
 * likely.  Look for eight bytes of the target, a little further on, in the
 * reference around where they would have been; the nearest is the best.
 */
static int resync(const struct run *run, size_t p, size_t *at, size_t *r)
{
	static const size_t ahead[] = { 8, 32, 96 };

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		size_t q = p + ahead[i];
		int64_t mid = (int64_t)q + run->shift;
		size_t up, down;

		if (!run->aligned || q + 8 > run->len || mid < 0 ||
		    (uint64_t)mid + 8 > run->m->ref_len)
			return 0;
		up = run->m->ref_len - 8 - (size_t)mid;
		down = (size_t)mid;
		if (near(run, q, (size_t)mid, up, down, r)) {
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

/* A position whose window equals the one at `p`: non-zero, and *r set. */
static int find(struct run *run, size_t p, size_t step, size_t *r)
{
	const struct delta_index *ix = run->m->ix;
	const uint8_t *t = run->t + p;
	uint64_t h = index_hash(ix, t);
	unsigned way;

	if (p + 8 * step + WINDOW <= run->len)
		index_prefetch(ix, index_hash(ix, t + 8 * step));
	run->effort++;
	for (way = index_candidates(ix, h); way; way &= way - 1) {
		size_t at = index_position(ix, h, (unsigned)__builtin_ctz(way));

		run->effort += EFFORT_LOOK;
		if (!memcmp(ix->ref + at, t, ix->window)) {
			*r = at;
			return 1;
		}
	}
	return 0;
}

/* Without the index: 1 if taken, 0 to go on at *p, or an error. */
static int nearby(struct run *run, size_t *p)
{
	size_t q, r;
	int err;

	if (*p - run->anchor < LATE && *p + LATE_STEP + WINDOW <= run->len) {
		if (!resync(run, *p, &q, &r)) {
			*p += LATE_STEP;
			return 0;
		}
		*p = q;
		return take(run, q, r);
	}
	err = matcher_index(run->m);
	if (err)
		return err;
	run->m->searching = 1;
	*p = run->anchor;
	return 0;
}

/* What can be made of the bytes at *p: 1 if taken, 0 to go on, or an error. */
static int look(struct run *run, size_t *p)
{
	size_t step = stride(*p - run->anchor), r;
	int took = 0;

	if (run->effort > EFFORT_RATE * *p + EFFORT_SLACK) {
		step = EFFORT_LEAP;
	} else if (holds(run, run->shift, *p, ALIGNED_MIN, &r) ||
		   (run->home != run->shift &&
		    holds(run, run->home, *p, ALIGNED_MIN, &r))) {
		took = take(run, *p, r);
	} else if (!run->m->searching) {
		return nearby(run, p);
	} else if (*p + WINDOW <= run->len && find(run, *p, step, &r)) {
		took = take(run, *p, r);
	}
	if (!took)
		*p += step;
	return took;
}

static int run_chunk(struct run *run)
{
	size_t p = 0, q, r;

	while (p + ALIGNED_MIN <= run->len) {
		int took = look(run, &p);

		while (took > 0) {
			run->credit += run->anchor > p ? run->anchor - p : 0;
			p = run->anchor;
			if (run->credit < run->price)
				break;
			run->credit = 0;
			if (!resync(run, p, &q, &r)) {
				if (run->price < RESYNC_DEAR)
					run->price *= 2;
				break;
			}
			run->price = RESYNC_PRICE;
			took = take(run, q, r);
		}
		if (took < 0)
			return took;
		if (p < run->anchor)
			p = run->anchor;
	}
	return 0;
}

int match_coarse(struct matcher *m, const uint8_t *t, size_t len,
		 struct matches *out)
{
	struct run run = { .m = m,
			   .t = t,
			   .len = len,
			   .out = out,
			   .first = out->n,
			   .aligned = m->aligned,
			   .shift = (int64_t)m->next,
			   .home = (int64_t)m->next,
			   .credit = RESYNC_PRICE,
			   .price = RESYNC_PRICE,
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
