#include "cache/budget.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

void budget_init(struct budget *b, uint64_t max)
{
	pthread_mutex_init(&b->lock, NULL);
	b->max = max;
	b->used = 0;
	b->make_room = NULL;
	b->make_room_arg = NULL;
}

void budget_clear(struct budget *b)
{
	pthread_mutex_destroy(&b->lock);
}

void budget_set_max(struct budget *b, uint64_t max)
{
	(void)pthread_mutex_lock(&b->lock);
	b->max = max;
	(void)pthread_mutex_unlock(&b->lock);
}

int budget_take(struct budget *b, uint64_t n)
{
	int err = 0;

	(void)pthread_mutex_lock(&b->lock);
	if (b->used > b->max || n > b->max - b->used)
		err = -ENOSPC;
	else
		b->used += n;
	(void)pthread_mutex_unlock(&b->lock);
	return err;
}

void budget_give(struct budget *b, uint64_t n)
{
	pthread_mutex_lock(&b->lock);
	assert(n <= b->used);
	b->used -= n;
	pthread_mutex_unlock(&b->lock);
}

uint64_t budget_used(struct budget *b)
{
	uint64_t used;

	pthread_mutex_lock(&b->lock);
	used = b->used;
	pthread_mutex_unlock(&b->lock);
	return used;
}

uint64_t budget_max(struct budget *b)
{
	uint64_t max;

	pthread_mutex_lock(&b->lock);
	max = b->max;
	pthread_mutex_unlock(&b->lock);
	return max;
}
