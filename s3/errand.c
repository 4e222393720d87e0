#include "s3/errand.h"

#include <pthread.h>
#include <stdio.h>

#include "crypto/clock.h"

struct errand {
	struct deadline deadline;
	pthread_mutex_t mutex; /* all below */
	int is_timed; /* `deadline` has its limit */
	unsigned operations; /* under way */
	uint64_t idle_ms; /* since when there is none */
	uint64_t most_ms; /* of it; 0: as the operations have it */
	int rc;
	char reason[sizeof(((struct store_error *)0)->text) + 128];
};

/* Storage that lives as long as the thread; who joins ends before. */
static _Thread_local struct errand own = { .mutex = PTHREAD_MUTEX_INITIALIZER };
static _Thread_local struct errand *current;

void errand_begin(void)
{
	deadline_init(&own.deadline, 0, NULL);
	own.is_timed = 0;
	own.operations = 0;
	own.idle_ms = clock_ms();
	own.most_ms = 0;
	own.rc = 0;
	current = &own;
}

void errand_hurry(uint64_t most_ms)
{
	if (current == NULL)
		return;
	pthread_mutex_lock(&current->mutex);
	current->most_ms = most_ms;
	pthread_mutex_unlock(&current->mutex);
}

void errand_end(void)
{
	current = NULL;
}

struct errand *errand_current(void)
{
	return current;
}

void errand_join(struct errand *e)
{
	current = e;
}

struct deadline *errand_operation(uint64_t limit_ms,
				  struct retry_budget *budget)
{
	struct errand *e = current;

	if (e == NULL)
		return NULL;
	pthread_mutex_lock(&e->mutex);
	if (!e->is_timed) {
		if (e->most_ms != 0 && (limit_ms == 0 || e->most_ms < limit_ms))
			limit_ms = e->most_ms;
		e->deadline.limit_ms = limit_ms;
		e->deadline.budget = budget;
		e->is_timed = 1;
	}
	if (e->operations++ == 0)
		deadline_excuse(&e->deadline, clock_ms() - e->idle_ms);
	pthread_mutex_unlock(&e->mutex);
	return &e->deadline;
}

void errand_operation_over(void)
{
	struct errand *e = current;

	if (e == NULL)
		return;
	pthread_mutex_lock(&e->mutex);
	if (--e->operations == 0)
		e->idle_ms = clock_ms();
	pthread_mutex_unlock(&e->mutex);
}

void errand_failed(const char *verb, const char *key, int rc,
		   const struct store_error *why)
{
	struct errand *e = current;

	if (e == NULL)
		return;
	pthread_mutex_lock(&e->mutex);
	e->rc = rc;
	(void)snprintf(e->reason, sizeof(e->reason), "%s \"%.100s\": %s", verb,
		       key, why->text);
	pthread_mutex_unlock(&e->mutex);
}

const char *errand_reason(int rc)
{
	struct errand *e = current;
	int is;

	if (e == NULL)
		return NULL;
	pthread_mutex_lock(&e->mutex);
	is = e->rc != 0 && e->rc == rc;
	pthread_mutex_unlock(&e->mutex);
	return is ? e->reason : NULL;
}
