#include "s3/tokens.h"

#include <errno.h>

#include "crypto/clock.h"

int tokens_init(struct tokens *t, double per_s, double most, double held)
{
	t->per_s = per_s;
	t->most = most;
	t->held = held;
	t->filled_ms = clock_ms();
	return pthread_mutex_init(&t->mutex, NULL) == 0 ? 0 : -ENOMEM;
}

void tokens_destroy(struct tokens *t)
{
	pthread_mutex_destroy(&t->mutex);
}

static void fill(struct tokens *t, double n)
{
	t->held += n;
	if (t->held > t->most)
		t->held = t->most;
}

void tokens_add(struct tokens *t, double n)
{
	pthread_mutex_lock(&t->mutex);
	fill(t, n);
	pthread_mutex_unlock(&t->mutex);
}

uint64_t tokens_take(struct tokens *t, uint64_t want)
{
	uint64_t taken = 0;
	uint64_t now;

	pthread_mutex_lock(&t->mutex);
	now = clock_ms();
	fill(t, t->per_s * (double)(now - t->filled_ms) / 1000);
	t->filled_ms = now;
	if (t->held >= 1) {
		taken = t->held < (double)want ? (uint64_t)t->held : want;
		t->held -= (double)taken;
	}
	pthread_mutex_unlock(&t->mutex);
	return taken;
}
