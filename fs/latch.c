#include "fs/latch.h"

#include <pthread.h>
#include <stddef.h>

#define STRIPES 64

/* Whoever waits for a latch waits with those of others: all are woken. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t released;
} stripes[STRIPES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	for (size_t i = 0; i < STRIPES; i++) {
		(void)pthread_mutex_init(&stripes[i].lock, NULL);
		(void)pthread_cond_init(&stripes[i].released, NULL);
	}
}

static size_t stripe_of(const struct latch *l)
{
	uintptr_t at = (uintptr_t)l;

	(void)pthread_once(&once, init);
	return (size_t)((at >> 4) ^ (at >> 10)) % STRIPES;
}

static void take(struct latch *l, int write)
{
	size_t s = stripe_of(l);

	(void)pthread_mutex_lock(&stripes[s].lock);
	l->waiting++;
	while (write ? l->holders != 0 : l->holders < 0)
		(void)pthread_cond_wait(&stripes[s].released, &stripes[s].lock);
	l->waiting--;
	l->holders = (int16_t)(l->holders + (write ? -1 : 1));
	(void)pthread_mutex_unlock(&stripes[s].lock);
}

void latch_read(struct latch *l)
{
	take(l, 0);
}

void latch_write(struct latch *l)
{
	take(l, 1);
}

int latch_try_write(struct latch *l)
{
	size_t s = stripe_of(l);
	int got;

	(void)pthread_mutex_lock(&stripes[s].lock);
	got = !l->holders;
	if (got)
		l->holders = -1;
	(void)pthread_mutex_unlock(&stripes[s].lock);
	return got;
}

void latch_release(struct latch *l)
{
	size_t s = stripe_of(l);

	(void)pthread_mutex_lock(&stripes[s].lock);
	l->holders = (int16_t)(l->holders - (l->holders < 0 ? -1 : 1));
	/* The latch may be freed as soon as the mutex is. */
	if (!l->holders && l->waiting)
		(void)pthread_cond_broadcast(&stripes[s].released);
	(void)pthread_mutex_unlock(&stripes[s].lock);
}
