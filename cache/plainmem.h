#ifndef CACHE_PLAINMEM_H
#define CACHE_PLAINMEM_H

#include <stddef.h>

/*
 * Memory for plaintext: zeroed, page by page on first use, and left out of
 * core dumps.  NULL if out of memory; `len` is not 0.
 */
void *plainmem_map(size_t len);

/*
 * Wipe the first `used` of the `len` bytes that plainmem_map() gave, and give
 * all back.  Wiping what was never touched would only fetch it.  NULL-safe.
 */
void plainmem_unmap(void *p, size_t len, size_t used);

#endif
