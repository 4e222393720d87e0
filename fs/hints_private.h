#ifndef FS_HINTS_PRIVATE_H
#define FS_HINTS_PRIVATE_H

#include "fs/hint.h"
#include "fs/hints.h"
#include "fs/inode.h"

#define HINT_NEWS_MIN 16 /* before an object is worth it */

/* Inside of the hints: which are looked up and remembered, and written. */

struct hint_table {
	struct hint_table *next;
	char *dir; /* key of the directory, with the mount's prefix */
	unsigned users; /* at work on it without the lock */
	int reading, writing;
	int absent; /* the bucket has none */
	struct bytes file; /* as it was read; empty: not in memory */
	uint32_t *index; /* where its hints are, by name */
	size_t n, served; /* hints, and those that were of use */
	void *kept; /* tree of struct kept_hint */
	size_t n_kept;
	unsigned misses; /* since it was read, or found missing */
	struct inode *news_of; /* the directory; pinned; NULL: too few */
	int wrong; /* a hint of it is: see hints_news() */
	size_t news; /* files of which something was learnt */
	uint64_t first_news_ms, last_news_ms, used_ms, read_ms;
	size_t known; /* hints it had when it was last read or written */
};

struct kept_hint {
	size_t len;
	uint8_t data[]; /* one hint */
};

/* For tsearch(3). */
int hint_kept_by_name(const void *a, const void *b);

/* Is enough known of it?  Under volume.lock and inode.lock, or alone with it. */
int inode_is_known(const struct inode *i);
/* Append its hint; likewise.  0 or -ENOMEM. */
MUST_CHECK int hint_of_inode(struct bytes *out, const struct inode *i);

/* All under hints.lock. */
struct hint_table *hint_table_find(struct hints *h, const char *dir,
				   size_t len);
struct hint_table *hint_table_of(struct volume *v, const char *dir, size_t len);
void hint_table_drop_file(struct hints *h, struct hint_table *t);
void hint_table_drop_kept(struct hints *h, struct hint_table *t);

/*
 * Read it from the bucket, if it is not in memory; hints.lock is let go of
 * meanwhile.  Whoever comes second waits for the first.
 */
void hint_table_read(struct volume *v, const struct request *rq,
		     struct hint_table *t);

/* Number `k` of what was read.  0 or -EBADMSG. */
MUST_CHECK int hint_table_at(const struct hint_table *t, size_t k,
			     struct hint *out);

/* Where a directory's are.  0 or -ENAMETOOLONG. */
MUST_CHECK int hint_key(struct volume *v, const char *dir, struct key *out);

/* hints_write.c: merge what is known and store it; no lock held. */
void hint_table_write(struct volume *v, struct hint_table *t);

#endif
