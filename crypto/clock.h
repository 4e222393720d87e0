#ifndef CRYPTO_CLOCK_H
#define CRYPTO_CLOCK_H

#include <pthread.h>
#include <stdint.h>

#include "crypto/bytes.h"

/* Time that only goes forward, in ms since some moment; never 0. */
uint64_t clock_ms(void);

/* A condition to be waited for by that clock.  0 or -ENOMEM. */
MUST_CHECK int clock_cond_init(pthread_cond_t *cond);

/* Wait until it is signalled, but no longer than `ms`; or for no reason. */
void clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *locked,
		     uint64_t ms);

#endif
