#include "cache/texts.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/plainmem.h"
#include "delta/index.h"

/* An index of less than this part of what it wants finds too little. */
#define INDEX_LEAST 16

/* All is guarded by texts.lock; bytes and index are constant once they are
 * there. */
struct text {
	struct text *older, *newer; /* all of them, by last use */
	uint8_t digest[DIGEST_LEN];
	uint64_t len;
	uint64_t held; /* bytes of the budget */
	enum { LOADING, READY, FAILED } state;
	int err; /* why FAILED */
	unsigned holders;
	int forgotten; /* goes when it is put, and nobody finds it */
	uint8_t *bytes; /* plainmem of len bytes, or 1 */
	size_t index_room;
	struct delta_index *index;
	int building; /* a thread makes the index */
};

struct texts {
	pthread_mutex_t lock; /* never held while a text is loaded or wiped */
	pthread_cond_t change; /* loaded, built, freed */
	struct text *oldest, *newest;
	uint64_t max, idle_max;
	uint64_t used; /* of max, by texts and others, dropped ones too */
	uint64_t idle, dropping; /* parts of `used` */
};

int texts_open(struct texts **out, uint64_t max, uint64_t idle_max)
{
	struct texts *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->max = max;
	t->idle_max = idle_max;
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_cond_init(&t->change, NULL);
	*out = t;
	return 0;
}

/* The rest is with the lock, which those that say so drop meanwhile. */

static void link_newest(struct texts *t, struct text *x)
{
	x->newer = NULL;
	x->older = t->newest;
	if (t->newest)
		t->newest->newer = x;
	else
		t->oldest = x;
	t->newest = x;
}

static void take_out(struct texts *t, struct text *x)
{
	if (x->older)
		x->older->newer = x->newer;
	else
		t->oldest = x->newer;
	if (x->newer)
		x->newer->older = x->older;
	else
		t->newest = x->older;
}

static void bytes_unmap(uint8_t *bytes, uint64_t len)
{
	plainmem_unmap(bytes, len ? (size_t)len : 1, (size_t)len);
}

/* Free one that nobody holds; drops the lock while memory is wiped. */
static void drop(struct texts *t, struct text *x)
{
	uint64_t held = x->held;

	take_out(t, x);
	t->dropping += held;
	(void)pthread_mutex_unlock(&t->lock);
	delta_index_free(x->index);
	bytes_unmap(x->bytes, x->len);
	free(x);
	(void)pthread_mutex_lock(&t->lock);
	t->dropping -= held;
	t->used -= held;
	(void)pthread_cond_broadcast(&t->change);
}

static struct text *oldest_idle(const struct texts *t)
{
	struct text *x = t->oldest;

	while (x && x->holders)
		x = x->newer;
	return x;
}

static void drop_idle(struct texts *t, struct text *x)
{
	t->idle -= x->held;
	drop(t, x);
}

static int take(struct texts *t, uint64_t n)
{
	while (t->used > t->max || n > t->max - t->used) {
		struct text *x;

		/* In use, and so not to be had. */
		if (n > t->max || t->used - t->idle - t->dropping > t->max - n)
			return -ENOMEM;
		x = oldest_idle(t);
		if (x)
			drop_idle(t, x);
		else /* then another thread is dropping */
			(void)pthread_cond_wait(&t->change, &t->lock);
	}
	t->used += n;
	return 0;
}

static struct text *find(struct texts *t, const uint8_t digest[DIGEST_LEN],
			 uint64_t len)
{
	struct text *x = t->newest;

	while (x && (x->forgotten || x->len != len ||
		     memcmp(x->digest, digest, DIGEST_LEN) != 0))
		x = x->older;
	return x;
}

static void put(struct texts *t, struct text *x)
{
	if (--x->holders)
		return;
	if (x->forgotten) {
		drop(t, x);
		return;
	}
	take_out(t, x);
	link_newest(t, x);
	t->idle += x->held;
	while (t->idle > t->idle_max)
		drop_idle(t, oldest_idle(t));
}

static void hold(struct texts *t, struct text *x)
{
	if (!x->holders++)
		t->idle -= x->held;
}

/* Hold one that is there, when it is READY. */
static int join(struct texts *t, struct text *x)
{
	int err;

	hold(t, x);
	while (x->state == LOADING)
		(void)pthread_cond_wait(&t->change, &t->lock);
	err = x->state == FAILED ? x->err : 0;
	if (err)
		put(t, x);
	return err;
}

/*
 * What an index may take: all that it wants, or what the budget, with nothing
 * else in it, leaves beside the text.
 */
static uint64_t index_room(const struct texts *t, uint64_t len)
{
	uint64_t want = delta_index_cost((size_t)len);
	uint64_t left = t->max > len ? t->max - len : 0;

	return want < left || left < want / INDEX_LEAST ? want : left;
}

static struct text *text_new(const uint8_t digest[DIGEST_LEN], uint64_t len,
			     uint64_t room)
{
	struct text *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	memcpy(x->digest, digest, DIGEST_LEN);
	x->len = len;
	x->index_room = (size_t)room;
	x->held = room + (len ? len : 1);
	x->holders = 1;
	x->state = LOADING;
	return x;
}

/* Drops the lock while it loads. */
static int load_text(struct texts *t, struct text *x, text_load_fn *load,
		     void *arg)
{
	uint8_t *bytes;
	int err = -ENOMEM;

	(void)pthread_mutex_unlock(&t->lock);
	bytes = plainmem_map(x->len ? (size_t)x->len : 1);
	if (bytes)
		err = load(arg, bytes, x->len);
	(void)pthread_mutex_lock(&t->lock);
	x->bytes = bytes;
	x->state = err ? FAILED : READY;
	x->err = err;
	(void)pthread_cond_broadcast(&t->change);
	if (err) {
		x->forgotten = 1;
		put(t, x);
	}
	return err;
}

/* A new one, with its room; -EEXIST: somebody else was faster. */
static int add(struct texts *t, const uint8_t digest[DIGEST_LEN], uint64_t len,
	       struct text **out)
{
	struct text *x = text_new(digest, len, index_room(t, len));
	int err;

	if (!x)
		return -ENOMEM;
	err = take(t, x->held);
	/* That may have let go of the lock. */
	if (!err && find(t, digest, len)) {
		t->used -= x->held;
		(void)pthread_cond_broadcast(&t->change);
		err = -EEXIST;
	}
	if (err) {
		free(x);
		return err;
	}
	link_newest(t, x);
	*out = x;
	return 0;
}

int texts_get(struct texts *t, const uint8_t digest[DIGEST_LEN], uint64_t len,
	      text_load_fn *load, void *arg, struct text **out)
{
	struct text *x;
	int err;

	(void)pthread_mutex_lock(&t->lock);
	do {
		x = find(t, digest, len);
		err = x ? join(t, x) : add(t, digest, len, &x);
	} while (err == -EEXIST);
	if (!err && x->state == LOADING)
		err = load_text(t, x, load, arg);
	(void)pthread_mutex_unlock(&t->lock);
	if (!err)
		*out = x;
	return err;
}

int texts_find(struct texts *t, const uint8_t digest[DIGEST_LEN], uint64_t len,
	       struct text **out)
{
	struct text *x;
	int err = -ENOENT;

	(void)pthread_mutex_lock(&t->lock);
	x = find(t, digest, len);
	if (x && x->state == READY) {
		hold(t, x);
		*out = x;
		err = 0;
	}
	(void)pthread_mutex_unlock(&t->lock);
	return err;
}

void text_put(struct texts *t, struct text *x)
{
	if (!x)
		return;
	(void)pthread_mutex_lock(&t->lock);
	put(t, x);
	(void)pthread_mutex_unlock(&t->lock);
}

const uint8_t *text_bytes(const struct text *x)
{
	return x->bytes;
}

int text_index(struct texts *t, struct text *x, const struct delta_index **out)
{
	struct delta_index *index = NULL;
	int err = 0;

	(void)pthread_mutex_lock(&t->lock);
	while (x->building)
		(void)pthread_cond_wait(&t->change, &t->lock);
	if (!x->index) {
		x->building = 1;
		(void)pthread_mutex_unlock(&t->lock);
		err = delta_index_new(&index, x->bytes, (size_t)x->len,
				      x->index_room);
		(void)pthread_mutex_lock(&t->lock);
		x->index = err ? NULL : index;
		x->building = 0;
		(void)pthread_cond_broadcast(&t->change);
	}
	*out = x->index;
	(void)pthread_mutex_unlock(&t->lock);
	return err;
}

void texts_drop_idle(struct texts *t)
{
	struct text *x;

	(void)pthread_mutex_lock(&t->lock);
	while ((x = oldest_idle(t)))
		drop_idle(t, x);
	(void)pthread_mutex_unlock(&t->lock);
}

void texts_clear(struct texts *t)
{
	(void)pthread_mutex_lock(&t->lock);
	for (struct text *x = t->oldest; x; x = x->newer)
		x->forgotten |= x->holders > 0;
	(void)pthread_mutex_unlock(&t->lock);
	texts_drop_idle(t);
}

void texts_set_limit(struct texts *t, uint64_t max, uint64_t idle_max)
{
	(void)pthread_mutex_lock(&t->lock);
	t->max = max;
	t->idle_max = idle_max;
	while (t->idle && (t->idle > idle_max || t->used > max))
		drop_idle(t, oldest_idle(t));
	(void)pthread_mutex_unlock(&t->lock);
}

int texts_take(struct texts *t, uint64_t n)
{
	int err;

	(void)pthread_mutex_lock(&t->lock);
	err = take(t, n);
	(void)pthread_mutex_unlock(&t->lock);
	return err;
}

void texts_give(struct texts *t, uint64_t n)
{
	(void)pthread_mutex_lock(&t->lock);
	t->used -= n;
	(void)pthread_cond_broadcast(&t->change);
	(void)pthread_mutex_unlock(&t->lock);
}

void texts_stats(struct texts *t, struct texts_stats *out)
{
	(void)pthread_mutex_lock(&t->lock);
	out->bytes = t->used;
	out->limit = t->max;
	(void)pthread_mutex_unlock(&t->lock);
}

void texts_close(struct texts *t)
{
	if (!t)
		return;
	texts_clear(t);
	assert(!t->oldest);
	(void)pthread_cond_destroy(&t->change);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}
