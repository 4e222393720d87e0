#ifndef DELTA_MATCH_H
#define DELTA_MATCH_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

struct delta_index;

/*
 * Finds where a target's bytes stand, nearly the same, in the reference.  A
 * match may hold single differing bytes, as in bsdiff (C. Percival, "Naive
 * differences of executable code", 2003), but candidates come from a hash
 * table instead of a suffix array, and first of all from the alignment that
 * held last.
 */
struct match {
	size_t target; /* offset in the chunk */
	size_t len;
	size_t ref; /* offset in the reference; ref + len is inside it */
};

struct matches {
	struct match *v;
	size_t n, cap;
};

/* What is carried from one chunk of a target to the next. */
struct matcher {
	const struct delta_index *ix; /* borrowed */
	int aligned;
	size_t next; /* if aligned: where the chunk to come goes on in the reference */
};

/*
 * Append the matches of the chunk `t`, in order, not overlapping in the
 * target; what they leave out is literal.  0 or -ENOMEM.
 */
MUST_CHECK int matcher_run(struct matcher *m, const uint8_t *t, size_t len,
			   struct matches *out);

void matches_clear(struct matches *m);

#endif
