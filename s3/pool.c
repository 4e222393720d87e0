#include "s3/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto/clock.h"
#include "s3/deadline.h"
#include "s3/error.h"

#define LOOK_MS 100 /* between looks at `cancel` and the time */

struct pool {
	struct pool_conf conf;
	_Atomic uint64_t moved_ms; /* when a byte last did, on any of them */
	pthread_mutex_t mutex; /* all below */
	pthread_cond_t freed;
	unsigned idle_len, made;
	void *idle[];
};

int pool_new(struct pool **out, const struct pool_conf *conf)
{
	struct pool *p;

	p = calloc(1, sizeof(*p) + conf->max * sizeof(p->idle[0]));
	if (p == NULL)
		return -ENOMEM;
	p->conf = *conf;
	atomic_init(&p->moved_ms, clock_ms());
	if (pthread_mutex_init(&p->mutex, NULL) != 0)
		goto free_pool;
	if (clock_cond_init(&p->freed) != 0)
		goto destroy_mutex;
	*out = p;
	return 0;

destroy_mutex:
	pthread_mutex_destroy(&p->mutex);
free_pool:
	free(p);
	return -ENOMEM;
}

void pool_free(struct pool *p)
{
	unsigned i;

	if (p == NULL)
		return;
	for (i = 0; i < p->idle_len; i++)
		p->conf.close(p->idle[i]);
	pthread_cond_destroy(&p->freed);
	pthread_mutex_destroy(&p->mutex);
	free(p);
}

/*
 * May a caller go on waiting for a connection?  It had `left_ms` of its time
 * when it came, at `since_ms`; but as long as those who have them get anywhere,
 * it is not the server that keeps it waiting.
 */
static int may_wait(struct pool *p, const struct store_call *call,
		    uint64_t since_ms, uint64_t left_ms)
{
	uint64_t moved = atomic_load(&p->moved_ms);

	if (store_cancelled(call))
		return store_fail(call, -EINTR, "%s: interrupted",
				  p->conf.name);
	if (moved < since_ms)
		moved = since_ms;
	if (clock_ms() - moved < left_ms)
		return 0;
	return store_again(call, ETIMEDOUT,
			   "%s: all %u connections wait for an answer",
			   p->conf.name, p->conf.max);
}

static int is_empty(const struct pool *p)
{
	return p->idle_len == 0 && p->made == p->conf.max;
}

int pool_get(struct pool *p, const struct store_call *call, void **out)
{
	uint64_t left = deadline_left_ms(call->deadline);
	uint64_t start = clock_ms();
	uint64_t moved;
	int rc = 0;

	pthread_mutex_lock(&p->mutex);
	while (is_empty(p)) {
		/* Unlocked, as `cancel` is the caller's own code. */
		pthread_mutex_unlock(&p->mutex);
		rc = may_wait(p, call, start, left);
		if (rc != 0)
			return rc;
		pthread_mutex_lock(&p->mutex);
		if (is_empty(p))
			clock_cond_wait(&p->freed, &p->mutex, LOOK_MS);
	}
	if (p->idle_len > 0) {
		*out = p->idle[--p->idle_len];
	} else {
		*out = p->conf.open();
		rc = *out != NULL ? 0
				  : store_fail(call, -ENOMEM, "out of memory");
		p->made += rc == 0;
	}
	pthread_mutex_unlock(&p->mutex);
	/* As long as bytes came it was not the server that kept it waiting. */
	moved = atomic_load(&p->moved_ms);
	if (moved > start)
		deadline_excuse(call->deadline, moved - start);
	return rc;
}

void pool_put(struct pool *p, void *connection)
{
	pthread_mutex_lock(&p->mutex);
	p->idle[p->idle_len++] = connection;
	pthread_cond_signal(&p->freed);
	pthread_mutex_unlock(&p->mutex);
}

void pool_moved(struct pool *p)
{
	atomic_store(&p->moved_ms, clock_ms());
}
