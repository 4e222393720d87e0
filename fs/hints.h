#ifndef FS_HINTS_H
#define FS_HINTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

struct hint_table;
struct inode;
struct key;
struct listing_entry;
struct request;
struct resolved;
struct volume;

#define HINT_BUCKETS 1024

/*
 * What is known of the files of a directory, kept in the bucket below
 * .dg/hints/, so that the next mount need not ask for each: see FORMAT.md,
 * "Hints".  One object a directory, read when a file of it is asked for that a
 * listing shows and memory does not know; written some seconds after enough of
 * it is news, and at the end of the mount.  What the kernel made us forget is
 * remembered until then.  Nothing here ever fails: without hints the bucket is
 * asked.
 */
struct hints {
	pthread_mutex_t lock; /* after volume.lock and inode.lock; short */
	pthread_cond_t change;
	struct hint_table *tables[HINT_BUCKETS]; /* all below */
	size_t bytes; /* in memory, of all of them */
	size_t n; /* tables */
	atomic_int running;
	int stopping;
	uint64_t trim_ms; /* when to give freed memory back; 0: not */
	pthread_t thread;
	uint64_t used, written; /* see struct volume_stats */
};

void hints_init(struct hints *h);
/* 0 or -errno.  Without it nothing is written. */
MUST_CHECK int hints_start(struct volume *v);
/* Write what is news, for a few seconds at most, and end the thread. */
void hints_stop(struct volume *v);
void hints_clear(struct volume *v);
struct volume_stats;
void hints_stats(struct volume *v, struct volume_stats *out);

/*
 * The file `name`, key `key`, that a listing shows as `e`: 1 and what
 * is known of it, or 0.
 */
int hints_find(struct volume *v, const struct request *rq,
	       const struct key *key, const struct listing_entry *e,
	       const char *name, struct resolved *out);

/*
 * Something was learnt of the file `key` of `dir`; no lock held.  `wrong`: the
 * bucket's hints say otherwise of the same version.
 */
void hints_news(struct volume *v, struct inode *dir, const struct key *key,
		int wrong);

/* The directory `key`, with its '/', was removed. */
void hints_removed(struct volume *v, const struct key *key);

/*
 * A file of the directory `dir_key` is going to be forgotten: keep what is
 * known of it.  Nobody else has it any more.
 */
void hints_keep(struct volume *v, const char *dir_key, struct inode *i);
/* Is there anything about it that the bucket's hints do not have? */
int inode_is_news(const struct inode *i);

#endif
