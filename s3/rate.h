#ifndef S3_RATE_H
#define S3_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * A limit on bytes a second that all who share it keep together: a bucket of
 * tokens that holds a quarter of a second's worth.  Thread-safe.
 */
struct rate;

/* `per_s` bytes a second; 0: `*out` is NULL, no limit.  0 or -ENOMEM. */
MUST_CHECK int rate_new(struct rate **out, uint64_t per_s);
void rate_free(struct rate *r);

/*
 * Wait for leave to move bytes, and return how many of `want`: at least 1,
 * all of them where `r` is NULL; 0 as soon as `cancel` says so.
 */
size_t rate_take(struct rate *r, size_t want, const struct store_call *call);

#endif
