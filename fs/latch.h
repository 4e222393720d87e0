#ifndef FS_LATCH_H
#define FS_LATCH_H

#include <stdint.h>

/*
 * A lock of four bytes, for what there are hundreds of thousands of: held by
 * one writer or any number of readers.  It may be held for long; only taking it
 * and letting go of it share a mutex with others.  Zero-initialise it; there is
 * nothing to destroy.
 */
struct latch {
	int16_t holders; /* readers; -1: a writer */
	uint16_t waiting;
};

void latch_read(struct latch *l);
void latch_write(struct latch *l);
int latch_try_write(struct latch *l); /* 1 if it is ours now, or 0 */
void latch_release(struct latch *l);

#endif
