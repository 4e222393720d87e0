#ifndef CACHE_PAGETABLE_H
#define CACHE_PAGETABLE_H

#include <stddef.h>
#include <stdint.h>

#include "cache/pagefile.h"
#include "crypto/aead.h"
#include "crypto/bytes.h"

#define PAGETABLE_SLOT  (PAGEFILE_PAGE + AEAD_OVERHEAD) /* bytes on disk */
#define PAGETABLE_BLOCK ((uint64_t)4096) /* what disks hand out */

/* What is known of one page; all zero: never written. */
struct page {
	uint8_t nonce[AEAD_NONCE_LEN]; /* of the version that is on disk */
	uint32_t len; /* plaintext bytes sealed; those behind are zeros */
	uint32_t room; /* plaintext bytes that disk is set aside for */
};

/*
 * The pages of one file, and how much disk they take.  It lives in memory
 * alone, so that nobody who can write to the disk can put an older page back.
 * Memory goes by 64 MiB stretches of the file; holes cost little.  No locks.
 */
struct pagetable {
	struct page **chunks;
	size_t count;
	uint64_t disk; /* bytes, in whole blocks */
};

void pagetable_clear(struct pagetable *t);

/* One page; never NULL.  Borrowed until the next change. */
const struct page *pagetable_peek(const struct pagetable *t, uint64_t i);

/* The same to change its nonce and length.  NULL if out of memory. */
struct page *pagetable_touch(struct pagetable *t, uint64_t i);

/* Where page `i` starts in the file. */
uint64_t pagetable_offset(uint64_t i);

/* Bytes of disk that giving page `i`, which has less, `room` would take. */
uint64_t pagetable_cost(const struct pagetable *t, uint64_t i, uint32_t room);

/* Set the room of a touched page. */
void pagetable_set_room(struct pagetable *t, uint64_t i, uint32_t room);

/* Where to cut the file so that nothing of page `first` and above stays. */
uint64_t pagetable_cut_at(const struct pagetable *t, uint64_t first);

/* Forget page `first` and all above. */
void pagetable_cut(struct pagetable *t, uint64_t first);

#endif
