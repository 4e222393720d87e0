#include "cache/refs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "cache/plainmem.h"
#include "cache/refs_private.h"
#include "cache/refs_read.h"

int refs_open(struct refs **out, const struct refs_conf *conf)
{
	struct refs *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	err = aead_key_derive(&r->name_key, conf->key, "dg ref name v1", NULL,
			      0);
	if (err) {
		free(r);
		return err;
	}
	r->dirfd = conf->dirfd;
	r->key = conf->key;
	r->space[DISK].max = conf->disk_max;
	r->space[MEMORY].max = conf->memory_max;
	r->memory_idle_max = conf->memory_idle_max;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->change, NULL);
	*out = r;
	return 0;
}

/* With the lock. */
static void drop_all_idle(struct refs *r)
{
	while (r->oldest) {
		struct entry *e = r->oldest;

		entry_wake(r, e);
		entry_drop(r, e);
	}
}

void refs_close(struct refs *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	drop_all_idle(r);
	assert(!r->stats.entries);
	pthread_mutex_unlock(&r->lock);
	pthread_cond_destroy(&r->change);
	pthread_mutex_destroy(&r->lock);
	aead_key_wipe(&r->name_key);
	free(r);
}

/*
 * With the lock.  The length is part of what is looked for: who asks for a
 * wrong one must not be given, nor spoil, the right one.
 */
static struct entry *find(struct refs *r, const uint8_t digest[DIGEST_LEN],
			  uint64_t len)
{
	struct entry *e = r->buckets[le32_get(digest) % REFS_BUCKETS];

	while (e &&
	       (e->len != len || memcmp(e->digest, digest, DIGEST_LEN) != 0))
		e = e->chain;
	return e;
}

/* With the lock: a new entry, held once. */
static struct entry *entry_new(struct refs *r, const uint8_t digest[DIGEST_LEN],
			       uint64_t len)
{
	struct entry **bucket = &r->buckets[le32_get(digest) % REFS_BUCKETS];
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	memcpy(e->digest, digest, DIGEST_LEN);
	e->len = len;
	e->state = FETCHING;
	e->holders = 1;
	e->listed = 1;
	e->chain = *bucket;
	*bucket = e;
	r->stats.entries++;
	return e;
}

/* With the lock, which may be dropped in between. */
static void entry_put(struct refs *r, struct entry *e)
{
	if (--e->holders)
		return;
	if (e->listed && e->keep && e->state == READY)
		entry_idle(r, e);
	else
		entry_drop(r, e);
}

/* With the lock: hold an entry that is there, and wait until it is READY. */
static int entry_join(struct refs *r, struct entry *e)
{
	int err = 0;

	if (!e->holders++)
		entry_wake(r, e);
	while (e->state == FETCHING)
		pthread_cond_wait(&r->change, &r->lock);
	if (e->state == FAILED) {
		err = e->err;
		entry_put(r, e);
	} else {
		r->stats.hits++;
	}
	return err;
}

/* With the lock, dropped while it fetches: make a new entry READY or FAILED. */
static int entry_fetch(struct refs *r, struct entry *e, refs_fetch_fn *fetch,
		       void *fetch_arg)
{
	int err;

	r->stats.misses++;
	pthread_mutex_unlock(&r->lock);
	err = entry_fill(r, e, fetch, fetch_arg);
	pthread_mutex_lock(&r->lock);

	if (err) {
		e->state = FAILED;
		e->err = err;
		entry_unlist(r, e); /* who comes now tries again */
	} else {
		e->state = READY;
		if (!e->listed && e->file) /* cleared meanwhile */
			pagefile_unlink(e->file);
	}
	pthread_cond_broadcast(&r->change);
	if (err)
		entry_put(r, e);
	return err;
}

int refs_get(struct refs *r, const uint8_t digest[DIGEST_LEN], uint64_t len,
	     refs_fetch_fn *fetch, void *fetch_arg, struct ref **out)
{
	struct ref *ref;
	struct entry *e;
	int err = -ENOMEM;

	if (len > PAGEFILE_MAX)
		return -EFBIG;
	ref = calloc(1, sizeof(*ref));
	if (!ref)
		return -ENOMEM;
	pthread_mutex_lock(&r->lock);
	e = find(r, digest, len);
	if (e) {
		err = entry_join(r, e);
	} else {
		e = entry_new(r, digest, len);
		if (e)
			err = entry_fetch(r, e, fetch, fetch_arg);
	}
	pthread_mutex_unlock(&r->lock);
	if (err) {
		free(ref);
		return err;
	}
	ref->refs = r;
	ref->entry = e;
	pthread_mutex_init(&ref->lock, NULL);
	*out = ref;
	return 0;
}

void ref_put(struct ref *ref)
{
	struct refs *r;

	if (!ref)
		return;
	r = ref->refs;
	pthread_mutex_lock(&r->lock);
	entry_put(r, ref->entry);
	refs_trim_memory(r);
	pthread_mutex_unlock(&r->lock);
	plainmem_unmap(ref->pages, REF_SLOTS * PAGEFILE_PAGE,
		       ref->slots_used * PAGEFILE_PAGE);
	pthread_mutex_destroy(&ref->lock);
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

void refs_clear(struct refs *r)
{
	pthread_mutex_lock(&r->lock);
	r->stats.clears++;
	for (size_t i = 0; i < REFS_BUCKETS; i++) {
		for (struct entry *e = r->buckets[i], *next; e; e = next) {
			next = e->chain;
			if (!e->holders)
				continue;
			e->clearing = 1;
			r->stats.clear_pending++;
			entry_unlist(r, e);
		}
	}
	/* What is left is idle; this lets go of the lock, so it comes last. */
	drop_all_idle(r);
	pthread_mutex_unlock(&r->lock);
}

void refs_stats(struct refs *r, struct refs_stats *out)
{
	uint64_t idle = 0;

	pthread_mutex_lock(&r->lock);
	for (const struct entry *e = r->oldest; e; e = e->newer)
		idle++;
	*out = r->stats;
	out->bytes = r->space[DISK].used;
	out->limit = r->space[DISK].max;
	out->memory_bytes = r->space[MEMORY].used;
	out->memory_limit = r->space[MEMORY].max;
	out->in_use = r->stats.entries - idle;
	pthread_mutex_unlock(&r->lock);
}
