#ifndef TESTS_SUPPORT_STORE_CONTRACT_H
#define TESTS_SUPPORT_STORE_CONTRACT_H

#include "s3/store.h"

/*
 * What s3/store.h promises, tried on any store.  Uses keys under `prefix` and
 * leaves none.  `big` is the size, in bytes, of the largest object it writes.
 * The number of failed tests.
 */
int store_contract_run(const char *name, struct store *s, const char *prefix,
		       size_t big);

/* Bytes in memory as a source. */
struct contract_memory {
	const unsigned char *data;
	size_t len;
};
struct store_source contract_source(struct contract_memory *m);

/* Every byte that a position in a file of seed `seed` has in these tests. */
unsigned char contract_byte(uint64_t off, unsigned seed);

#endif
