#include "cache/membackend.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache/reffile.h"

struct slot {
	struct cached cached; /* first: what the caller has of it */
	struct slot *older, *newer; /* all of them, by last use */
	uint64_t cost; /* bytes of memory */
	unsigned holders;
	int published;
	int doomed;
	time_t used; /* last */
};

struct membackend {
	struct cache_backend backend; /* first */
	pthread_mutex_t lock; /* all below */
	struct slot *oldest, *newest;
	uint64_t used;
	uint64_t
		filling; /* of which so much is set aside and not touched yet */
	struct membackend_conf conf;
	struct backend_stats stats; /* its counters and limit only */
};

static struct membackend *of(struct cache_backend *b)
{
	return (struct membackend *)b;
}

static void link_newest(struct membackend *m, struct slot *s)
{
	s->used = time(NULL);
	s->newer = NULL;
	s->older = m->newest;
	if (m->newest)
		m->newest->newer = s;
	else
		m->oldest = s;
	m->newest = s;
}

static void take_out(struct membackend *m, struct slot *s)
{
	if (s->older)
		s->older->newer = s->newer;
	else
		m->oldest = s->newer;
	if (s->newer)
		s->newer->older = s->older;
	else
		m->newest = s->older;
}

/* With the lock.  Nobody holds it. */
static void drop(struct membackend *m, struct slot *s)
{
	take_out(m, s);
	m->used -= s->cost;
	reffile_close(s->cached.file);
	free(s);
}

/* With the lock: the bytes that went. */
static uint64_t drop_idle(struct membackend *m, uint64_t bytes, uint64_t *count)
{
	uint64_t got = 0;

	for (struct slot *s = m->oldest, *next; s && got < bytes; s = next) {
		next = s->newer;
		if (s->holders)
			continue;
		got += s->cost;
		drop(m, s);
		++*count;
	}
	return got;
}

static struct slot *find(struct membackend *m, const struct backend_want *want)
{
	for (struct slot *s = m->newest; s; s = s->older)
		if (s->published && !s->doomed &&
		    reffile_length(s->cached.file) == want->len &&
		    !memcmp(reffile_digest(s->cached.file), want->digest,
			    DIGEST_LEN) &&
		    reffile_is_under(s->cached.file, want->key))
			return s;
	return NULL;
}

static uint64_t room(const struct membackend *m)
{
	return m->conf.room ? m->conf.room(m->conf.arg) : UINT64_MAX;
}

/* With the lock: no other limit is passed by `cost` bytes more.  0, -ENOSPC. */
static int fits(struct membackend *m, uint64_t cost)
{
	uint64_t need = m->filling + cost, now = room(m);

	if (now < need) {
		(void)drop_idle(m, need - now,
				&m->stats.evictions[EVICT_MEMORY]);
		now = room(m);
	}
	return now < need ? -ENOSPC : 0;
}

/* With the lock: room first, then the memory. */
static int make(struct membackend *m, const struct backend_want *want,
		struct cached **out)
{
	uint64_t cost = medium_memory_cost(reffile_size(want->len));
	uint64_t limit = m->stats.limit;
	struct medium medium;
	struct slot *s;
	int err;

	if (cost > limit)
		return -EDQUOT;
	if (m->used > limit - cost)
		(void)drop_idle(m, m->used - (limit - cost),
				&m->stats.evictions[EVICT_SPACE]);
	if (m->used > limit - cost)
		return -EDQUOT;
	err = fits(m, cost);
	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	err = s ? medium_memory(&medium, reffile_size(want->len)) : -ENOMEM;
	if (err)
		goto free_slot;
	err = reffile_new(&s->cached.file, &medium, want->key, want->digest,
			  want->len);
	if (err) {
		medium_close(&medium);
		goto free_slot;
	}
	s->cost = cost;
	s->holders = 1;
	m->used += cost;
	m->filling += cost;
	link_newest(m, s);
	*out = &s->cached;
	return 1;

free_slot:
	free(s);
	return err;
}

static int mem_get(struct cache_backend *b, const struct backend_want *want,
		   struct cached **out)
{
	struct membackend *m = of(b);
	struct slot *s;
	int found = 0;

	(void)pthread_mutex_lock(&m->lock);
	s = find(m, want);
	if (s) {
		s->holders++;
		*out = &s->cached;
	} else {
		found = make(m, want, out);
	}
	(void)pthread_mutex_unlock(&m->lock);
	return found;
}

static int mem_publish(struct cache_backend *b, struct cached *c, int once)
{
	struct membackend *m = of(b);
	struct slot *s = (struct slot *)c;

	(void)pthread_mutex_lock(&m->lock);
	m->filling -= s->cost;
	s->published = 1;
	s->doomed = once;
	(void)pthread_mutex_unlock(&m->lock);
	return 0;
}

static void mem_put(struct cache_backend *b, struct cached *c)
{
	struct membackend *m = of(b);
	struct slot *s = (struct slot *)c;

	(void)pthread_mutex_lock(&m->lock);
	s->holders--;
	if (!s->published)
		m->filling -= s->cost;
	if (!s->holders && (s->doomed || !s->published)) {
		drop(m, s);
	} else {
		take_out(m, s);
		link_newest(m, s);
	}
	(void)pthread_mutex_unlock(&m->lock);
}

static void mem_doom(struct cache_backend *b, struct cached *c, int damaged)
{
	struct membackend *m = of(b);
	struct slot *s = (struct slot *)c;

	(void)pthread_mutex_lock(&m->lock);
	if (damaged && !s->doomed)
		m->stats.corruptions++;
	s->doomed = 1;
	(void)pthread_mutex_unlock(&m->lock);
}

/* With the lock: idle ones go, others are doomed; NULL: of any key. */
static void drop_those(struct membackend *m, const struct cachekey *key)
{
	for (struct slot *s = m->oldest, *next; s; s = next) {
		next = s->newer;
		if (key && !reffile_is_under(s->cached.file, key))
			continue;
		if (!s->holders)
			drop(m, s);
		else
			s->doomed = s->published;
	}
}

static int mem_clear(struct cache_backend *b)
{
	struct membackend *m = of(b);

	(void)pthread_mutex_lock(&m->lock);
	drop_those(m, NULL);
	(void)pthread_mutex_unlock(&m->lock);
	return 0;
}

static int mem_retire(struct cache_backend *b, const struct cachekey *key)
{
	struct membackend *m = of(b);

	(void)pthread_mutex_lock(&m->lock);
	drop_those(m, key);
	(void)pthread_mutex_unlock(&m->lock);
	return 0;
}

static uint64_t mem_evict(struct cache_backend *b, uint64_t bytes,
			  enum evict_reason why)
{
	struct membackend *m = of(b);
	uint64_t got;

	/* A disk that is full gains nothing here. */
	if (why == EVICT_DISK)
		return 0;
	(void)pthread_mutex_lock(&m->lock);
	got = drop_idle(m, bytes, &m->stats.evictions[why]);
	(void)pthread_mutex_unlock(&m->lock);
	return got;
}

static void mem_set_limit(struct cache_backend *b, uint64_t limit,
			  uint64_t min_free)
{
	struct membackend *m = of(b);

	(void)min_free;
	(void)pthread_mutex_lock(&m->lock);
	m->stats.limit = limit;
	if (m->used > limit)
		(void)drop_idle(m, m->used - limit,
				&m->stats.evictions[EVICT_SPACE]);
	(void)pthread_mutex_unlock(&m->lock);
}

static int mem_list(struct cache_backend *b, const struct cachekey *key,
		    backend_list_fn *fn, void *arg)
{
	struct membackend *m = of(b);
	int err = 0;

	(void)pthread_mutex_lock(&m->lock);
	for (struct slot *s = m->oldest; s && !err; s = s->newer) {
		struct cached_facts facts = {
			.digest = reffile_digest(s->cached.file),
			.len = reffile_length(s->cached.file),
			.in_use = s->holders > 0,
			.used_s = s->used
		};

		if (s->published && !s->doomed &&
		    reffile_is_under(s->cached.file, key))
			err = fn(arg, &facts);
	}
	(void)pthread_mutex_unlock(&m->lock);
	return err;
}

static void mem_stats(struct cache_backend *b, struct backend_stats *out)
{
	struct membackend *m = of(b);

	(void)pthread_mutex_lock(&m->lock);
	*out = m->stats;
	out->bytes = m->used;
	for (const struct slot *s = m->oldest; s; s = s->newer) {
		out->entries += s->published && !s->doomed;
		out->clear_pending += s->doomed != 0;
	}
	(void)pthread_mutex_unlock(&m->lock);
}

static void mem_free(struct cache_backend *b)
{
	struct membackend *m = of(b);

	drop_those(m, NULL);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct backend_ops mem_ops = {
	.get = mem_get,
	.publish = mem_publish,
	.put = mem_put,
	.doom = mem_doom,
	.clear = mem_clear,
	.retire = mem_retire,
	.evict = mem_evict,
	.set_limit = mem_set_limit,
	.list = mem_list,
	.stats = mem_stats,
	.free = mem_free,
};

int membackend_new(struct cache_backend **out,
		   const struct membackend_conf *conf)
{
	struct membackend *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->backend.ops = &mem_ops;
	m->conf = *conf;
	m->stats.limit = conf->limit;
	(void)pthread_mutex_init(&m->lock, NULL);
	*out = &m->backend;
	return 0;
}
