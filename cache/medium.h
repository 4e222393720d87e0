#ifndef CACHE_MEDIUM_H
#define CACHE_MEDIUM_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Where the sealed bytes of a reference lie: in a file, or in memory (sealed
 * there too: it may be swapped).  Passed by value; whoever opened it closes
 * it, once.
 */
struct medium {
	int fd; /* -1: in memory */
	uint8_t *memory;
	size_t len; /* of memory */
};

struct medium medium_file(int fd); /* takes `fd` over */
/* 0 or -ENOMEM: then nothing is to be closed. */
MUST_CHECK int medium_memory(struct medium *out, uint64_t len);

/* All or nothing.  0; -EBADMSG if there is less; -errno. */
MUST_CHECK int medium_read(const struct medium *m, void *buf, size_t len,
			   uint64_t off);
MUST_CHECK int medium_write(const struct medium *m, const void *buf, size_t len,
			    uint64_t off);
void medium_close(struct medium *m);

/* Bytes of memory that a medium of `len` bytes takes: whole pages. */
uint64_t medium_memory_cost(uint64_t len);

#endif
