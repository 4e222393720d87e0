#ifndef DELTA_MATCH_PRIVATE_H
#define DELTA_MATCH_PRIVATE_H

#include "delta/index_private.h"
#include "delta/match.h"

/*
 * What both matchers are made of.  Scores are bytes that are equal less bytes
 * that are not.
 */
#define X_DROP_NEVER INT64_MAX

/* Of the first `len` bytes. */
int64_t score_of(const uint8_t *t, const uint8_t *r, size_t len);

struct extension {
	size_t len; /* of the prefix with the best score */
	size_t gone; /* bytes gone over to find it */
	int64_t score;
};

/* Given up once it lost `x_drop` against its best, or a few bytes later. */
struct extension extend_forward(const uint8_t *t, const uint8_t *r, size_t max,
				int64_t x_drop);

/* The same before `t` and `r`, towards lower addresses. */
struct extension extend_backward(const uint8_t *t, const uint8_t *r, size_t max,
				 int64_t x_drop);

/* Where in the overlap of matches `a` and `b` the second is to take over. */
size_t best_split(const uint8_t *t, const uint8_t *a, const uint8_t *b,
		  size_t len);

MUST_CHECK int matches_push(struct matches *m, const struct match *one);

/* m->ix is there, or an error says why not. */
MUST_CHECK int matcher_index(struct matcher *m);

/*
 * No input, however crafted, makes the search slow: what is spent on
 * candidates is paid from what was gone over, and who is out of pocket leaps.
 * A byte of target earns the rate; a unit is about 5 ns.
 */
#define EFFORT_COARSE 6
#define EFFORT_FINE   2
#define EFFORT_SLACK  (1 << 18)
#define EFFORT_LOOK   16 /* a candidate */
#define EFFORT_LEAP   31

static inline int exhausted(const struct matcher *m, size_t p, unsigned rate)
{
	return m->effort > rate * (m->done + p) + EFFORT_SLACK;
}

MUST_CHECK int match_coarse(struct matcher *m, const uint8_t *t, size_t len,
			    struct matches *out);
MUST_CHECK int match_fine(struct matcher *m, const uint8_t *t, size_t len,
			  struct matches *out);

#endif
