#ifndef DELTA_MATCH_H
#define DELTA_MATCH_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/index.h"

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

/*
 * Gives the index of the reference, which is borrowed for as long as the
 * matcher is used.  0 or -errno.
 */
typedef int delta_index_fn(void *arg, const struct delta_index **out);

/* What is carried from one chunk of a target to the next. */
struct matcher {
	const uint8_t *ref; /* borrowed */
	size_t ref_len;
	enum delta_grain grain;
	delta_index_fn *index; /* asked once, when it is needed */
	void *index_arg;
	const struct delta_index *ix;
	int searching; /* DELTA_COARSE: what was near did not do */
	uint64_t done; /* bytes of the chunks before */
	uint64_t effort; /* spent on them */
	int aligned;
	size_t next; /* if aligned: where the chunk to come goes on in the reference */
};

/* Most versions begin as the one before: aligned at the start. */
void matcher_init(struct matcher *m, const uint8_t *ref, size_t ref_len);

/*
 * Append the matches of the chunk `t`, in order, not overlapping in the
 * target; what they leave out is literal.  The same for the same chunks,
 * whether the index is there already or not.  0, -ENOMEM, or m->index's.
 */
MUST_CHECK int matcher_run(struct matcher *m, const uint8_t *t, size_t len,
			   struct matches *out);

void matches_clear(struct matches *m);

#endif
