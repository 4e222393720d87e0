#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "crypto/clock.h"
#include "fs/hints_private.h"
#include "fs/parallel.h"

#define NEWS_PART 8 /* and that part of what it has, but for the last time */
#define QUIET_MS  3000 /* after the last news */
#define LATE_MS   60000 /* after the first, however busy it is */
#define FILE_MS   1500 /* it is in memory so long after its last use */
#define TABLE_MS  60000
#define STOP_MS   5000 /* for the end of the mount */
#define BATCH     16
#define THREADS   8
#define STEP_MS   1000
#define IDLE_MS   15000 /* nobody tells us of listings */

void hints_init(struct hints *h)
{
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)!clock_cond_init(&h->change); /* as a mutex: cannot fail */
}

static int is_enough(const struct hint_table *t)
{
	return t->news >= HINT_NEWS_MIN && t->news * NEWS_PART >= t->known;
}

static int is_due(const struct hints *h, const struct hint_table *t)
{
	uint64_t now = clock_ms();

	if (t->users || t->news < HINT_NEWS_MIN)
		return 0;
	if (h->stopping)
		return 1;
	return is_enough(t) && (now - t->last_news_ms >= QUIET_MS ||
				now - t->first_news_ms >= LATE_MS);
}

/* Under hints.lock.  1 if there is something that will have to be done. */
static int tidy_table(struct hints *h, struct hint_table *t)
{
	uint64_t now = clock_ms();

	if (t->users)
		return 1;
	if (t->file.len && now - t->used_ms >= FILE_MS)
		hint_table_drop_file(h, t);
	return t->file.len || t->news_of;
}

/* Under hints.lock: is there nothing in it that anybody will miss? */
static int is_idle(const struct hint_table *t)
{
	return !t->users && !t->news_of && t->n_kept < HINT_NEWS_MIN &&
	       !t->file.len && clock_ms() - t->used_ms >= TABLE_MS &&
	       clock_ms() - t->last_news_ms >= TABLE_MS;
}

static void free_table(struct hints *h, struct hint_table *t)
{
	hint_table_drop_file(h, t);
	hint_table_drop_kept(h, t);
	h->n--;
	free(t->dir);
	free(t);
}

/* Under hints.lock: take what is due, and tidy up.  1 as tidy_table(). */
static int look_through(struct hints *h, struct hint_table *due[BATCH],
			size_t *n)
{
	int pending = 0;

	*n = 0;
	for (size_t k = 0; k < HINT_BUCKETS; k++) {
		struct hint_table **at = &h->tables[k], *t;

		while ((t = *at)) {
			if (*n < BATCH && is_due(h, t)) {
				t->users++;
				t->writing = 1;
				due[(*n)++] = t;
			}
			pending |= tidy_table(h, t);
			if (is_idle(t)) {
				*at = t->next;
				free_table(h, t);
				continue;
			}
			at = &t->next;
		}
	}
	return pending || h->n || h->trim_ms;
}

struct batch {
	struct volume *v;
	struct hint_table **due;
};

static int write_one(void *arg, size_t k)
{
	struct batch *b = arg;

	hint_table_write(b->v, b->due[k]);
	return 0;
}

/* Under hints.lock, which is let go of meanwhile. */
static void write_due(struct volume *v, struct hint_table *due[BATCH], size_t n)
{
	struct batch b = { v, due };
	struct hints *h = &v->hints;

	(void)pthread_mutex_unlock(&h->lock);
	(void)parallel_for(n, THREADS, write_one, &b);
	(void)pthread_mutex_lock(&h->lock);
	for (size_t k = 0; k < n; k++) {
		due[k]->users--;
		due[k]->writing = 0;
	}
}

static void *run(void *arg)
{
	struct hint_table *due[BATCH];
	struct volume *v = arg;
	struct hints *h = &v->hints;
	uint64_t stop_ms = 0;
	size_t n;

	(void)pthread_mutex_lock(&h->lock);
	for (;;) {
		int pending;

		/* The one thread that looks at the clock does that too. */
		(void)pthread_mutex_unlock(&h->lock);
		pending = listing_expire(v);
		(void)pthread_mutex_lock(&h->lock);
		pending |= look_through(h, due, &n);

		if (h->stopping && !stop_ms)
			stop_ms = clock_ms() + STOP_MS;
		if (n) {
			write_due(v, due, n);
			if (!stop_ms || clock_ms() < stop_ms)
				continue;
		}
		if (h->trim_ms && clock_ms() >= h->trim_ms) {
			h->trim_ms = 0;
			(void)pthread_mutex_unlock(&h->lock);
			(void)malloc_trim(0);
			(void)pthread_mutex_lock(&h->lock);
			continue;
		}
		if (h->stopping)
			break;
		clock_cond_wait(&h->change, &h->lock,
				pending ? STEP_MS : IDLE_MS);
	}
	(void)pthread_mutex_unlock(&h->lock);
	return NULL;
}

int hints_start(struct volume *v)
{
	struct hints *h = &v->hints;
	int err;

	if (!v->conf.hints || v->conf.read_only)
		return 0;
	err = pthread_create(&h->thread, NULL, run, v);
	if (err)
		return -err;
	atomic_store(&h->running, 1);
	return 0;
}

void hints_stop(struct volume *v)
{
	struct hints *h = &v->hints;

	if (!atomic_load(&h->running))
		return;
	atomic_store(&h->running, 0);
	(void)pthread_mutex_lock(&h->lock);
	h->stopping = 1;
	(void)pthread_cond_broadcast(&h->change);
	(void)pthread_mutex_unlock(&h->lock);
	(void)pthread_join(h->thread, NULL);
}

void hints_stats(struct volume *v, struct volume_stats *out)
{
	struct hints *h = &v->hints;

	(void)pthread_mutex_lock(&h->lock);
	out->hints_used = h->used;
	out->hints_written = h->written;
	out->hints_waiting = 0;
	for (size_t k = 0; k < HINT_BUCKETS; k++)
		for (struct hint_table *t = h->tables[k]; t; t = t->next)
			out->hints_waiting += t->writing || is_enough(t);
	(void)pthread_mutex_unlock(&h->lock);
}

void hints_clear(struct volume *v)
{
	struct hints *h = &v->hints;

	for (size_t k = 0; k < HINT_BUCKETS; k++)
		while (h->tables[k]) {
			struct hint_table *t = h->tables[k];

			h->tables[k] = t->next;
			inode_unpin(t->news_of);
			free_table(h, t);
		}
	(void)pthread_cond_destroy(&h->change);
	(void)pthread_mutex_destroy(&h->lock);
}

void hints_removed(struct volume *v, const struct key *key)
{
	struct store_call call = { 0 };
	struct hints *h = &v->hints;
	struct inode *pinned = NULL;
	struct hint_table *t;
	struct key hint;
	int had = 0;

	(void)pthread_mutex_lock(&h->lock);
	t = hint_table_find(h, key->text, strlen(key->text));
	if (t) {
		had = t->known > 0;
		t->known = 0;
		t->news = 0;
		t->absent = 1;
		pinned = t->news_of;
		t->news_of = NULL;
		hint_table_drop_kept(h, t);
		if (!t->users)
			hint_table_drop_file(h, t);
	}
	(void)pthread_mutex_unlock(&h->lock);
	inode_unpin(pinned);
	/* One that is left over is of no harm. */
	if (had && !hint_key(v, key->text, &hint))
		(void)!v->conf.store->ops->remove(v->conf.store, hint.text,
						  &call);
}
