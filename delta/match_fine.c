#include <errno.h>

#include "delta/match_private.h"

/*
 * For binaries: bsdiff's way of looking, with a hash table.  Wherever the bytes
 * are not as the alignment in force has them, the longest run of exact bytes
 * elsewhere is asked for, and takes over if it is MARGIN better than what the
 * alignment itself gives.  Tuned on series of machine code; see delta/FORMAT.md,
 * "Why".
 */
#define MARGIN        6
#define EXACT         8 /* exact bytes that need no look elsewhere */
#define TRUST_SPAN    32
#define TRUST_MIN     14 /* right bytes of a span, zeros not counted */
#define SCORE_MAX     256 /* bytes that the alignment in force is judged by */
#define BACK_REACH    1024 /* bytes of the last match that the next may take */
#define EFFORT_BUCKET 4 /* out of the cache more often than not */
#define GONE_SHARE    4 /* bytes of an extension that cost as a byte of effort */
#define AHEAD         4
#define WINDOW        8 /* of a fine index */

struct run {
	struct matcher *m;
	const uint8_t *t;
	size_t len;
	struct matches *out;
	int aligned;
	int64_t shift; /* if aligned: reference offset less target offset */
	size_t start; /* of the alignment in force */
	size_t missed; /* where bytes were as expected last */
};

/* Bytes from `p` on that the alignment in force could cover, and from where. */
static size_t covered(const struct run *run, size_t p, size_t *r)
{
	int64_t at = (int64_t)p + run->shift;
	size_t room = run->len - p;

	if (!run->aligned || at < 0 || (uint64_t)at >= run->m->ref_len)
		return 0;
	*r = (size_t)at;
	return room < run->m->ref_len - *r ? room : run->m->ref_len - *r;
}

static size_t equal_count(const uint8_t *t, const uint8_t *r, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += t[i] == r[i];
	return n;
}

/* Is most of what follows as expected?  Zeros are right everywhere. */
static int trusted(const uint8_t *t, const uint8_t *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < TRUST_SPAN; i++)
		n += t[i] == r[i] && t[i];
	return n >= TRUST_MIN;
}

/* The longest run that begins as the bytes at `p`; the nearest of several. */
static size_t longest(struct run *run, size_t p, size_t *best_at)
{
	const struct delta_index *ix = run->m->ix;
	const uint8_t *t = run->t + p;
	uint64_t h = index_hash(ix, t);
	size_t best = 0, distance = SIZE_MAX;
	unsigned way;

	if (p + AHEAD + WINDOW <= run->len)
		index_prefetch(ix, index_hash(ix, t + AHEAD));
	run->m->effort += EFFORT_BUCKET;
	for (way = index_candidates(ix, h); way; way &= way - 1) {
		size_t at = index_position(ix, h, (unsigned)__builtin_ctz(way));
		size_t room = ix->ref_len - at, n, away;
		int64_t off = (int64_t)at - (int64_t)p - run->shift;

		if (room > run->len - p)
			room = run->len - p;
		n = equal_run(t, ix->ref + at, room);
		away = (size_t)(off < 0 ? -off : off);
		run->m->effort += EFFORT_LOOK + (n < 4096 ? n / 4 : 0);
		if (n > best || (n == best && away < distance)) {
			best = n;
			distance = away;
			*best_at = at;
		}
	}
	return best >= WINDOW ? best : 0;
}

/* What the alignment in force covers well, of the bytes from run->start to p. */
static struct match settle(struct run *run, size_t p)
{
	struct match old = { .target = run->start };
	size_t room = covered(run, run->start, &old.ref);
	struct extension e;

	if (room > p - run->start)
		room = p - run->start;
	if (!room)
		return old;
	e = extend_forward(run->t + old.target, run->m->ref + old.ref, room,
			   X_DROP_NEVER);
	run->m->effort += e.gone / GONE_SHARE;
	old.len = e.len;
	return old;
}

/* From now on the alignment that has `r` at `p` is in force. */
static int change(struct run *run, size_t p, size_t r)
{
	const uint8_t *t = run->t, *ref = run->m->ref;
	struct match old = settle(run, p);
	size_t back = p - run->start < r ? p - run->start : r;
	size_t end = old.target + old.len;
	struct extension e;
	int err = 0;

	if (back > BACK_REACH && p - back < end)
		back = p - end > BACK_REACH ? p - end : BACK_REACH;
	e = extend_backward(t + p, ref + r, back, X_DROP_NEVER);
	run->m->effort += e.gone / GONE_SHARE;
	back = e.len;
	if (end > p - back) {
		size_t overlap = end - (p - back), keep;

		run->m->effort += overlap; /* gone over once more */
		keep = best_split(t + p - back,
				  ref + old.ref + old.len - overlap,
				  ref + r - back, overlap);
		old.len -= overlap - keep;
		back -= keep;
	}
	if (old.len)
		err = matches_push(run->out, &old);
	run->start = p - back;
	run->shift = (int64_t)r - (int64_t)p;
	run->aligned = 1;
	return err;
}

/* Through long misses more sparsely; odd, so that all phases are met. */
static size_t stride(size_t missed)
{
	if (missed < 128)
		return 1;
	if (missed < 512)
		return 3;
	return 7;
}

/* Past the bytes at `p`, which are not as expected.  How far, or an error. */
static int64_t look(struct run *run, size_t p)
{
	size_t here = 0, there = 0, room, found, score = 0;
	int err;

	if (exhausted(run->m, p, EFFORT_FINE))
		return EFFORT_LEAP;
	err = matcher_index(run->m);
	if (err)
		return err;
	found = longest(run, p, &there);
	room = covered(run, p, &here);
	if (found && (!room || here != there)) {
		if (room > found)
			room = found;
		if (room > SCORE_MAX)
			room = SCORE_MAX;
		if (room) {
			score = equal_count(run->t + p, run->m->ref + here,
					    room);
			run->m->effort += room / 8;
		}
		if (found > score + MARGIN) {
			err = change(run, p, there);
			run->missed = p + found;
			return err ? err : (int64_t)found;
		}
	}
	return (int64_t)stride(p - run->missed);
}

static int run_chunk(struct run *run)
{
	size_t p = 0, r;
	int64_t step;

	while (p + WINDOW <= run->len) {
		const uint8_t *t = run->t + p;
		size_t room = covered(run, p, &r), n = 0;

		if (room)
			n = equal_run(t, run->m->ref + r, room);
		if (n < EXACT && room >= TRUST_SPAN &&
		    trusted(t, run->m->ref + r)) {
			p += n + 1;
			run->missed = p;
		} else if (n >= EXACT) {
			p += n;
			run->missed = p;
		} else {
			step = look(run, p);
			if (step < 0)
				return (int)step;
			p += (size_t)step;
		}
	}
	return 0;
}

int match_fine(struct matcher *m, const uint8_t *t, size_t len,
	       struct matches *out)
{
	struct run run = { .m = m,
			   .t = t,
			   .len = len,
			   .out = out,
			   .aligned = m->aligned,
			   .shift = (int64_t)m->next };
	struct match last;
	int64_t next;
	int err;

	err = run_chunk(&run);
	if (err)
		return err;
	last = settle(&run, len);
	if (last.len)
		err = matches_push(out, &last);
	next = (int64_t)len + run.shift;
	m->done += len;
	m->aligned = run.aligned && next >= 0;
	m->next = m->aligned ? (size_t)next : 0;
	return err;
}
