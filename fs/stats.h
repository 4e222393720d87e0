#ifndef FS_STATS_H
#define FS_STATS_H

#include <stdint.h>

#include "crypto/bytes.h"

struct localcache;
struct volume;

/* What a mount has done since it began.  Counters only grow. */
struct volume_stats {
	uint64_t files_plain, files_delta; /* commits, by form */
	uint64_t logical_bytes, stored_bytes; /* of these */
	uint64_t promotions; /* references made */
	uint64_t deltas_refused; /* encoded, but not worth keeping */
	uint64_t commit_errors; /* close or fsync said so */
	uint64_t lost_at_release; /* unsaved when the last handle went */
	uint64_t lost_attributes; /* new ones that could not be stored */
	uint64_t conflicts; /* somebody else's version was there */
	uint64_t verify_failures; /* bytes that did not match their digest */
	uint64_t unverified_bytes; /* read from objects without a digest */
	uint64_t inodes; /* known now */
	uint64_t spool_bytes; /* in use now */
	uint64_t hints_used; /* files that hints saved a request for */
	uint64_t hints_written; /* objects of them */
	uint64_t hints_waiting; /* directories with enough news for one */
};

/* All of .dg/stats, as JSON.  0 or -ENOMEM. */
MUST_CHECK int stats_json(struct volume *v, struct localcache *c,
			  struct bytes *out);

/* The same as .dg/metrics, in the text format of Prometheus. */
MUST_CHECK int stats_metrics(struct volume *v, struct localcache *c,
			     struct bytes *out);

#endif
