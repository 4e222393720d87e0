#ifndef DELTA_CARVE_H
#define DELTA_CARVE_H

#include "delta/match.h"

struct nature;

/*
 * A match covers stretches whose bytes differ so densely that they cost less as
 * literals.  These are cut out of it here.
 */
struct carve {
	const uint8_t *t; /* the chunk */
	const uint8_t *ref;
	unsigned literal_cost; /* eighths of a byte: carve_literal_cost() */
	unsigned field_cost; /* carve_field_cost() */
	int (*copy)(void *arg, const struct match *m);
	int (*literal)(void *arg, size_t start, size_t len);
	void *arg;
};

/* Give the match in pieces, in order.  0, or what copy or literal returned. */
MUST_CHECK int carve(const struct carve *c, const struct match *m);

/* What a literal byte of such data will cost, packed: a guess. */
unsigned carve_literal_cost(const struct nature *n);

/* And a field, by how many of those before it were escapes. */
unsigned carve_field_cost(const struct nature *n, uint64_t fields,
			  uint64_t escapes);

#endif
