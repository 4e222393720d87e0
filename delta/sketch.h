#ifndef DELTA_SKETCH_H
#define DELTA_SKETCH_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * A few bytes that tell how much two files have in common without looking at
 * either: one-permutation min-wise hashing (P. Li, A. Owen, C.-H. Zhang, 2012)
 * over windows chosen by their content, one byte a bin.
 */
#define SKETCH_BINS 64
#define SKETCH_HEX  (2 * SKETCH_BINS + 1) /* as text, with its NUL */

struct sketch {
	uint8_t bin[SKETCH_BINS]; /* 0: empty */
};

/* A sketch being made of bytes that come in order.  Zero-initialise. */
struct sketcher {
	uint64_t gear; /* rolling hash of the last 64 bytes */
	uint64_t seen;
	uint64_t min[SKETCH_BINS]; /* smallest feature so far, plus one */
};

void sketcher_feed(struct sketcher *s, const void *data, size_t len);
void sketcher_finish(const struct sketcher *s, struct sketch *out);

/*
 * Estimated share of what either holds that both hold (Jaccard), in
 * thousandths; the standard error is about 60 near zero, less for none at all:
 * see SKETCH_ALIKE.
 */
unsigned sketch_resemblance(const struct sketch *a, const struct sketch *b);

/* From here on two files are taken to be related; chance is under 1 in 2,000. */
#define SKETCH_ALIKE 60

#endif
