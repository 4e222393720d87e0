#include "cache/refs_read.h"

#include <errno.h>
#include <string.h>

#include "cache/pagefile.h"
#include "cache/plainmem.h"
#include "delta/index.h"

#define STEP ((uint64_t)1 << 20) /* bytes read at once to fill a text */
/* An index of less than this part of what it wants finds too little. */
#define INDEX_LEAST 16

/*
 * From the sealed file.  A damaged page makes the entry one that nobody gets
 * any more, so that getting it again fetches it anew.
 */
static int file_read(struct ref *ref, uint8_t *dst, size_t len, uint64_t off)
{
	ssize_t n = pagefile_pread(ref->entry->file, dst, len, off);

	if (n >= 0)
		return (size_t)n == len ? 0 : -EIO;
	if (n == -EBADMSG) {
		pthread_mutex_lock(&ref->refs->lock);
		ref->refs->stats.corruptions++;
		entry_unlist(ref->refs, ref->entry);
		pthread_mutex_unlock(&ref->refs->lock);
	}
	return (int)n;
}

/* The slot to read a page into: an unused one, else the least recently used. */
static unsigned slot_choose(const struct ref *ref)
{
	unsigned slot = 0;

	if (ref->slots_used < REF_SLOTS)
		return ref->slots_used;
	for (unsigned i = 1; i < REF_SLOTS; i++)
		if (ref->slots[i].used_at < ref->slots[slot].used_at)
			slot = i;
	return slot;
}

/* The page's bytes, from the slots or through them.  Called with ref->lock. */
static int slot_get(struct ref *ref, uint64_t page, const uint8_t **out)
{
	uint64_t off = page * PAGEFILE_PAGE, left = ref->entry->len - off;
	size_t len = left < PAGEFILE_PAGE ? (size_t)left : PAGEFILE_PAGE;
	uint8_t *bytes;
	unsigned i;
	int err;

	for (i = 0; i < ref->slots_used; i++)
		if (ref->slots[i].page == page)
			goto found;

	if (!ref->pages)
		ref->pages = plainmem_map(REF_SLOTS * PAGEFILE_PAGE);
	if (!ref->pages)
		return -ENOMEM;
	i = slot_choose(ref);
	bytes = ref->pages + i * PAGEFILE_PAGE;
	if (i < ref->slots_used)
		ref->slots[i].page = UINT64_MAX; /* none, should this fail */
	err = file_read(ref, bytes, len, off);
	if (err)
		return err;
	ref->slots[i].page = page;
	if (i == ref->slots_used)
		ref->slots_used++;

found:
	ref->slots[i].used_at = ++ref->clock;
	*out = ref->pages + i * PAGEFILE_PAGE;
	return 0;
}

static int read_part(struct ref *ref, uint8_t *dst, size_t len, uint64_t off)
{
	const uint8_t *page;
	int err;

	pthread_mutex_lock(&ref->lock);
	err = slot_get(ref, off / PAGEFILE_PAGE, &page);
	if (!err)
		memcpy(dst, page + off % PAGEFILE_PAGE, len);
	pthread_mutex_unlock(&ref->lock);
	return err;
}

int ref_read(struct ref *ref, void *buf, size_t len, uint64_t off)
{
	const uint8_t *text = atomic_load(&ref->entry->text);
	uint8_t *dst = buf;
	int err = 0;

	if (off > ref->entry->len || len > ref->entry->len - off)
		return -ERANGE;
	if (text) {
		if (len)
			memcpy(dst, text + off, len);
		return 0;
	}
	while (len && !err) {
		size_t n = PAGEFILE_PAGE - (size_t)(off % PAGEFILE_PAGE);

		if (n == PAGEFILE_PAGE && len >= n) {
			/* Whole pages need no copy of ours in between. */
			n = len - len % PAGEFILE_PAGE;
			err = file_read(ref, dst, n, off);
		} else {
			if (n > len)
				n = len;
			err = read_part(ref, dst, n, off);
		}
		dst += n;
		off += n;
		len -= n;
	}
	return err;
}

static int text_load(struct ref *ref, uint8_t **out)
{
	uint64_t len = ref->entry->len;
	uint8_t *text;
	int err = 0;

	text = plainmem_map(len ? (size_t)len : 1);
	if (!text)
		return -ENOMEM;
	for (uint64_t off = 0; off < len && !err;) {
		uint64_t n = len - off < STEP ? len - off : STEP;

		err = file_read(ref, text + off, (size_t)n, off);
		off += n;
	}
	if (err)
		text_free(text, len, NULL);
	else
		*out = text;
	return err;
}

/*
 * What an index may take: all that it wants, or what the budget, with nothing
 * else in it, leaves beside the text.
 */
static uint64_t index_room(const struct refs *r, uint64_t len)
{
	uint64_t want = delta_index_cost((size_t)len);
	uint64_t limit = r->space[MEMORY].max;
	uint64_t left = limit > len ? limit - len : 0;

	return want < left || left < want / INDEX_LEAST ? want : left;
}

/*
 * The text, and room for its index, which may be built later: it must not fail
 * then.  Without the lock, but alone: entry->building says so.
 */
static int text_build(struct ref *ref)
{
	struct refs *r = ref->refs;
	struct entry *e = ref->entry;
	uint8_t *old = atomic_load(&e->text), *text = old;
	uint64_t room = index_room(r, e->len), need = room;
	int err;

	if (!old)
		need += e->len ? e->len : 1;
	if (refs_take(r, MEMORY, need))
		return -ENOMEM;
	if (!old) {
		err = text_load(ref, &text);
		if (err) {
			refs_give(r, MEMORY, need);
			return err;
		}
	}
	pthread_mutex_lock(&r->lock);
	e->held[MEMORY] += need;
	e->index_room = (size_t)room;
	atomic_store(&e->text, text); /* ref_read() may use it from now on */
	pthread_mutex_unlock(&r->lock);
	return 0;
}

static int index_build(struct ref *ref)
{
	struct refs *r = ref->refs;
	struct entry *e = ref->entry;
	struct delta_index *index;
	int err;

	err = delta_index_new(&index, atomic_load(&e->text), (size_t)e->len,
			      e->index_room);
	if (err)
		return err;
	pthread_mutex_lock(&r->lock);
	e->index = index;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

/* With the lock: make what is missing, once for all who want it. */
static int build(struct ref *ref, int index)
{
	struct refs *r = ref->refs;
	struct entry *e = ref->entry;
	int err = 0;

	while (!err && !(index ? e->index != NULL : e->index_room != 0)) {
		if (e->building) {
			unsigned builds = e->builds;

			while (e->builds == builds)
				pthread_cond_wait(&r->change, &r->lock);
			err = e->build_err;
			continue;
		}
		e->building = 1;
		pthread_mutex_unlock(&r->lock);
		err = e->index_room ? index_build(ref) : text_build(ref);
		pthread_mutex_lock(&r->lock);
		e->building = 0;
		e->builds++;
		e->build_err = err;
		pthread_cond_broadcast(&r->change);
	}
	return err;
}

int ref_text(struct ref *ref, const uint8_t **out)
{
	int err;

	pthread_mutex_lock(&ref->refs->lock);
	err = build(ref, 0);
	pthread_mutex_unlock(&ref->refs->lock);
	if (!err)
		*out = atomic_load(&ref->entry->text);
	return err;
}

int ref_index(struct ref *ref, const struct delta_index **out)
{
	int err;

	pthread_mutex_lock(&ref->refs->lock);
	err = build(ref, 1);
	if (!err)
		*out = ref->entry->index;
	pthread_mutex_unlock(&ref->refs->lock);
	return err;
}
