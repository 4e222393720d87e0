#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * Memory for keys: locked, left out of core dumps, between guard pages, and
 * wiped when it is given back.  It is OpenSSL's secure heap.
 *
 * secret_init() once, before any thread and the first secret_new(); without
 * it, as in tests, secrets lie in ordinary memory.
 * 0; -EPERM: it works, but the system does not lock so much (RLIMIT_MEMLOCK);
 * -ENOMEM.
 */
MUST_CHECK int secret_init(void);

/* Zeroed.  NULL if there is no more: the heap is of a fixed size. */
void *secret_new(size_t len);
void secret_free(void *p, size_t len); /* wipes; NULL-safe */

#endif
