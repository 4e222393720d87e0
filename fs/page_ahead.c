#include "fs/page_ahead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"

#define LOOK_NS 100000000L /* how often a wait looks whether it was cancelled */

static int is_cancelled(void *arg)
{
	struct page_ahead *a = arg;

	return atomic_load(&a->cancelled);
}

static void *run(void *arg)
{
	struct page_ahead *a = arg;
	struct request rq = { .cancel = is_cancelled, .cancel_arg = a };

	a->err = listing_read(a->v, &rq, a->dir, a->after, &a->page);
	return NULL;
}

void page_ahead_start(struct page_ahead *a, struct volume *v, struct inode *dir,
		      const char *after)
{
	page_ahead_stop(a);
	a->v = v;
	a->dir = dir;
	a->after = strdup(after);
	atomic_store(&a->cancelled, 0);
	a->running = a->after && !pthread_create(&a->thread, NULL, run, a);
}

int page_ahead_take(struct page_ahead *a, const struct request *rq,
		    struct listing_page **out)
{
	struct timespec t;

	if (!a->running)
		return 1;
	do {
		if (rq->cancel && rq->cancel(rq->cancel_arg))
			return -EINTR;
		(void)clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += LOOK_NS;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
	} while (pthread_timedjoin_np(a->thread, NULL, &t) == ETIMEDOUT);
	a->running = 0;
	free(a->after);
	a->after = NULL;
	*out = a->page;
	a->page = NULL;
	return a->err;
}

void page_ahead_stop(struct page_ahead *a)
{
	if (a->running) {
		atomic_store(&a->cancelled, 1);
		(void)pthread_join(a->thread, NULL);
		if (!a->err)
			listing_free(a->page);
	}
	a->running = 0;
	a->page = NULL;
	free(a->after);
	a->after = NULL;
}
