#ifndef DELTA_INDEX_H
#define DELTA_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Where in the reference a run of bytes may be found: a hash table of its
 * positions, every 16th in text, every 4th in anything else.  Opaque and
 * immutable: any number of threads may use one.
 */
struct delta_index;

/*
 * How finely to look: DELTA_FINE finds runs of 11 bytes, as machine code and
 * records share with their next version; DELTA_COARSE runs of 39 (19 in what is
 * compressed already), which is where text gets faster and no larger.
 */
enum delta_grain { DELTA_COARSE, DELTA_FINE };

/* What suits a reference: fine for binaries of up to 128 MiB, not compressed. */
enum delta_grain delta_grain_of(const uint8_t *ref, size_t ref_len);

/*
 * Index `ref`, which is borrowed: it must outlive the index and not change.
 * With more than `max` bytes of memory to take, positions are further apart.
 * 0; -EFBIG past 16 GiB; -ENOMEM.
 */
MUST_CHECK int delta_index_new(struct delta_index **out, const uint8_t *ref,
			       size_t ref_len, size_t max);
void delta_index_free(struct delta_index *ix); /* NULL-safe */

/* Bytes of memory that an index takes at most: as many as the reference and 64. */
size_t delta_index_cost(size_t ref_len);

#endif
