#ifndef TESTS_EDITS_H
#define TESTS_EDITS_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Versions of files, made by chance and the same each time, for tests of one
 * thread.  Aborts where memory runs out.
 */
void edits_seed(uint64_t seed); /* not 0 */
uint32_t edits_random(void);
uint32_t edits_below(size_t n); /* 0 if `n` is 0 */

/* Append `len` random bytes. */
void edits_fill(struct bytes *b, size_t len);

/* `del` bytes at `at`, or as many as there are, make room for `ins`. */
void edits_splice(struct bytes *b, size_t at, size_t del, const void *ins,
		  size_t len);

/* One edit of the kinds that versions are made of. */
void edits_make(struct bytes *b);

#endif
