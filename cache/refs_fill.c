#include "cache/refs_private.h"

#include <errno.h>
#include <string.h>

#include "cache/pagefile.h"
#include "cache/plainmem.h"

#define NAME_BYTES 16 /* of the keyed digest that a file is named by */
#define FS_BLOCK   ((uint64_t)4096)
#define FS_MAPS    ((uint64_t)64 << 20) /* bytes that such a block maps */

struct fill {
	struct refs *r;
	struct entry *e;
	struct digest *sum;
	uint64_t got; /* bytes so far */
	int err; /* the first of ours, in case the fetch loses it */
};

/* What a file adds to `du`: the directory entry and the maps are in it. */
static uint64_t disk_need(uint64_t len)
{
	return pagefile_cost(len) + FS_BLOCK * (1 + len / FS_MAPS);
}

/* A name that tells nothing of the content to who has not the key. */
static int name_make(struct refs *r, const struct entry *e,
		     char name[2 * NAME_BYTES + 1])
{
	uint8_t text[DIGEST_LEN + 16], sum[DIGEST_LEN];
	uint64_t serial;
	int err;

	pthread_mutex_lock(&r->lock);
	serial = r->serial++; /* its predecessor may not be gone yet */
	pthread_mutex_unlock(&r->lock);
	memcpy(text, e->digest, DIGEST_LEN);
	le64_put(text + DIGEST_LEN, e->len);
	le64_put(text + DIGEST_LEN + 8, serial);
	err = digest_hmac(r->name_key.bytes, AEAD_KEY_LEN, text, sizeof(text),
			  sum);
	if (!err)
		hex_encode(name, sum, NAME_BYTES);
	return err;
}

/* The entry's parts go back; the counts of refs.space follow. */
static void entry_empty(struct refs *r, struct entry *e)
{
	if (e->file) {
		pagefile_close(e->file);
		budget_clear(&e->room);
		e->file = NULL;
	}
	if (e->held[DISK])
		refs_give(r, DISK, e->held[DISK]);
	e->held[DISK] = 0;
}

static void memory_empty(struct refs *r, struct entry *e)
{
	uint8_t *text = atomic_load(&e->text);

	if (!text)
		return;
	text_free(text, e->len, NULL);
	atomic_store(&e->text, NULL);
	refs_give(r, MEMORY, e->held[MEMORY]);
	e->held[MEMORY] = 0;
}

/* The disk is full: move what has come to memory, and go on there. */
static int move_to_memory(struct fill *f)
{
	struct refs *r = f->r;
	struct entry *e = f->e;
	size_t len = e->len ? (size_t)e->len : 1;
	uint8_t *text;
	ssize_t n;
	int err;

	err = refs_take(r, MEMORY, len);
	if (err)
		return err;
	text = plainmem_map(len);
	if (!text) {
		err = -ENOMEM;
		goto give_memory;
	}
	if (e->file) {
		n = pagefile_pread(e->file, text, (size_t)f->got, 0);
		if (n < 0 || (uint64_t)n != f->got) {
			err = n < 0 ? (int)n : -EIO;
			goto unmap;
		}
	}
	entry_empty(r, e);
	e->held[MEMORY] = len;
	atomic_store(&e->text, text);
	return 0;

unmap:
	plainmem_unmap(text, len, (size_t)f->got);
give_memory:
	refs_give(r, MEMORY, len);
	return err;
}

/* Make room on a disk that is full for other reasons than this cache's. */
static int disk_or_memory(struct fill *f)
{
	return refs_evict_one(f->r) ? 0 : move_to_memory(f);
}

static int file_create(struct fill *f)
{
	char name[2 * NAME_BYTES + 1];
	struct entry *e = f->e;
	uint64_t need = disk_need(e->len);
	int err;

	err = name_make(f->r, e, name);
	if (err)
		return err;
	/* A miss of the budget is no error: then it is not kept. */
	e->keep = !refs_take(f->r, DISK, need);
	e->held[DISK] = e->keep ? need : 0;
	budget_init(&e->room, e->keep ? need : UINT64_MAX);
	err = pagefile_create(&e->file, f->r->dirfd, e->keep ? name : NULL,
			      f->r->key, &e->room);
	if (err) {
		budget_clear(&e->room);
		entry_empty(f->r, e);
	}
	return err;
}

static int place_open(struct fill *f)
{
	int err = file_create(f);

	while (err == -ENOSPC) {
		err = disk_or_memory(f);
		if (err || atomic_load(&f->e->text))
			break;
		err = file_create(f);
	}
	return err;
}

static int place_write(struct fill *f, const void *data, size_t len)
{
	while (!atomic_load(&f->e->text)) {
		int err = pagefile_pwrite(f->e->file, data, len, f->got);

		if (err != -ENOSPC)
			return err;
		err = disk_or_memory(f);
		if (err)
			return err;
	}
	memcpy(atomic_load(&f->e->text) + f->got, data, len);
	return 0;
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
		f->err = place_write(f, data, len);
	if (!f->err)
		f->got += len;
	return f->err;
}

/* All has come: is it what was asked for? */
static int check(struct fill *f)
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
	return f->e->file ? pagefile_settle(f->e->file) : 0;
}

int entry_fill(struct refs *r, struct entry *e, refs_fetch_fn *fetch,
	       void *fetch_arg)
{
	struct fill f = { .r = r, .e = e, .sum = digest_new() };
	int err;

	if (!f.sum)
		return -ENOMEM;
	e->keep = 1;
	err = place_open(&f);
	if (err)
		goto free_sum;
	err = fetch(fetch_arg, sink, &f);
	if (f.err)
		err = f.err;
	else if (err > 0)
		err = -EIO; /* not the contract; never a success */
	if (!err)
		err = check(&f);
	if (err) {
		entry_empty(r, e);
		memory_empty(r, e);
	}

	pthread_mutex_lock(&r->lock);
	r->stats.fetched_bytes += f.got;
	pthread_mutex_unlock(&r->lock);
free_sum:
	digest_free(f.sum);
	return err;
}
