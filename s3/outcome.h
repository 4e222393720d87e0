#ifndef S3_OUTCOME_H
#define S3_OUTCOME_H

#include "crypto/bytes.h"
#include "s3/store.h"

/* What was written. */
struct outcome_sent {
	uint64_t len; /* bytes */
	const struct meta *meta; /* or NULL */
	const struct store_source *src; /* the bytes; NULL: not looked at */
};

/*
 * Did a write whose answer was lost take effect after all?  So it seems if
 * what is under `key` now has this length and all of this metadata, and, where
 * the store looks at no digest and its ETag is an MD5, that of the bytes; without
 * metadata nothing tells our object from another's, and
 * the answer is no.
 * Non-zero for yes, and then `out` (may be NULL) has `len` and `etag`.
 */
int outcome_is_ours(struct store *s, const char *key,
		    const struct outcome_sent *sent,
		    const struct store_call *call, struct store_stat *out);

#endif
