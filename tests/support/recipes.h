#ifndef TESTS_RECIPES_H
#define TESTS_RECIPES_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Pairs that are made to cost a delta encoder time or size, or to be lost at
 * some edge: for unit/deltas, which wants them back and within bounds, and for
 * bench/worst, which times them.  The same for the same size.
 */
struct recipe {
	const char *name;
	const char *what;
	/* `arg` is the recipe's own; `n` is about the target's length. */
	void (*make)(const struct recipe *r, struct bytes *ref,
		     struct bytes *target, size_t n);
	unsigned arg;
	int binary; /* bytes of all values: the fine matcher; else letters */
};

/* One after another, from 0; NULL behind the last. */
const struct recipe *recipe_get(size_t i);

/* The parts that others are made of.  They abort when out of memory. */
struct random {
	uint64_t state; /* not 0 */
};

uint32_t random_next(struct random *r);
void put_bytes(struct bytes *b, const void *data, size_t len);
/* `len` unrelated bytes: of code-like statistics, or letters. */
void put_random(struct bytes *b, struct random *r, int binary, size_t len);

extern const struct recipe recipes_plain[], recipes_hard[];
extern const size_t n_recipes_plain, n_recipes_hard;

#endif
