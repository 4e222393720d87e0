#ifndef FS_LISTING_H
#define FS_LISTING_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "crypto/bytes.h"
#include "s3/store.h"

struct inode;
struct request;
struct volume;

/*
 * What a listing of a directory told, remembered for attr_timeout_ms from its
 * beginning: which names are there, and which version of each.  So that many
 * lookups in a directory cost a request for each thousand of its names, be they
 * there or not, and a file that is still what it was costs none.
 *
 * A name that was changed here since is not answered for.
 */
struct listing;

/* About to be made: call it before the bucket is asked.  NULL: no memory. */
struct listing *listing_new(struct volume *v);
/* `st` is NULL for a directory.  0 or -ENOMEM. */
MUST_CHECK int listing_add(struct listing *l, const char *name, size_t len,
			   const struct store_stat *st);
/* It is complete, and given away: it answers for `dir` from now on. */
void listing_offer(struct inode *dir, struct listing *l);
void listing_free(struct listing *l); /* NULL-safe */

enum listing_says {
	LISTED_UNKNOWN, /* the bucket has to be asked */
	LISTED_NOTHING,
	LISTED_FILE, /* perhaps besides a directory, which it hides */
	LISTED_DIRECTORY
};

struct listing_entry {
	char etag[STORE_ETAG_MAX]; /* of a file */
	uint64_t len; /* bytes stored */
	struct timespec written; /* by the store's clock */
	uint64_t since_ms; /* when that was true; clock_ms() */
};

/*
 * What is known of the name; lists the directory if that pays, because more
 * than a few names were asked for of late.
 */
enum listing_says listing_ask(struct volume *v, const struct request *rq,
			      struct inode *dir, const char *name,
			      struct listing_entry *out);

#endif
