#ifndef S3_TOKENS_H
#define S3_TOKENS_H

#include <pthread.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * A bucket of tokens: so many a second come into it, up to what it holds, and
 * whoever wants to do something takes some out first.  Thread-safe.
 */
struct tokens {
	double per_s, most;
	pthread_mutex_t mutex; /* all below */
	double held;
	uint64_t filled_ms; /* when the time's share was last added */
};

/* With `held` tokens to begin with.  0 or -ENOMEM. */
MUST_CHECK int tokens_init(struct tokens *t, double per_s, double most,
			   double held);
void tokens_destroy(struct tokens *t);

/* Put some in beside those that come with time. */
void tokens_add(struct tokens *t, double n);

/* Take up to `want` whole ones: how many there were. */
uint64_t tokens_take(struct tokens *t, uint64_t want);

#endif
