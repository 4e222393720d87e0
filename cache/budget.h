#ifndef CACHE_BUDGET_H
#define CACHE_BUDGET_H

#include <pthread.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * A number of bytes, of disk or of memory, that is never overdrawn: whoever
 * wants to use some takes them first.
 *
 * The disk may have no room all the same.  Where `make_room` is set it is
 * called then, without the lock: it frees `bytes` or more of disk if it can,
 * and returns how many, 0 for none.
 */
struct budget {
	pthread_mutex_t lock;
	uint64_t max, used; /* `used` is above `max` where that was lowered */
	uint64_t (*make_room)(void *arg, uint64_t bytes);
	void *make_room_arg;
};

void budget_init(struct budget *b, uint64_t max);
void budget_clear(struct budget *b);

void budget_set_max(struct budget *b, uint64_t max);

/* 0 or -ENOSPC. */
MUST_CHECK int budget_take(struct budget *b, uint64_t n);
void budget_give(struct budget *b, uint64_t n);
uint64_t budget_used(struct budget *b);
uint64_t budget_max(struct budget *b);

#endif
