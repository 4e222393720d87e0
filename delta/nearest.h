#ifndef DELTA_NEAREST_H
#define DELTA_NEAREST_H

#include <stddef.h>
#include <stdint.h>

/*
 * Where eight bytes stand near a place in the reference.  Looks outward from
 * `mid`, both ways at once.
 */
struct nearest {
	const uint8_t *ref;
	size_t mid;
	size_t up, down; /* how far may be looked; eight bytes are there */
	uint64_t want;
	size_t next; /* the distance to go on from; 1 at first */
};

/* The next place, in order of distance: 1 and *at, or 0 if there is no more. */
int nearest_find(struct nearest *n, size_t *at);

#endif
