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

#define LISTING_PAGE 1000 /* entries that one request gives */

/*
 * What a listing of a directory told, page by page, remembered of each page for
 * attr_timeout_ms from when it was asked for: which names are there, and which
 * version of each.  So that many lookups in a directory cost a request for each
 * thousand of its names, be they there or not, and a file that is still what it
 * was costs none.
 *
 * A name that was changed here since is not answered for.
 */
struct listing_page;

/*
 * Ask the bucket for what follows `after`, which is "" or the last part() of
 * another page.  The page is for listing_offer() or listing_free().
 * 0 or -errno; -ESTALE if the directory was removed.
 */
MUST_CHECK int listing_read(struct volume *v, const struct request *rq,
			    struct inode *dir, const char *after,
			    struct listing_page **out);

/* Of a directory that was just made: there is nothing.  NULL: no memory. */
struct listing_page *listing_nothing(struct volume *v);

size_t listing_count(const struct listing_page *p);
/* What its key adds to the directory's, with a directory's '/'; borrowed. */
const char *listing_part(const struct listing_page *p, size_t at);
/* Nothing follows it. */
int listing_is_last(const struct listing_page *p);

/* It is given away: it answers for `dir` from now on. */
void listing_offer(struct inode *dir, struct listing_page *p);
void listing_free(struct listing_page *p); /* and those behind it; NULL-safe */
/* Let go of those that are out of date.  1 if there are others. */
int listing_expire(struct volume *v);
/* Let go of all. */
void listing_clear(struct volume *v);

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
	size_t among; /* entries of the page that said so */
};

/*
 * What is known of the name; lists a page of the directory if that pays,
 * because more than a few names were asked for of late.
 */
enum listing_says listing_ask(struct volume *v, const struct request *rq,
			      struct inode *dir, const char *name,
			      struct listing_entry *out);

#endif
