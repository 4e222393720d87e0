#include "cache/budget.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

void budget_init(struct budget *b, uint64_t max)
{
	pthread_mutex_init(&b->lock, NULL);
	b->max = max;
	b->used = 0;
	b->reclaim = NULL;
	b->reclaim_arg = NULL;
}

void budget_clear(struct budget *b)
{
	pthread_mutex_destroy(&b->lock);
}

int budget_take(struct budget *b, uint64_t n)
{
	/* What can never fit must not cost others what they hold. */
	if (n > b->max)
		return -ENOSPC;
	for (;;) {
		uint64_t missing = 0;

		pthread_mutex_lock(&b->lock);
		if (n <= b->max - b->used)
			b->used += n;
		else
			missing = n - (b->max - b->used);
		pthread_mutex_unlock(&b->lock);
		if (!missing)
			return 0;
		/* Others may take what it gets before we do: ask again. */
		if (!b->reclaim || !b->reclaim(b->reclaim_arg, missing))
			return -ENOSPC;
	}
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
