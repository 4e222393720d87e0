#include <errno.h>

#include "delta/match_private.h"
#include "delta/nature.h"
#include "delta/nearest.h"

/*
 * For text, and for what is too large to be looked at finely.  Tuned on series
 * of source trees; see delta/FORMAT.md, "Why".  A match must gain some bytes
 * over literals; an extension is given up once it has lost X_DROP against its
 * best; after the alignment is lost, it is looked for within RESYNC_REACH bytes
 * of where it was.
 */
#define GAIN_TEXT    56 /* where literals compress well */
#define GAIN_DENSE   14 /* where they hardly do */
#define X_DROP       48
#define RESYNC_REACH 1024
#define RESYNC_HITS  32 /* places with the same eight bytes that are looked at */
#define RESYNC_MIN   24 /* exact bytes that make a new alignment */
#define RESYNC_PRICE 48 /* bytes gone over that pay for one; twice as many */
#define RESYNC_DEAR  1536 /* after each that failed, up to so many */
#define HOME_MIN     1024 /* a match of so many bytes is no accident */
#define ALIGNED_MIN  16 /* exact bytes that bring the last alignment back */
#define BACK_REACH   4096 /* bytes of the last match that the next may take */
#define EFFORT_TAKE  100 /* an extension that came to nothing */
#define EFFORT_GONE  2 /* bytes of an extension that led to nothing better */
#define WINDOW       INDEX_WINDOW_MAX
#define AHEAD        16
#define FOLLOW_BACK  32 /* of them before it */
#define EXACT_TEXT   48 /* equal bytes of a candidate that text wants */
#define FOLLOW       256 /* bytes that candidates are compared by */

/*
 * An index takes as long to build as many an encoding without one.  So the
 * first time that bytes are nowhere near, the next LATE of them are gone over
 * for more, and only then gone over again with the index.
 */
#define LATE      ((size_t)2 << 10)
#define LATE_STEP 64

/* A window hashed ahead of its turn, to have its bucket fetched meanwhile. */
struct hashed {
	size_t at;
	uint64_t hash;
};

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
	size_t exact_min; /* bytes that make a candidate worth extending */
	int64_t home; /* the alignment of the last long match */
	size_t credit; /* bytes gone over since the last resync */
	size_t price; /* of the next */
	int64_t refused; /* the alignment that did not pay last, */
	size_t refused_end; /* and up to where it need not be asked again */
	struct hashed hashed[AHEAD];
};

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
	size_t room = run->len - p, floor = run->anchor, overlap;
	struct extension fwd, back;
	int err;

	if (room > run->m->ref_len - r)
		room = run->m->ref_len - r;
	fwd = extend_forward(t + p, ref + r, room, X_DROP);
	if (last)
		floor = last->len > BACK_REACH ? run->anchor - BACK_REACH
					       : last->target;
	room = p - floor < r ? p - floor : r;
	back = extend_backward(t + p, ref + r, room, X_DROP);
	one = (struct match){ .target = p - back.len,
			      .len = back.len + fwd.len,
			      .ref = r - back.len };
	overlap =
		last && run->anchor > one.target ? run->anchor - one.target : 0;
	/* What was gone over for nothing, and what once before. */
	run->m->effort +=
		(fwd.gone + back.gone - one.len + 16) / EFFORT_GONE + overlap;
	if (overlap) {
		size_t split = best_split(t + one.target,
					  ref + last->ref +
						  (one.target - last->target),
					  ref + one.ref, overlap);

		back.score -= score_of(t + one.target, ref + one.ref, split);
		one.target += split;
		one.ref += split;
		one.len -= split;
		overlap -= split;
	}
	if (fwd.score + back.score < run->gain_min) {
		run->m->effort += EFFORT_TAKE;
		run->refused = (int64_t)r - (int64_t)p;
		run->refused_end = p + fwd.len;
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

	if ((shift == run->refused && p < run->refused_end) || !run->aligned ||
	    at < 0 || n > run->len - p || (uint64_t)at + n > run->m->ref_len)
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

static size_t reach(size_t room)
{
	return room < RESYNC_REACH ? room : RESYNC_REACH;
}

/*
 * The alignment was lost at `p`: a few bytes were put in or taken out, most
 * likely.  Look for eight bytes of the target, a little further on, in the
 * reference around where they would have been; the nearest is the best.
 */
static int resync(struct run *run, size_t p, size_t *at, size_t *r)
{
	static const size_t ahead[] = { 8, 32, 96 };

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		size_t q = p + ahead[i];
		int64_t mid = (int64_t)q + run->shift;
		struct nearest n = { .ref = run->m->ref, .next = 1 };

		if (!run->aligned || q + 8 > run->len || mid < 0 ||
		    (uint64_t)mid + 8 > run->m->ref_len)
			return 0;
		n.mid = (size_t)mid;
		n.up = reach(run->m->ref_len - 8 - n.mid);
		n.down = reach(n.mid);
		n.want = load64(run->t + q);
		for (int hits = 0; hits < RESYNC_HITS && nearest_find(&n, r);
		     hits++) {
			if (exact_around(run, q, *r, RESYNC_MIN)) {
				*at = q;
				return 1;
			}
			run->m->effort += EFFORT_LOOK;
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

/* Equal bytes right before, up to FOLLOW_BACK. */
static size_t equal_behind(const struct run *run, size_t p, size_t r)
{
	const uint8_t *t = run->t + p, *ref = run->m->ref + r;
	size_t n = 0, max = p < r ? p : r;

	if (max > FOLLOW_BACK)
		max = FOLLOW_BACK;
	while (n < max && t[-1 - (ptrdiff_t)n] == ref[-1 - (ptrdiff_t)n])
		n++;
	return n;
}

/*
 * A position whose window equals the one at `p`, of several the one where most
 * follows: non-zero, and *r set.
 */
static int find(struct run *run, size_t p, size_t step, size_t *r)
{
	const struct delta_index *ix = run->m->ix;
	const uint8_t *t = run->t + p;
	struct hashed *hashed = &run->hashed[p % AHEAD];
	uint64_t h = hashed->at == p ? hashed->hash : index_hash(ix, t);
	size_t next = p + AHEAD * step, best = 0;
	unsigned way;

	/* For the same slot, when its turn comes. */
	if (next + WINDOW <= run->len) {
		hashed->at = next;
		hashed->hash = index_hash(ix, run->t + next);
		index_prefetch(ix, hashed->hash);
	}
	run->m->effort++;
	for (way = index_candidates(ix, h); way; way &= way - 1) {
		size_t at = index_position(ix, h, (unsigned)__builtin_ctz(way));
		size_t room = ix->ref_len - at, n;

		if (room > run->len - p)
			room = run->len - p;
		if (room > FOLLOW)
			room = FOLLOW;
		n = equal_run(t, ix->ref + at, room);
		run->m->effort += EFFORT_LOOK + n / 8;
		if (n > best) {
			best = n;
			*r = at;
		}
	}
	return best >= ix->window &&
	       best + equal_behind(run, p, *r) >= run->exact_min;
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

/* Where the bytes at `p` may have come from: 1 and *r, 0 for nowhere. */
static int candidate(struct run *run, size_t p, size_t step, size_t *r)
{
	if (holds(run, run->shift, p, ALIGNED_MIN, r) ||
	    (run->home != run->shift &&
	     holds(run, run->home, p, ALIGNED_MIN, r)))
		return 1;
	return run->m->searching && p + WINDOW <= run->len &&
	       find(run, p, step, r) &&
	       !((int64_t)*r - (int64_t)p == run->refused &&
		 p < run->refused_end);
}

/* What can be made of the bytes at *p: 1 if taken, 0 to go on, or an error. */
static int look(struct run *run, size_t *p)
{
	size_t step = stride(*p - run->anchor), r = 0;
	int took = 0;

	if (exhausted(run->m, *p, EFFORT_COARSE))
		step = EFFORT_LEAP;
	else if (candidate(run, *p, step, &r))
		took = take(run, *p, r);
	else if (!run->m->searching)
		return nearby(run, p);
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
	struct nature nature = nature_of(t, len);
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
			   .exact_min = nature.text ? EXACT_TEXT : 0,
			   .gain_min = nature.dense ? GAIN_DENSE : GAIN_TEXT };
	int64_t next;
	int err;

	for (size_t i = 0; i < AHEAD; i++)
		run.hashed[i].at = SIZE_MAX;
	err = run_chunk(&run);
	if (err)
		return err;
	next = (int64_t)len + run.shift;
	m->done += len;
	m->aligned = run.aligned && next >= 0;
	m->next = m->aligned ? (size_t)next : 0;
	return 0;
}
