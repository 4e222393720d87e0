#ifndef DELTA_MATCH_PRIVATE_H
#define DELTA_MATCH_PRIVATE_H

#include "delta/index_private.h"
#include "delta/match.h"

/*
 * What both matchers are made of.  Scores are bytes that are equal less bytes
 * that are not.
 */
#define X_DROP_NEVER INT64_MAX

/*
 * Length of the prefix with the best score; given up once it lost `x_drop`.
 * *gone is how many bytes were gone over for it.
 */
size_t extend_forward(const uint8_t *t, const uint8_t *r, size_t max,
		      int64_t x_drop, size_t *gone);

/* The same before `t` and `r`, towards lower addresses. */
size_t extend_backward(const uint8_t *t, const uint8_t *r, size_t max,
		       int64_t x_drop, size_t *gone);

/* Where in the overlap of matches `a` and `b` the second is to take over. */
size_t best_split(const uint8_t *t, const uint8_t *a, const uint8_t *b,
		  size_t len);

MUST_CHECK int matches_push(struct matches *m, const struct match *one);

/* m->ix is there, or an error says why not. */
MUST_CHECK int matcher_index(struct matcher *m);

/*
 * No input, however crafted, makes the search slow: what is spent on
 * candidates is paid from what was gone over, and who is out of pocket leaps.
 */
#define EFFORT_RATE  6 /* for each byte of the target; a comparison costs 16 */
#define EFFORT_SLACK (1 << 16)
#define EFFORT_LOOK  16 /* a lookup, or a candidate */
#define EFFORT_LEAP  31

MUST_CHECK int match_coarse(struct matcher *m, const uint8_t *t, size_t len,
			    struct matches *out);
MUST_CHECK int match_fine(struct matcher *m, const uint8_t *t, size_t len,
			  struct matches *out);

#endif
