#include "cache/refs_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/diskio.h"
#include "cache/plainmem.h"
#include "cache/reffile.h"

#define STEP ((size_t)256 << 10) /* bytes moved at once */

struct fill {
	struct refs *r;
	struct entry *e;
	struct digest *sum;
	uint64_t got; /* bytes so far */
	int err; /* the first of ours, in case the fetch loses it */
};

static void give(struct refs *r, enum place place, uint64_t n)
{
	if (place == PLACE_SPILLED)
		budget_give(r->spill, n);
	else
		texts_give(r->texts, n);
}

void entry_empty(struct refs *r, struct entry *e)
{
	if (e->cached)
		r->backend->ops->put(r->backend, e->cached);
	else
		reffile_close(e->file);
	if (e->held)
		give(r, e->place, e->held);
	e->cached = NULL;
	e->file = NULL;
	e->held = 0;
}

/* Room from a budget, taken before it is used; in e->held. */
static int room_take(struct fill *f, enum place place)
{
	uint64_t size = reffile_size(f->e->len), cost;
	int err;

	cost = medium_memory_cost(size);
	if (place == PLACE_SPILLED)
		err = budget_take(f->r->spill, cost);
	else
		err = texts_take(f->r->texts, cost);
	if (!err)
		f->e->held = cost;
	return err;
}

static int medium_make(struct fill *f, enum place place, struct medium *m)
{
	uint64_t size = reffile_size(f->e->len);
	int fd, err;

	if (place == PLACE_MEMORY)
		return medium_memory(m, size);
	fd = diskio_nameless(f->r->spill_dirfd);
	if (fd < 0)
		return fd;
	err = diskio_reserve(fd, 0, size);
	if (err) {
		(void)close(fd);
		return err;
	}
	*m = medium_file(fd);
	return 0;
}

/* In one of the places where nothing is kept. */
static int place_private(struct fill *f, enum place place)
{
	struct entry *e = f->e;
	struct medium m;
	int err;

	err = room_take(f, place);
	if (err)
		return err;
	err = medium_make(f, place, &m);
	if (err)
		goto give_room;
	err = reffile_new(&e->file, &m, e->key, e->digest, e->len);
	if (err)
		goto close_medium;
	e->place = place;
	return 0;

close_medium:
	medium_close(&m);
give_room:
	give(f->r, place, e->held);
	e->held = 0;
	return err;
}

/* It is used, and not kept. */
static void note_unkept(struct fill *f, int err)
{
	struct refs *r = f->r;

	(void)pthread_mutex_lock(&r->lock);
	r->stats.unkept++;
	(void)pthread_mutex_unlock(&r->lock);
	if (!r->log.on)
		return;
	if (err == -EDQUOT)
		r->log.on(r->log.arg, CACHE_TOO_LARGE, f->e->len);
	else if (err == -ENOSPC)
		r->log.on(r->log.arg, CACHE_NO_ROOM, f->e->len);
	else
		r->log.on(r->log.arg, CACHE_UNUSABLE, (uint64_t)-err);
}

/* In the next place that has room, from `place` on.  0 or why the last has
 * none; -ENOSPC where it is for want of room. */
static int place_next(struct fill *f, enum place place)
{
	int err = -ENOSPC;

	for (; place < PLACES; place++) {
		err = place_private(f, place);
		if (!err)
			return 0;
	}
	return err == -ENOMEM ? -ENOSPC : err;
}

/* 0: it is there.  1: it is to be filled. */
static int place_first(struct fill *f)
{
	struct backend_want want = { .key = f->e->key,
				     .digest = f->e->digest,
				     .len = f->e->len };
	struct refs *r = f->r;
	int found = r->backend->ops->get(r->backend, &want, &f->e->cached);

	if (found >= 0) {
		f->e->place = PLACE_CACHED;
		f->e->file = f->e->cached->file;
		return found;
	}
	/* A cache that does not work must not keep anybody from reading. */
	f->e->cached = NULL;
	note_unkept(f, found);
	found = place_next(f, PLACE_SPILLED);
	return found ? found : 1;
}

/* What has come so far, from one file to the end of another. */
static int copy(struct reffile *from, struct reffile *to, uint64_t len)
{
	uint8_t *buf = plainmem_map(STEP);
	int err = buf ? 0 : -ENOMEM;

	for (uint64_t off = 0; !err && off < len;) {
		size_t n = len - off < STEP ? (size_t)(len - off) : STEP;

		err = reffile_read(from, buf, n, off);
		if (!err)
			err = reffile_append(to, buf, n);
		off += n;
	}
	plainmem_unmap(buf, STEP, buf ? STEP : 0);
	return err;
}

/* The disk did not take it, room or not: go on in the next place. */
static int relocate(struct fill *f, const void *data, size_t len)
{
	struct entry before = *f->e, *e = f->e;
	int err = -ENOSPC;

	e->cached = NULL;
	e->file = NULL;
	e->held = 0;
	if (before.place < PLACE_MEMORY)
		err = place_next(f, before.place + 1);
	if (!err)
		err = copy(before.file, e->file, f->got);
	if (!err)
		err = reffile_append(e->file, data, len);
	entry_empty(f->r, &before);
	return err;
}

static int sink(void *arg, const void *data, size_t len)
{
	struct fill *f = arg;

	if (f->err || !len)
		return f->err;
	if (len > f->e->len - f->got) {
		f->err = -EBADMSG;
		return f->err;
	}
	f->err = digest_update(f->sum, data, len);
	if (!f->err)
		f->err = reffile_append(f->e->file, data, len);
	if (f->err == -ENOSPC || f->err == -EIO)
		f->err = relocate(f, data, len);
	if (!f->err)
		f->got += len;
	return f->err;
}

/* All has come: is it what was asked for? */
static int finish(struct fill *f)
{
	uint8_t sum[DIGEST_LEN];
	int err;

	if (f->got != f->e->len)
		return -EBADMSG;
	err = digest_final(f->sum, sum);
	if (err)
		return err;
	if (!bytes_equal(sum, f->e->digest, DIGEST_LEN))
		return -EBADMSG;
	return reffile_finish(f->e->file);
}

/* From memory, if an encoder has it there in the clear; -ENOENT. */
static int fill_from_text(struct fill *f)
{
	struct text *x;
	int err = texts_find(f->r->texts, f->e->digest, f->e->len, &x);

	if (err)
		return err;
	err = sink(f, text_bytes(x), (size_t)f->e->len);
	text_put(f->r->texts, x);
	return err;
}

int entry_fill(struct refs *r, struct entry *e, refs_fetch_fn *fetch,
	       void *fetch_arg, int *fetched)
{
	struct fill f = { .r = r, .e = e, .sum = digest_new() };
	int found, err;

	if (!f.sum)
		return -ENOMEM;
	found = place_first(&f);
	if (found <= 0) {
		digest_free(f.sum);
		return found;
	}
	*fetched = 1;
	err = fill_from_text(&f);
	if (!err) {
		(void)pthread_mutex_lock(&r->lock);
		r->stats.hits++;
		(void)pthread_mutex_unlock(&r->lock);
	}
	if (err == -ENOENT) {
		(void)pthread_mutex_lock(&r->lock);
		r->stats.misses++;
		(void)pthread_mutex_unlock(&r->lock);
		err = fetch(fetch_arg, sink, &f);
		(void)pthread_mutex_lock(&r->lock);
		r->stats.fetched_bytes += f.got;
		(void)pthread_mutex_unlock(&r->lock);
	}
	if (f.err)
		err = f.err;
	else if (err > 0)
		err = -EIO; /* not the contract; never a success */
	if (!err)
		err = finish(&f);
	if (err)
		entry_empty(r, e);
	digest_free(f.sum);
	return err;
}
