#include "fs/defer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "fs/inode.h"
#include "fs/parallel.h"
#include "fs/tree.h"

#define BATCH   256
#define THREADS 16
/* Past that, another mount may have changed a directory's. */
#define KEPT_MS 30000

struct kept_meta {
	uint64_t since_ms;
	char etag[STORE_ETAG_MAX];
	char type[STORE_TYPE_MAX], encoding[STORE_TYPE_MAX];
	char text[]; /* of struct meta */
};

void defer_init(struct defer *d)
{
	(void)pthread_mutex_init(&d->lock, NULL);
	(void)!clock_cond_init(&d->change); /* as a mutex: cannot fail */
	d->end = &d->first;
}

int inode_store_attr(struct inode *i)
{
	struct attr a;
	uint32_t change;
	int err, waits;

	inode_lock(i);
	waits = i->attr_waits && !i->unsaved && (i->directory || i->remote);
	a = i->attr;
	change = i->attr_changes;
	inode_unlock(i);
	if (!waits)
		return 0; /* or its commit takes them along */
	err = inode_commit_attr(i, &a);
	inode_lock(i);
	if (i->attr_changes == change) {
		i->attr_waits = 0;
		if (err) {
			i->checked_ms = 0; /* what the bucket has is true */
			inode_changed(i);
		}
	}
	inode_unlock(i);
	return err;
}

int inode_sync_attr(struct inode *i)
{
	struct inode *dir;
	int err;

	latch_write(&i->commit);
	dir = inode_enter(i);
	err = inode_store_attr(i);
	inode_leave(dir);
	latch_release(&i->commit);
	return err;
}

/* Nobody is left who could be told of an error, which is logged. */
static void store_now(struct inode *i)
{
	if (inode_sync_attr(i))
		volume_count(i->volume, &i->volume->stats.lost_attributes, 1);
}

void inode_defer_attr(struct inode *i)
{
	struct volume *v = i->volume;
	struct defer *d = &v->defer;
	int waits;

	inode_lock(i);
	i->attr_waits = 1;
	i->attr_changes++;
	inode_changed(i);
	inode_unlock(i);
	inode_pin(i);
	(void)pthread_mutex_lock(&d->lock);
	waits = d->running && !d->stopping;
	if (waits && !i->waiting) {
		i->waiting = 1;
		i->due_ms = clock_ms() + v->conf.attr_delay_ms;
		i->waiting_next = NULL;
		*d->end = i;
		d->end = &i->waiting_next;
		(void)pthread_cond_signal(&d->change);
		i = NULL; /* the list has the pin */
	}
	(void)pthread_mutex_unlock(&d->lock);
	if (i && !waits)
		store_now(i);
	inode_unpin(i);
}

/* Under defer.lock: those that are due, or all.  How many. */
static size_t take_due(struct defer *d, struct inode *batch[BATCH])
{
	uint64_t now = clock_ms();
	size_t n = 0;

	while (n < BATCH && d->first &&
	       (d->stopping || d->first->due_ms <= now)) {
		struct inode *i = d->first;

		d->first = i->waiting_next;
		if (!d->first)
			d->end = &d->first;
		i->waiting = 0;
		batch[n++] = i;
	}
	return n;
}

static int store_one(void *arg, size_t k)
{
	struct inode **batch = arg;

	store_now(batch[k]);
	inode_unpin(batch[k]);
	return 0;
}

/* Under defer.lock, which is let go of meanwhile. */
static void wait_until_due(struct defer *d)
{
	uint64_t due, now = clock_ms();

	if (!d->first) {
		(void)pthread_cond_wait(&d->change, &d->lock);
		return;
	}
	due = d->first->due_ms;
	clock_cond_wait(&d->change, &d->lock, due > now ? due - now : 0);
}

static void *run(void *arg)
{
	struct volume *v = arg;
	struct defer *d = &v->defer;
	struct inode *batch[BATCH];
	size_t n;

	(void)pthread_mutex_lock(&d->lock);
	for (;;) {
		n = take_due(d, batch);
		if (!n && d->stopping)
			break;
		if (!n) {
			wait_until_due(d);
			continue;
		}
		(void)pthread_mutex_unlock(&d->lock);
		(void)parallel_for(n, THREADS, store_one, (void *)batch);
		(void)pthread_mutex_lock(&d->lock);
	}
	(void)pthread_mutex_unlock(&d->lock);
	return NULL;
}

int defer_start(struct volume *v)
{
	struct defer *d = &v->defer;
	int err;

	if (!v->conf.attr_delay_ms)
		return 0;
	err = pthread_create(&d->thread, NULL, run, v);
	if (err)
		return -err;
	d->running = 1;
	return 0;
}

void defer_stop(struct volume *v)
{
	struct defer *d = &v->defer;

	if (!d->running)
		return;
	(void)pthread_mutex_lock(&d->lock);
	d->stopping = 1;
	(void)pthread_cond_signal(&d->change);
	(void)pthread_mutex_unlock(&d->lock);
	(void)pthread_join(d->thread, NULL);
	d->running = 0;
}

void defer_clear(struct volume *v)
{
	struct defer *d = &v->defer;

	for (size_t k = 0; k < DEFER_RECENT; k++) {
		free(d->recent[k].meta);
		inode_unpin(d->recent[k].inode);
	}
	(void)pthread_cond_destroy(&d->change);
	(void)pthread_mutex_destroy(&d->lock);
}

void directory_touched(struct inode *dir)
{
	struct volume *v = dir->volume;
	int stored;

	inode_lock(dir);
	dir->attr.mtime = dir->attr.ctime = attr_now();
	stored = dir->marker && dir != v->root && v->conf.attr_delay_ms;
	inode_unlock(dir);
	if (stored)
		inode_defer_attr(dir);
}

/* Under defer.lock: where it is, or DEFER_RECENT. */
static unsigned recent_of(const struct defer *d, const struct inode *i)
{
	unsigned at = 0;

	while (at < DEFER_RECENT && d->recent[at].inode != i)
		at++;
	return at;
}

void inode_keep_meta(struct inode *i, const struct store_stat *st)
{
	struct defer *d = &i->volume->defer;
	struct kept_meta *k;
	struct recent was;
	unsigned at;

	if (!i->volume->conf.attr_delay_ms)
		return;
	k = malloc(sizeof(*k) + st->meta.len + 1);
	if (!k)
		return;
	k->since_ms = clock_ms();
	memcpy(k->etag, st->etag, sizeof(k->etag));
	memcpy(k->type, st->content_type, sizeof(k->type));
	memcpy(k->encoding, st->content_encoding, sizeof(k->encoding));
	memcpy(k->text, st->meta.text, st->meta.len);
	k->text[st->meta.len] = '\0';
	(void)pthread_mutex_lock(&d->lock);
	at = recent_of(d, i);
	if (at == DEFER_RECENT) {
		inode_pin(i);
		at = d->oldest;
	}
	was = d->recent[at];
	/* It is the latest now, wherever it was. */
	d->recent[at] = d->recent[d->oldest];
	d->recent[d->oldest].inode = i;
	d->recent[d->oldest].meta = k;
	d->oldest = (d->oldest + 1) % DEFER_RECENT;
	(void)pthread_mutex_unlock(&d->lock);
	free(was.meta);
	if (was.inode != i)
		inode_unpin(was.inode);
}

int inode_kept_meta(struct inode *i, const char *etag, struct store_stat *st)
{
	struct defer *d = &i->volume->defer;
	struct kept_meta *k = NULL;
	unsigned at;
	int is;

	(void)pthread_mutex_lock(&d->lock);
	at = recent_of(d, i);
	if (at < DEFER_RECENT) {
		k = d->recent[at].meta;
		d->recent[at].meta = NULL;
	}
	(void)pthread_mutex_unlock(&d->lock);
	is = k && clock_ms() - k->since_ms < KEPT_MS &&
	     (!etag || (etag[0] && !strcmp(k->etag, etag)));
	if (is) {
		*st = (struct store_stat){ 0 };
		memcpy(st->etag, k->etag, sizeof(st->etag));
		memcpy(st->content_type, k->type, sizeof(st->content_type));
		memcpy(st->content_encoding, k->encoding,
		       sizeof(st->content_encoding));
		st->meta.len = strlen(k->text);
		memcpy(st->meta.text, k->text, st->meta.len + 1);
	}
	free(k);
	return is;
}
