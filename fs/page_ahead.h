#ifndef FS_PAGE_AHEAD_H
#define FS_PAGE_AHEAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/listing.h"

/*
 * The next page of a directory, asked for while the one before is read.  Zero-
 * initialise it; used by one thread at a time.
 */
struct page_ahead {
	struct volume *v;
	struct inode *dir; /* borrowed: it must be pinned all the while */
	char *after; /* owned */
	int running;
	pthread_t thread;
	atomic_int cancelled;
	/* Once it has ended. */
	struct listing_page *page;
	int err;
};

/* As listing_read(); where no thread can be had, nothing comes of it. */
void page_ahead_start(struct page_ahead *a, struct volume *v, struct inode *dir,
		      const char *after);
/* The result of listing_read().  1: nothing was started; -EINTR: `rq` was. */
MUST_CHECK int page_ahead_take(struct page_ahead *a, const struct request *rq,
			       struct listing_page **out);
/* End it, whatever it was to bring. */
void page_ahead_stop(struct page_ahead *a);

#endif
