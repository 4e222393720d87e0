#include "s3/deadline.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/aead.h"
#include "crypto/clock.h"
#include "s3/error.h"
#include "s3/tokens.h"

#define STEP_MS      50 /* between looks at `cancel` */
#define LEFT_MIN_MS  50 /* less is no time for another try */
#define TOKENS_MAX   100.0
#define TOKENS_PER_S 10.0
#define PER_SUCCESS  0.5

struct retry_budget {
	struct tokens tokens;
};

int retry_budget_new(struct retry_budget **out)
{
	struct retry_budget *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return -ENOMEM;
	if (tokens_init(&b->tokens, TOKENS_PER_S, TOKENS_MAX, TOKENS_MAX) !=
	    0) {
		free(b);
		return -ENOMEM;
	}
	*out = b;
	return 0;
}

void retry_budget_free(struct retry_budget *b)
{
	if (b == NULL)
		return;
	tokens_destroy(&b->tokens);
	free(b);
}

void retry_budget_success(struct retry_budget *b)
{
	if (b != NULL)
		tokens_add(&b->tokens, PER_SUCCESS);
}

static int budget_take(struct retry_budget *b)
{
	return b == NULL || tokens_take(&b->tokens, 1) == 1;
}

void deadline_init(struct deadline *d, uint64_t limit_ms,
		   struct retry_budget *budget)
{
	d->limit_ms = limit_ms;
	d->budget = budget;
	atomic_init(&d->moved_ms, clock_ms());
	atomic_init(&d->up, 0);
	atomic_init(&d->down, 0);
}

void deadline_restart(struct deadline *d)
{
	if (d == NULL)
		return;
	atomic_store(&d->up, 0);
	atomic_store(&d->down, 0);
}

void deadline_moved(struct deadline *d)
{
	if (d != NULL)
		atomic_store(&d->moved_ms, clock_ms());
}

/* Raise `mark` to `to`; was it lower? */
static int raise(_Atomic uint64_t *mark, uint64_t to)
{
	uint64_t was = atomic_load(mark);

	while (was < to)
		if (atomic_compare_exchange_weak(mark, &was, to))
			return 1;
	return 0;
}

void deadline_reach(struct deadline *d, uint64_t up, uint64_t down)
{
	int further;

	if (d == NULL)
		return;
	further = raise(&d->up, up);
	if (raise(&d->down, down) || further)
		deadline_moved(d);
}

void deadline_excuse(struct deadline *d, uint64_t ms)
{
	uint64_t now = clock_ms();
	uint64_t was;
	uint64_t to;

	if (d == NULL)
		return;
	was = atomic_load(&d->moved_ms);
	do
		/* Several may have the same time to excuse. */
		to = was + ms < now ? was + ms : now;
	while (!atomic_compare_exchange_weak(&d->moved_ms, &was, to));
}

uint64_t deadline_left_ms(const struct deadline *d)
{
	uint64_t end;
	uint64_t now;

	if (d == NULL || d->limit_ms == 0)
		return UINT64_MAX;
	end = atomic_load(&d->moved_ms) + d->limit_ms;
	now = clock_ms();
	return now < end ? end - now : 0;
}

/* 0 to `cap`, so that clients which failed together do not return together. */
static uint64_t jitter_ms(uint64_t cap)
{
	uint8_t random[8];

	if (aead_random(random, sizeof(random)) != 0)
		return cap / 2;
	return le64_get(random) % (cap + 1);
}

/* What the wait is to be, of which some time is left for the try itself. */
static uint64_t pause_ms(unsigned attempt, const struct store_error *why,
			 uint64_t left)
{
	uint64_t cap = BACKOFF_BASE_MS;
	uint64_t ms;

	for (; attempt > 0 && cap < BACKOFF_CAP_MS; attempt--)
		cap *= 2;
	if (cap > BACKOFF_CAP_MS)
		cap = BACKOFF_CAP_MS;
	ms = jitter_ms(cap) + (uint64_t)why->retry_after_s * 1000;
	return ms < left / 4 * 3 ? ms : left / 4 * 3;
}

int deadline_backoff(unsigned attempt, const struct store_error *why,
		     const struct store_call *call)
{
	uint64_t left = deadline_left_ms(call->deadline);
	uint64_t until = clock_ms() + pause_ms(attempt, why, left);
	struct retry_budget *budget =
		call->deadline != NULL ? call->deadline->budget : NULL;

	for (;;) {
		struct timespec pause = { 0, 0 };
		uint64_t now = clock_ms();
		uint64_t rest = now < until ? until - now : STEP_MS;

		if (store_cancelled(call))
			return store_fail(call, -EINTR, "interrupted");
		if (deadline_left_ms(call->deadline) < LEFT_MIN_MS)
			return -ETIMEDOUT;
		/* The first repeat is what a passing fault needs. */
		if (now >= until && (budget_take(budget) || attempt == 1))
			return 0;
		pause.tv_nsec =
			(long)(rest < STEP_MS ? rest : STEP_MS) * 1000000;
		(void)nanosleep(&pause, NULL); /* cut short: looks sooner */
	}
}
