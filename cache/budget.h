#ifndef CACHE_BUDGET_H
#define CACHE_BUDGET_H

#include <pthread.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * A number of bytes, of disk or of memory, that is never overdrawn: whoever
 * wants to use some takes them first.
 *
 * Where `reclaim` is set and a request does not fit, it is called, without the
 * lock, with what is missing; it gives back what it can and returns how much
 * it got, 0 for no more.
 */
struct budget {
	pthread_mutex_t lock;
	uint64_t max, used;
	uint64_t (*reclaim)(void *arg, uint64_t missing);
	void *reclaim_arg;
};

void budget_init(struct budget *b, uint64_t max);
void budget_clear(struct budget *b);

/* 0 or -ENOSPC. */
MUST_CHECK int budget_take(struct budget *b, uint64_t n);
void budget_give(struct budget *b, uint64_t n);
uint64_t budget_used(struct budget *b);

#endif
