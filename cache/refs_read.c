#include "cache/refs_private.h"

#include <errno.h>
#include <string.h>

#include "cache/plainmem.h"
#include "cache/reffile.h"

/* A damaged entry is one that nobody gets any more. */
static void drop_damaged(struct refs *r, struct entry *e)
{
	int first;

	(void)pthread_mutex_lock(&r->lock);
	first = !e->dropping;
	e->dropping = 1;
	entry_unlist(r, e);
	if (first && e->place != PLACE_CACHED)
		r->corruptions++;
	(void)pthread_mutex_unlock(&r->lock);
	if (first && e->place == PLACE_CACHED)
		r->backend->ops->doom(r->backend, e->cached, 1);
}

/* From the sealed file; getting a damaged one again fetches it anew. */
static int file_read(struct ref *ref, uint8_t *dst, size_t len, uint64_t off)
{
	int err = reffile_read(ref->entry->file, dst, len, off);

	if (err == -EIO) /* a disk that lost it is as bad as one that lies */
		err = -EBADMSG;
	if (err == -EBADMSG)
		drop_damaged(ref->refs, ref->entry);
	return err;
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
	uint64_t off = page * SEALING_PAGE, left = ref->entry->len - off;
	size_t len = left < SEALING_PAGE ? (size_t)left : SEALING_PAGE;
	uint8_t *bytes;
	unsigned i;
	int err;

	for (i = 0; i < ref->slots_used; i++)
		if (ref->slots[i].page == page)
			goto found;

	if (!ref->pages)
		ref->pages = plainmem_map(REF_SLOTS * SEALING_PAGE);
	if (!ref->pages)
		return -ENOMEM;
	i = slot_choose(ref);
	bytes = ref->pages + i * SEALING_PAGE;
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
	*out = ref->pages + i * SEALING_PAGE;
	return 0;
}

static int read_part(struct ref *ref, uint8_t *dst, size_t len, uint64_t off)
{
	const uint8_t *page;
	int err;

	(void)pthread_mutex_lock(&ref->lock);
	err = slot_get(ref, off / SEALING_PAGE, &page);
	if (!err)
		memcpy(dst, page + off % SEALING_PAGE, len);
	(void)pthread_mutex_unlock(&ref->lock);
	return err;
}

int ref_read(struct ref *ref, void *buf, size_t len, uint64_t off)
{
	uint8_t *dst = buf;
	struct text *text;
	int err = 0;

	if (off > ref->entry->len || len > ref->entry->len - off)
		return -ERANGE;
	(void)pthread_mutex_lock(&ref->lock);
	text = ref->text; /* which stays, once it is there */
	(void)pthread_mutex_unlock(&ref->lock);
	if (text) {
		if (len)
			memcpy(dst, text_bytes(text) + off, len);
		return 0;
	}
	while (len && !err) {
		size_t n = SEALING_PAGE - (size_t)(off % SEALING_PAGE);

		if (n == SEALING_PAGE && len >= n) {
			/* Whole pages need no copy of ours in between. */
			n = len - len % SEALING_PAGE;
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

static int load(void *arg, uint8_t *dst, uint64_t len)
{
	return file_read(arg, dst, (size_t)len, 0);
}

/* With ref->lock: its text, held from now on. */
static int text_of(struct ref *ref, struct text **out)
{
	struct entry *e = ref->entry;
	int err = 0;

	if (!ref->text)
		err = texts_get(ref->refs->texts, e->digest, e->len, load, ref,
				&ref->text);
	if (!err)
		*out = ref->text;
	return err;
}

int ref_text(struct ref *ref, const uint8_t **out)
{
	struct text *x;
	int err;

	(void)pthread_mutex_lock(&ref->lock);
	err = text_of(ref, &x);
	(void)pthread_mutex_unlock(&ref->lock);
	if (!err)
		*out = text_bytes(x);
	return err;
}

int ref_index(struct ref *ref, const struct delta_index **out)
{
	struct text *x;
	int err;

	(void)pthread_mutex_lock(&ref->lock);
	err = text_of(ref, &x);
	(void)pthread_mutex_unlock(&ref->lock);
	return err ? err : text_index(ref->refs->texts, x, out);
}
