#ifndef S3_BACKOFF_H
#define S3_BACKOFF_H

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * Wait before the next try: a random time up to a cap that doubles with each
 * of the `attempt` (from 1) tries so far, and no less than what the server
 * asked for in `why`.  0, or -EINTR as soon as `cancel` says so.
 */
MUST_CHECK int backoff_wait(unsigned attempt, const struct store_error *why,
			    const struct store_call *call);

/* The longest that it may wait, in ms; for tests, which have no time. */
#define BACKOFF_BASE_MS 50
#define BACKOFF_CAP_MS  20000

#endif
