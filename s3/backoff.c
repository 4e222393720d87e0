#include "s3/backoff.h"

#include <errno.h>
#include <time.h>

#include "crypto/aead.h"
#include "s3/error.h"

#define STEP_MS 100 /* between looks at `cancel` */

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* 0 to `cap`, so that clients which failed together do not return together. */
static uint64_t jitter_ms(uint64_t cap)
{
	uint8_t random[8];

	if (aead_random(random, sizeof(random)) != 0)
		return cap / 2;
	return le64_get(random) % (cap + 1);
}

int backoff_wait(unsigned attempt, const struct store_error *why,
		 const struct store_call *call)
{
	uint64_t cap = BACKOFF_BASE_MS;
	uint64_t until;
	uint64_t now;

	for (; attempt > 0 && cap < BACKOFF_CAP_MS; attempt--)
		cap *= 2;
	if (cap > BACKOFF_CAP_MS)
		cap = BACKOFF_CAP_MS;
	until = now_ms() + jitter_ms(cap) + (uint64_t)why->retry_after_s * 1000;
	for (;;) {
		struct timespec pause = { 0, 0 };
		uint64_t left;

		if (store_cancelled(call))
			return store_fail(call, -EINTR, "interrupted");
		now = now_ms();
		if (now >= until)
			return 0;
		left = until - now < STEP_MS ? until - now : STEP_MS;
		pause.tv_nsec = (long)left * 1000000;
		(void)nanosleep(&pause, NULL); /* cut short: looks sooner */
	}
}
