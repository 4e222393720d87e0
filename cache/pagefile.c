#include "cache/pagefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/budget.h"
#include "cache/diskio.h"
#include "cache/pagetable.h"
#include "cache/plainmem.h"
#include "cache/sealing.h"

#define ROOM_STEP   ((uint32_t)16 << 10) /* of one page, plaintext bytes */
#define BUDGET_STEP ((uint64_t)1 << 20) /* taken at once by a large file */

struct pagefile {
	int fd;
	struct sealing sealing;
	struct budget *budget;
	uint64_t reserved; /* taken from the budget, >= table.disk */
	uint64_t len;
	struct pagetable table;

	/*
	 * One page in the clear, so that small writes do not seal 64 KiB each:
	 * while it is there, this is the page, not what is on disk.  Zeros
	 * behind `buffer_len`.
	 */
	uint8_t *buffer; /* plainmem, from the first use on */
	enum { EMPTY, CLEAN, DIRTY } buffer_state;
	uint64_t buffer_page;
	uint32_t buffer_len;
};

/* Seal `len` bytes, for which there is room, as the page's new version. */
static int page_seal(struct pagefile *f, uint64_t page, const uint8_t *plain,
		     uint32_t len)
{
	struct page *p;
	uint8_t *slot;
	int err;

	p = pagetable_touch(&f->table, page);
	slot = malloc(len + (size_t)AEAD_OVERHEAD);
	if (!p || !slot) {
		err = -ENOMEM;
		goto free_slot;
	}
	err = sealing_seal(&f->sealing, page, plain, len, slot);
	if (err)
		goto free_slot;
	err = diskio_write(f->fd, slot, len + (size_t)AEAD_OVERHEAD,
			   pagetable_offset(page));
	if (err)
		goto free_slot;
	memcpy(p->nonce, slot, AEAD_NONCE_LEN);
	p->len = len;

free_slot:
	free(slot);
	return err;
}

/* Open a page into `out`, which takes all of its len bytes; `slot` scratch. */
static int page_open(const struct pagefile *f, uint64_t page, uint8_t *slot,
		     uint8_t *out)
{
	const struct page *p = pagetable_peek(&f->table, page);
	size_t len = p->len + (size_t)AEAD_OVERHEAD;
	ssize_t n;

	n = diskio_read(f->fd, slot, len, pagetable_offset(page));
	if (n < 0)
		return (int)n;
	/* Another nonce is another version, be it a genuine one. */
	if ((size_t)n != len || memcmp(slot, p->nonce, AEAD_NONCE_LEN) != 0)
		return -EBADMSG;
	return sealing_open(&f->sealing, page, slot, p->len, out);
}

static void buffer_drop(struct pagefile *f)
{
	if (f->buffer)
		bytes_wipe(f->buffer, f->buffer_len);
	f->buffer_state = EMPTY;
	f->buffer_len = 0;
}

static int buffer_flush(struct pagefile *f)
{
	int err;

	if (f->buffer_state != DIRTY)
		return 0;
	err = page_seal(f, f->buffer_page, f->buffer, f->buffer_len);
	if (!err)
		f->buffer_state = CLEAN;
	return err;
}

static int buffer_holds(const struct pagefile *f, uint64_t page)
{
	return f->buffer_state != EMPTY && f->buffer_page == page;
}

/* Bytes of a page that may be other than zero. */
static uint32_t page_len(const struct pagefile *f, uint64_t page)
{
	return buffer_holds(f, page) ? f->buffer_len
				     : pagetable_peek(&f->table, page)->len;
}

/* Have `page` in the buffer. */
static int buffer_load(struct pagefile *f, uint64_t page)
{
	const struct page *p = pagetable_peek(&f->table, page);
	uint8_t *slot;
	int err;

	if (buffer_holds(f, page))
		return 0;
	err = buffer_flush(f);
	if (err)
		return err;
	if (!f->buffer)
		f->buffer = plainmem_map(PAGEFILE_PAGE);
	if (!f->buffer)
		return -ENOMEM;

	buffer_drop(f);
	if (p->len) {
		slot = malloc(PAGETABLE_SLOT);
		if (!slot)
			return -ENOMEM;
		err = page_open(f, page, slot, f->buffer);
		free(slot);
		if (err)
			return err; /* aead_open() has wiped the buffer */
	}
	f->buffer_state = CLEAN;
	f->buffer_page = page;
	f->buffer_len = p->len;
	return 0;
}

/* Hold `more` bytes of budget beyond what the table counts. */
static int budget_ensure(struct pagefile *f, uint64_t more)
{
	uint64_t need, step;

	if (f->table.disk + more <= f->reserved)
		return 0;
	need = f->table.disk + more - f->reserved;
	step = f->reserved < BUDGET_STEP ? f->reserved : BUDGET_STEP;
	if (step > need && !budget_take(f->budget, step)) {
		f->reserved += step;
		return 0;
	}
	if (budget_take(f->budget, need))
		return -ENOSPC;
	f->reserved += need;
	return 0;
}

static uint32_t room_for(uint32_t len)
{
	return (len + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
}

static uint64_t make_room(struct pagefile *f, uint64_t bytes)
{
	struct budget *b = f->budget;

	return b->make_room ? b->make_room(b->make_room_arg, bytes) : 0;
}

/* Set disk aside for the first `len` bytes of a page: budget, then the disk. */
static int room_ensure(struct pagefile *f, uint64_t page, uint32_t len)
{
	const struct page *p = pagetable_touch(&f->table, page);
	uint32_t room = room_for(len);
	uint64_t from, to;
	int err;

	if (!p)
		return -ENOMEM;
	if (room <= p->room)
		return 0;
	err = budget_ensure(f, pagetable_cost(&f->table, page, room));
	if (err)
		return err;
	from = p->room ? p->room + (uint64_t)AEAD_OVERHEAD : 0;
	to = room + (uint64_t)AEAD_OVERHEAD;
	do
		err = diskio_reserve(f->fd, pagetable_offset(page) + from,
				     to - from);
	while (err == -ENOSPC && make_room(f, to - from));
	if (err)
		return err;
	pagetable_set_room(&f->table, page, room);
	return 0;
}

/* Write bytes that lie within one page. */
static int page_write(struct pagefile *f, uint64_t page, uint32_t at,
		      const uint8_t *src, uint32_t n)
{
	int err;

	err = room_ensure(f, page, at + n);
	if (err)
		return err;
	if (n == PAGEFILE_PAGE) {
		err = page_seal(f, page, src, n);
		if (!err && buffer_holds(f, page))
			buffer_drop(f);
		return err;
	}
	err = buffer_load(f, page);
	if (err)
		return err;
	memcpy(f->buffer + at, src, n);
	if (at + n > f->buffer_len)
		f->buffer_len = at + n;
	f->buffer_state = DIRTY;
	return 0;
}

int pagefile_pwrite(struct pagefile *f, const void *buf, size_t len,
		    uint64_t off)
{
	const uint8_t *src = buf;

	if (off > PAGEFILE_MAX || len > PAGEFILE_MAX - off)
		return -EFBIG;
	while (len) {
		uint32_t at = (uint32_t)(off % PAGEFILE_PAGE);
		size_t n = PAGEFILE_PAGE - at;
		int err;

		if (n > len)
			n = len;
		err = page_write(f, off / PAGEFILE_PAGE, at, src, (uint32_t)n);
		if (err)
			return err;
		src += n;
		off += n;
		len -= n;
		if (off > f->len)
			f->len = off;
	}
	return 0;
}

/* Scratch of one pagefile_pread(): readers share nothing that changes. */
struct scratch {
	uint8_t *slot; /* PAGETABLE_SLOT bytes */
	uint8_t *plain; /* PAGEFILE_PAGE bytes */
};

static int scratch_need(uint8_t **p, size_t len)
{
	if (!*p)
		*p = malloc(len);
	return *p ? 0 : -ENOMEM;
}

static void scratch_free(struct scratch *s)
{
	if (s->plain)
		bytes_wipe(s->plain, PAGEFILE_PAGE);
	free(s->plain);
	free(s->slot);
}

/* Read `n` bytes at `at`, within one page; zeros where it holds less. */
static int page_read(const struct pagefile *f, uint64_t page, size_t at,
		     uint8_t *dst, size_t n, struct scratch *s)
{
	size_t have = page_len(f, page);
	const uint8_t *from = f->buffer;
	int err;

	if (!buffer_holds(f, page) && have > at) {
		err = scratch_need(&s->slot, PAGETABLE_SLOT);
		if (err)
			return err;
		if (!at && n >= have) {
			memset(dst + have, 0, n - have);
			return page_open(f, page, s->slot, dst);
		}
		err = scratch_need(&s->plain, PAGEFILE_PAGE);
		if (!err)
			err = page_open(f, page, s->slot, s->plain);
		if (err)
			return err;
		from = s->plain;
	}

	have = have > at ? have - at : 0;
	if (have > n)
		have = n;
	if (have)
		memcpy(dst, from + at, have);
	memset(dst + have, 0, n - have);
	return 0;
}

ssize_t pagefile_pread(struct pagefile *f, void *buf, size_t len, uint64_t off)
{
	struct scratch s = { NULL, NULL };
	uint8_t *dst = buf;
	size_t done = 0;
	int err = 0;

	if (off >= f->len)
		return 0;
	if (len > SSIZE_MAX)
		len = SSIZE_MAX;
	if (len > f->len - off)
		len = (size_t)(f->len - off);
	while (done < len && !err) {
		size_t at = (size_t)((off + done) % PAGEFILE_PAGE);
		size_t n = PAGEFILE_PAGE - at;

		if (n > len - done)
			n = len - done;
		err = page_read(f, (off + done) / PAGEFILE_PAGE, at, dst + done,
				n, &s);
		done += n;
	}
	scratch_free(&s);
	return err ? err : (ssize_t)done;
}

/* Give back what the budget lent and no page holds. */
static void budget_trim(struct pagefile *f)
{
	budget_give(f->budget, f->reserved - f->table.disk);
	f->reserved = f->table.disk;
}

int pagefile_truncate(struct pagefile *f, uint64_t len)
{
	uint64_t last = len / PAGEFILE_PAGE; /* the page that is cut */
	uint32_t keep = (uint32_t)(len % PAGEFILE_PAGE);
	uint64_t first = keep ? last + 1 : last; /* the first that goes */
	int err;

	if (len > PAGEFILE_MAX)
		return -EFBIG;
	if (len >= f->len) {
		f->len = len; /* pages read as zeros behind their own end */
		return 0;
	}

	if (keep && page_len(f, last) > keep) {
		err = buffer_load(f, last);
		if (err)
			return err;
	}
	err = diskio_truncate(f->fd, pagetable_cut_at(&f->table, first));
	if (err)
		return err;
	if (f->buffer_state != EMPTY && f->buffer_page >= first)
		buffer_drop(f);
	pagetable_cut(&f->table, first);
	budget_trim(f);
	if (keep && page_len(f, last) > keep) {
		bytes_wipe(f->buffer + keep, f->buffer_len - keep);
		f->buffer_len = keep;
		f->buffer_state = DIRTY;
	}
	f->len = len;
	return 0;
}

int pagefile_reserve(struct pagefile *f, uint64_t off, uint64_t len)
{
	if (off > PAGEFILE_MAX || len > PAGEFILE_MAX - off)
		return -EFBIG;
	for (uint64_t end = off + len; off < end;) {
		uint64_t page = off / PAGEFILE_PAGE;
		uint64_t next = (page + 1) * PAGEFILE_PAGE;
		int err;

		if (next > end)
			next = end;
		err = room_ensure(f, page,
				  (uint32_t)(next - page * PAGEFILE_PAGE));
		if (err)
			return err;
		off = next;
	}
	return 0;
}

/* `n` bytes of a page become zeros. */
static int page_zero(struct pagefile *f, uint64_t page, uint32_t at, uint32_t n)
{
	uint32_t have = page_len(f, page);
	struct page *p;
	int err;

	if (have <= at)
		return 0;
	if (!at && n >= have) {
		if (buffer_holds(f, page))
			buffer_drop(f);
		p = pagetable_touch(&f->table, page);
		if (!p)
			return -ENOMEM;
		p->len = 0;
		return 0;
	}
	err = buffer_load(f, page);
	if (err)
		return err;
	if (n > have - at)
		n = have - at;
	memset(f->buffer + at, 0, n);
	f->buffer_state = DIRTY;
	return 0;
}

int pagefile_zero(struct pagefile *f, uint64_t off, uint64_t len)
{
	int err = 0;

	if (off >= f->len)
		return 0;
	if (len > f->len - off)
		len = f->len - off;
	while (len && !err) {
		uint32_t at = (uint32_t)(off % PAGEFILE_PAGE);
		uint64_t n = PAGEFILE_PAGE - at;

		if (n > len)
			n = len;
		err = page_zero(f, off / PAGEFILE_PAGE, at, (uint32_t)n);
		off += n;
		len -= n;
	}
	return err;
}

uint64_t pagefile_seek(const struct pagefile *f, uint64_t off, int hole)
{
	uint64_t page = off / PAGEFILE_PAGE;

	while (off < f->len && !page_len(f, page) != !!hole)
		off = ++page * PAGEFILE_PAGE;
	return off < f->len ? off : f->len;
}

int pagefile_settle(struct pagefile *f)
{
	int err = buffer_flush(f);

	if (err)
		return err;
	plainmem_unmap(f->buffer, PAGEFILE_PAGE, f->buffer_len);
	f->buffer = NULL;
	f->buffer_len = 0;
	f->buffer_state = EMPTY;
	return 0;
}

uint64_t pagefile_length(const struct pagefile *f)
{
	return f->len;
}

uint64_t pagefile_disk(const struct pagefile *f)
{
	return f->reserved;
}

uint64_t pagefile_cost(uint64_t len)
{
	uint64_t pages = len / PAGEFILE_PAGE;
	uint32_t rest = (uint32_t)(len % PAGEFILE_PAGE);
	uint64_t bytes = pages * PAGETABLE_SLOT;

	if (rest)
		bytes += room_for(rest) + (uint64_t)AEAD_OVERHEAD;
	return (bytes + PAGETABLE_BLOCK - 1) / PAGETABLE_BLOCK *
	       PAGETABLE_BLOCK;
}

int pagefile_create(struct pagefile **out, int dirfd,
		    const struct aead_key *master, struct budget *budget)
{
	struct pagefile *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->budget = budget;
	err = sealing_init(&f->sealing, master, SEALING_SPOOL);
	if (err)
		goto free_file;
	f->fd = diskio_nameless(dirfd);
	if (f->fd < 0) {
		err = f->fd;
		goto clear_sealing;
	}
	*out = f;
	return 0;

clear_sealing:
	sealing_clear(&f->sealing);
free_file:
	free(f);
	return err;
}

void pagefile_close(struct pagefile *f)
{
	if (!f)
		return;
	close(f->fd); /* the space is free before others may take it */
	pagetable_clear(&f->table);
	budget_trim(f);
	plainmem_unmap(f->buffer, PAGEFILE_PAGE, f->buffer_len);
	sealing_clear(&f->sealing);
	free(f);
}
