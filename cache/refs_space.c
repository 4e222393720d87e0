#include "cache/refs_private.h"

#include <errno.h>
#include <stdlib.h>

#include "cache/pagefile.h"
#include "cache/plainmem.h"
#include "delta/index.h"

void text_free(uint8_t *text, uint64_t len, struct delta_index *index)
{
	delta_index_free(index);
	plainmem_unmap(text, len ? (size_t)len : 1, (size_t)len);
}

void entry_idle(struct refs *r, struct entry *e)
{
	e->newer = NULL;
	e->older = r->newest;
	if (r->newest)
		r->newest->newer = e;
	else
		r->oldest = e;
	r->newest = e;
	for (int kind = 0; kind < SPACES; kind++)
		r->space[kind].idle += e->held[kind];
}

void entry_wake(struct refs *r, struct entry *e)
{
	if (e->older)
		e->older->newer = e->newer;
	else
		r->oldest = e->newer;
	if (e->newer)
		e->newer->older = e->older;
	else
		r->newest = e->older;
	e->older = e->newer = NULL;
	for (int kind = 0; kind < SPACES; kind++)
		r->space[kind].idle -= e->held[kind];
}

void entry_unlist(struct refs *r, struct entry *e)
{
	struct entry **p = &r->buckets[le32_get(e->digest) % REFS_BUCKETS];

	if (!e->listed)
		return;
	while (*p != e)
		p = &(*p)->chain;
	*p = e->chain;
	e->chain = NULL;
	e->listed = 0;
	/* While it is FETCHING, the file is another thread's to touch. */
	if (e->state == READY && e->file)
		pagefile_unlink(e->file);
}

void entry_drop(struct refs *r, struct entry *e)
{
	entry_unlist(r, e);
	r->stats.entries--;
	if (e->clearing)
		r->stats.clear_pending--;
	for (int kind = 0; kind < SPACES; kind++)
		r->space[kind].dropping += e->held[kind];
	pthread_mutex_unlock(&r->lock);

	if (e->file) {
		pagefile_close(e->file);
		budget_clear(&e->room);
	}
	text_free(atomic_load(&e->text), e->len, e->index);

	pthread_mutex_lock(&r->lock);
	for (int kind = 0; kind < SPACES; kind++) {
		r->space[kind].dropping -= e->held[kind];
		r->space[kind].used -= e->held[kind];
	}
	pthread_cond_broadcast(&r->change);
	free(e);
}

/* With the lock, as entry_drop(): the file of an idle entry stays. */
static void memory_drop(struct refs *r, struct entry *e)
{
	struct refs_space *s = &r->space[MEMORY];
	uint8_t *text = atomic_load(&e->text);
	struct delta_index *index = e->index;
	uint64_t held = e->held[MEMORY], len = e->len;

	e->index = NULL;
	e->index_room = 0;
	atomic_store(&e->text, NULL);
	e->held[MEMORY] = 0;
	s->idle -= held;
	s->dropping += held;
	pthread_mutex_unlock(&r->lock);

	text_free(text, len, index);

	pthread_mutex_lock(&r->lock);
	s->dropping -= held;
	s->used -= held;
	pthread_cond_broadcast(&r->change);
}

static struct entry *oldest_holding(const struct refs *r, enum space kind)
{
	struct entry *e = r->oldest;

	while (e && !e->held[kind])
		e = e->newer;
	return e;
}

static void evict(struct refs *r, struct entry *e)
{
	r->stats.evictions++;
	entry_wake(r, e);
	entry_drop(r, e);
}

int refs_take(struct refs *r, enum space kind, uint64_t n)
{
	struct refs_space *s = &r->space[kind];
	int err = 0;

	pthread_mutex_lock(&r->lock);
	while (n > s->max - s->used) {
		struct entry *e;

		if (n > s->max ||
		    s->used - s->idle - s->dropping > s->max - n) {
			err = -ENOSPC;
			goto unlock;
		}
		e = oldest_holding(r, kind);
		if (!e) /* then another thread is dropping */
			pthread_cond_wait(&r->change, &r->lock);
		else if (kind == MEMORY && e->file)
			memory_drop(r, e);
		else
			evict(r, e);
	}
	s->used += n;

unlock:
	pthread_mutex_unlock(&r->lock);
	return err;
}

void refs_trim_memory(struct refs *r)
{
	while (r->space[MEMORY].idle > r->memory_idle_max) {
		struct entry *e = oldest_holding(r, MEMORY);

		if (e->file)
			memory_drop(r, e);
		else
			evict(r, e);
	}
}

void refs_give(struct refs *r, enum space kind, uint64_t n)
{
	pthread_mutex_lock(&r->lock);
	r->space[kind].used -= n;
	pthread_cond_broadcast(&r->change);
	pthread_mutex_unlock(&r->lock);
}

int refs_evict_one(struct refs *r)
{
	struct entry *e;

	pthread_mutex_lock(&r->lock);
	e = oldest_holding(r, DISK);
	if (e)
		evict(r, e);
	pthread_mutex_unlock(&r->lock);
	return e != NULL;
}
