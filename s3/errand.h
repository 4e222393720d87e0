#ifndef S3_ERRAND_H
#define S3_ERRAND_H

#include "s3/deadline.h"
#include "s3/store.h"

/*
 * What a thread does for one caller, who waits for it: a read, a close.  All
 * its operations on the store together have the time that one has (see
 * s3_retry_new()): the one that fails at the end of it leaves none to others.
 * A thread that has not begun any has that time for each operation.
 */
struct errand;

void errand_begin(void); /* another; ends that before, if any */
void errand_end(void);

/* Whoever waits for this one can do with an older answer: no longer than that. */
void errand_hurry(uint64_t most_ms);

/* The one of this thread, or NULL; for threads that take part in it. */
struct errand *errand_current(void);
void errand_join(struct errand *e); /* NULL: no part in any */

/*
 * Of the layer that repeats: an operation begins, whose time is kept there, or
 * by itself where that is NULL; and it has ended.  What lies between operations,
 * such as the making of a delta, takes none of it.
 */
struct deadline *errand_operation(uint64_t limit_ms,
				  struct retry_budget *budget);
void errand_operation_over(void);

/* And what an operation failed for in the end. */
void errand_failed(const char *verb, const char *key, int rc,
		   const struct store_error *why);

/*
 * What the last operation that failed with `rc` since the errand began had to
 * say, as one line; NULL if none did.  Until the errand ends.
 */
const char *errand_reason(int rc);

#endif
