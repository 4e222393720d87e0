#ifndef DELTA_INDEX_H
#define DELTA_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Where in the reference a run of bytes may be found: a hash table of its
 * positions, every 16th in text, every 4th or 8th in binaries of up to 128 MiB.
 * Opaque and immutable: any number of threads may use one.
 */
struct delta_index;

/*
 * Index `ref`, which is borrowed: it must outlive the index and not change.
 * 0; -EFBIG past 32 GiB; -ENOMEM.
 */
MUST_CHECK int delta_index_new(struct delta_index **out, const uint8_t *ref,
			       size_t ref_len);
void delta_index_free(struct delta_index *ix); /* NULL-safe */

/* Bytes of memory that an index of `ref_len` bytes takes, text not counted. */
size_t delta_index_cost(size_t ref_len);

const uint8_t *delta_index_ref(const struct delta_index *ix, size_t *len);

#endif
