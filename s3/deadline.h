#ifndef S3_DEADLINE_H
#define S3_DEADLINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * How often all operations on one server together may be repeated: a bucket of
 * tokens, of which each repeat takes one and each success puts half a one back,
 * besides some a second.  So a server that fails now and then is repeated at
 * will, and one that only fails is left in peace.  Thread-safe.
 */
struct retry_budget;

MUST_CHECK int retry_budget_new(struct retry_budget **out); /* 0, -ENOMEM */
void retry_budget_free(struct retry_budget *b);
void retry_budget_success(struct retry_budget *b); /* NULL-safe */

/*
 * When to give up an operation, over all of its attempts: once it has got no
 * further for `limit_ms`.  Further is what no attempt before has reached, so
 * that a server which takes the same bytes again and again does not count.
 * Threads may share one.
 */
struct deadline {
	uint64_t limit_ms; /* 0: never */
	struct retry_budget
		*budget; /* borrowed; or NULL: as often as it likes */
	_Atomic uint64_t moved_ms; /* when it last got further; monotonic */
	_Atomic uint64_t up, down; /* bytes of bodies, the most of an attempt */
};

void deadline_init(struct deadline *d, uint64_t limit_ms,
		   struct retry_budget *budget);

/* What comes next is another body: any byte of it is news. */
void deadline_restart(struct deadline *d);

/* It got further, whatever was reached before. */
void deadline_moved(struct deadline *d);

/* An attempt has sent and received so many bytes. */
void deadline_reach(struct deadline *d, uint64_t up, uint64_t down);

/* Time that went by without anything asked of the server. */
void deadline_excuse(struct deadline *d, uint64_t ms);

/* ms; UINT64_MAX for no limit, or for NULL. */
uint64_t deadline_left_ms(const struct deadline *d);

/*
 * Wait before the next try: a random time up to a cap that doubles with each
 * of the `attempt` (from 1) tries so far, no less than what the server asked
 * for in `why`, and, from the second on, until the budget allows for it; but never so long that
 * nothing of call->deadline is left.  0; -ETIMEDOUT if nothing is; -EINTR as
 * soon as `cancel` says so.
 */
MUST_CHECK int deadline_backoff(unsigned attempt, const struct store_error *why,
				const struct store_call *call);

/* The longest that it may wait, in ms; for tests, which have no time. */
#define BACKOFF_BASE_MS 50
#define BACKOFF_CAP_MS  5000

#endif
