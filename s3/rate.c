#include "s3/rate.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "s3/deadline.h"
#include "s3/error.h"

#define HELD_MS 250 /* what the bucket holds, in time */
#define STEP_MS 50 /* between looks at `cancel` */

struct rate {
	uint64_t per_s;
	pthread_mutex_t mutex; /* all below */
	double tokens;
	uint64_t filled_ms;
};

int rate_new(struct rate **out, uint64_t per_s)
{
	struct rate *r;

	*out = NULL;
	if (per_s == 0)
		return 0;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	if (pthread_mutex_init(&r->mutex, NULL) != 0) {
		free(r);
		return -ENOMEM;
	}
	r->per_s = per_s;
	r->filled_ms = deadline_now_ms();
	*out = r;
	return 0;
}

void rate_free(struct rate *r)
{
	if (r == NULL)
		return;
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

/* Up to `want` of what there is by now; 0 if that is not even one. */
static size_t take(struct rate *r, size_t want)
{
	uint64_t now = deadline_now_ms();
	double most = (double)r->per_s * HELD_MS / 1000;
	size_t taken = 0;

	if (most < 1)
		most = 1;
	pthread_mutex_lock(&r->mutex);
	r->tokens += (double)r->per_s * (double)(now - r->filled_ms) / 1000;
	if (r->tokens > most)
		r->tokens = most;
	r->filled_ms = now;
	if (r->tokens >= 1) {
		taken = r->tokens < (double)want ? (size_t)r->tokens : want;
		r->tokens -= (double)taken;
	}
	pthread_mutex_unlock(&r->mutex);
	return taken;
}

size_t rate_take(struct rate *r, size_t want, const struct store_call *call)
{
	if (r == NULL || want == 0)
		return want;
	for (;;) {
		struct timespec pause = { 0, STEP_MS * 1000000L };
		size_t taken = take(r, want);

		if (taken > 0)
			return taken;
		if (store_cancelled(call))
			return 0;
		(void)nanosleep(&pause, NULL); /* cut short: looks sooner */
	}
}
