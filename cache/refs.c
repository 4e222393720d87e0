#include "cache/refs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "cache/plainmem.h"
#include "cache/refs_private.h"
#include "crypto/clock.h"

#define LOOK_MS 100 /* between looks at `cancel` */

int refs_open(struct refs **out, const struct refs_conf *conf)
{
	struct refs *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	err = cachekey_new(&r->key, conf->key);
	if (err) {
		free(r);
		return err;
	}
	r->backend = conf->backend;
	r->texts = conf->texts;
	r->spill_dirfd = conf->spill_dirfd;
	r->spill = conf->spill;
	r->log = conf->log;
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)!clock_cond_init(&r->change);
	*out = r;
	return 0;
}

void refs_close(struct refs *r)
{
	if (!r)
		return;
	assert(!r->held);
	(void)pthread_cond_destroy(&r->change);
	(void)pthread_mutex_destroy(&r->lock);
	cachekey_put(r->key);
	free(r);
}

static struct entry **bucket_of(struct refs *r,
				const uint8_t digest[DIGEST_LEN])
{
	return &r->buckets[le32_get(digest) % REFS_BUCKETS];
}

/*
 * With the lock.  The length is part of what is looked for: who asks for a
 * wrong one must not be given, nor spoil, the right one.
 */
static struct entry *find(struct refs *r, const uint8_t digest[DIGEST_LEN],
			  uint64_t len)
{
	struct entry *e = *bucket_of(r, digest);

	while (e &&
	       (e->len != len || memcmp(e->digest, digest, DIGEST_LEN) != 0))
		e = e->chain;
	return e;
}

/* With the lock: a new entry, held once. */
static struct entry *entry_new(struct refs *r, const uint8_t digest[DIGEST_LEN],
			       uint64_t len)
{
	struct entry **bucket = bucket_of(r, digest);
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	memcpy(e->digest, digest, DIGEST_LEN);
	e->len = len;
	e->state = FETCHING;
	e->holders = 1;
	e->listed = 1;
	e->key = cachekey_hold(r->key);
	e->chain = *bucket;
	*bucket = e;
	r->held++;
	return e;
}

void entry_unlist(struct refs *r, struct entry *e)
{
	struct entry **p = bucket_of(r, e->digest);

	if (!e->listed)
		return;
	while (*p != e)
		p = &(*p)->chain;
	*p = e->chain;
	e->chain = NULL;
	e->listed = 0;
}

/* With the lock, which is dropped meanwhile. */
static void entry_put(struct refs *r, struct entry *e)
{
	if (--e->holders)
		return;
	entry_unlist(r, e);
	(void)pthread_mutex_unlock(&r->lock);
	entry_empty(r, e);
	(void)pthread_mutex_lock(&r->lock);
	r->held--;
	r->pending -= e->pending != 0;
	cachekey_put(e->key);
	free(e);
}

/*
 * With the lock, dropped meanwhile: hold an entry that is there, and wait until
 * it is READY, or -EINTR.
 */
static int entry_join(struct refs *r, struct entry *e,
		      const struct refs_source *src)
{
	int err = 0;

	e->holders++;
	while (!err && e->state == FETCHING) {
		clock_cond_wait(&r->change, &r->lock, LOOK_MS);
		if (!src->cancel || e->state != FETCHING)
			continue;
		/* Unlocked, as it is the caller's own code. */
		(void)pthread_mutex_unlock(&r->lock);
		err = src->cancel(src->arg) ? -EINTR : 0;
		(void)pthread_mutex_lock(&r->lock);
	}
	if (!err && e->state == FAILED)
		err = e->err;
	if (err)
		entry_put(r, e);
	else
		r->stats.hits++;
	return err;
}

/*
 * With the lock, dropped meanwhile: others of this machine may have what was
 * fetched, unless it is to be dropped, which may be decided at any moment.
 */
static void entry_publish(struct refs *r, struct entry *e)
{
	const struct backend_ops *ops = r->backend->ops;
	int once = e->dropping;

	(void)pthread_mutex_unlock(&r->lock);
	/* If it cannot be, it is used all the same, and goes when it is put. */
	if (ops->publish(r->backend, e->cached, once))
		once = 1;
	(void)pthread_mutex_lock(&r->lock);
	r->pending -= e->pending != 0;
	e->pending = 0;
	if (e->dropping && !once) {
		(void)pthread_mutex_unlock(&r->lock);
		ops->doom(r->backend, e->cached, 0);
		(void)pthread_mutex_lock(&r->lock);
	}
}

/* With the lock, dropped while it fetches: make a new entry READY or FAILED. */
static int entry_fetch(struct refs *r, struct entry *e, refs_fetch_fn *fetch,
		       void *fetch_arg)
{
	int err, fetched = 0;

	(void)pthread_mutex_unlock(&r->lock);
	err = entry_fill(r, e, fetch, fetch_arg, &fetched);
	(void)pthread_mutex_lock(&r->lock);

	if (!err && fetched && e->place == PLACE_CACHED)
		entry_publish(r, e);
	if (err) {
		e->state = FAILED;
		e->err = err;
		entry_unlist(r, e); /* who comes now tries again */
	} else {
		e->state = READY;
		if (!fetched)
			r->stats.hits++;
	}
	(void)pthread_cond_broadcast(&r->change);
	if (err)
		entry_put(r, e);
	return err;
}

int refs_get(struct refs *r, const uint8_t digest[DIGEST_LEN], uint64_t len,
	     const struct refs_source *src, struct ref **out)
{
	struct ref *ref;
	struct entry *e;
	int err = -ENOMEM;

	if (len > PAGEFILE_MAX)
		return -EFBIG;
	ref = calloc(1, sizeof(*ref));
	if (!ref)
		return -ENOMEM;
	(void)pthread_mutex_lock(&r->lock);
	e = find(r, digest, len);
	if (e) {
		err = entry_join(r, e, src);
	} else {
		e = entry_new(r, digest, len);
		if (e)
			err = entry_fetch(r, e, src->fetch, src->arg);
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (err) {
		free(ref);
		return err;
	}
	ref->refs = r;
	ref->entry = e;
	(void)pthread_mutex_init(&ref->lock, NULL);
	*out = ref;
	return 0;
}

void ref_put(struct ref *ref)
{
	struct refs *r;

	if (!ref)
		return;
	r = ref->refs;
	text_put(r->texts, ref->text);
	(void)pthread_mutex_lock(&r->lock);
	entry_put(r, ref->entry);
	(void)pthread_mutex_unlock(&r->lock);
	plainmem_unmap(ref->pages, REF_SLOTS * SEALING_PAGE,
		       ref->slots_used * SEALING_PAGE);
	(void)pthread_mutex_destroy(&ref->lock);
	free(ref);
}

const uint8_t *ref_digest(const struct ref *ref)
{
	return ref->entry->digest;
}

uint64_t ref_length(const struct ref *ref)
{
	return ref->entry->len;
}

/*
 * With the lock: nobody joins what is held now, and it is not kept.  The
 * backend does that for what it has already published.
 */
static void disown_all(struct refs *r)
{
	for (size_t i = 0; i < REFS_BUCKETS; i++)
		while (r->buckets[i]) {
			struct entry *e = r->buckets[i];

			entry_unlist(r, e);
			e->dropping = 1;
			if (e->state == FETCHING || e->place != PLACE_CACHED) {
				e->pending = 1;
				r->pending++;
			}
		}
}

int refs_clear(struct refs *r)
{
	int err;

	(void)pthread_mutex_lock(&r->lock);
	r->stats.clears++;
	disown_all(r);
	(void)pthread_mutex_unlock(&r->lock);
	err = r->backend->ops->clear(r->backend);
	texts_clear(r->texts);
	/* A directory that somebody has removed is as empty as can be. */
	return err == -ENOENT ? 0 : err;
}

int refs_rotate(struct refs *r, const struct aead_key *key)
{
	struct cachekey *fresh, *old;
	int err = cachekey_new(&fresh, key);

	if (err)
		return err;
	(void)pthread_mutex_lock(&r->lock);
	old = r->key;
	r->key = fresh;
	r->stats.rotations++;
	disown_all(r);
	(void)pthread_mutex_unlock(&r->lock);
	/* What cannot be dropped now is of no use, and evicted before long. */
	if (memcmp(cachekey_id(old), cachekey_id(fresh), CACHEKEY_ID_LEN) != 0)
		(void)r->backend->ops->retire(r->backend, old);
	cachekey_put(old);
	return 0;
}

void refs_retire(struct refs *r)
{
	struct cachekey *key;

	(void)pthread_mutex_lock(&r->lock);
	key = cachekey_hold(r->key);
	(void)pthread_mutex_unlock(&r->lock);
	(void)r->backend->ops->retire(r->backend, key);
	cachekey_put(key);
}

void refs_shed(struct refs *r, int all)
{
	struct backend_stats s = { 0 };

	texts_drop_idle(r->texts);
	r->backend->ops->stats(r->backend, &s);
	(void)r->backend->ops->evict(r->backend, all ? UINT64_MAX : s.bytes / 2,
				     EVICT_MEMORY);
}

uint64_t refs_evict(struct refs *r, uint64_t bytes)
{
	return r->backend->ops->evict(r->backend, bytes, EVICT_DISK);
}

int refs_list(struct refs *r, backend_list_fn *fn, void *arg)
{
	struct cachekey *key;
	int err;

	(void)pthread_mutex_lock(&r->lock);
	key = cachekey_hold(r->key);
	(void)pthread_mutex_unlock(&r->lock);
	err = r->backend->ops->list(r->backend, key, fn, arg);
	cachekey_put(key);
	return err == -ENOENT ? 0 : err;
}

void refs_stats(struct refs *r, struct refs_stats *out)
{
	struct backend_stats backend = { 0 };
	struct texts_stats texts;

	r->backend->ops->stats(r->backend, &backend);
	texts_stats(r->texts, &texts);
	(void)pthread_mutex_lock(&r->lock);
	*out = r->stats;
	backend.clear_pending += r->pending;
	backend.corruptions += r->corruptions;
	out->in_use = r->held;
	(void)pthread_mutex_unlock(&r->lock);
	out->backend = backend;
	out->memory_bytes = texts.bytes;
	out->memory_limit = texts.limit;
}
