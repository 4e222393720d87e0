#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "delta/container.h"
#include "delta/layout.h"
#include "delta/varint.h"

/*
 * The reading half of delta/container.h.  The table is kept as it is stored,
 * with a mark at every MARK_EVERY-th extent, so that a hostile one takes no
 * more memory than its own raw bytes and a third.
 */
#define MARK_EVERY 32
/* No honest table has more: see delta/FORMAT.md. */
#define EXTENTS_MAX(target_len) ((target_len) / 4096 + 8)

struct cursor {
	size_t pos; /* in raw */
	uint64_t target_off, off, ref_next;
};

struct delta_table {
	struct delta_info info;
	uint8_t *raw;
	size_t raw_len;
	uint64_t extents;
	struct cursor *marks;
	size_t n_marks;
	uint64_t windows_end; /* in the object; the table starts here */
};

struct tail {
	const uint8_t *p; /* the object's last `len` bytes */
	size_t len;
	uint64_t object_len;
};

static const uint8_t *at(const struct tail *t, uint64_t off)
{
	return t->p + (off - (t->object_len - t->len));
}

const struct delta_info *delta_table_info(const struct delta_table *t)
{
	return &t->info;
}

void delta_table_free(struct delta_table *t)
{
	if (!t)
		return;
	free(t->marks);
	free(t->raw);
	free(t);
}

/* One extent at the cursor, which moves behind it. */
static int next(const struct delta_table *t, struct cursor *c,
		struct delta_extent *e)
{
	const uint8_t *p = t->raw + c->pos, *end = t->raw + t->raw_len;
	uint64_t v;
	int err;

	*e = (struct delta_extent){ .target_off = c->target_off };
	if (p == end || *p >= DELTA_KINDS)
		return -EBADMSG;
	e->kind = (enum delta_kind) * p++;
	err = varint_get(&p, end, &e->target_len);
	if (err || !e->target_len ||
	    e->target_len > t->info.target_len - c->target_off)
		return -EBADMSG;
	err = varint_get(&p, end, &v);
	if (err)
		return err;
	if (e->kind == DELTA_COPY) {
		e->ref_off = c->ref_next + (uint64_t)unzigzag(v);
		if (e->ref_off > t->info.ref_len ||
		    e->target_len > t->info.ref_len - e->ref_off)
			return -EBADMSG;
		c->ref_next = e->ref_off + e->target_len;
	} else {
		e->off = c->off;
		if (e->target_len > DELTA_WINDOW_MAX || !v ||
		    v > WINDOW_STORED_MAX(e->target_len) ||
		    v > WINDOW_STORED_LIMIT || v > t->windows_end - c->off)
			return -EBADMSG;
		e->len = (uint32_t)v;
		c->off += v;
	}
	c->target_off += e->target_len;
	c->pos = (size_t)(p - t->raw);
	return 0;
}

/* Every extent is looked at once here, so that find() meets only good ones. */
static int mark_all(struct delta_table *t, uint64_t first_window)
{
	struct cursor c = { .off = first_window };
	struct delta_extent e;
	int err;

	t->n_marks = (size_t)(t->extents + MARK_EVERY - 1) / MARK_EVERY;
	t->marks = calloc(t->n_marks ? t->n_marks : 1, sizeof(*t->marks));
	if (!t->marks)
		return -ENOMEM;
	for (uint64_t i = 0; i < t->extents; i++) {
		if (i % MARK_EVERY == 0)
			t->marks[i / MARK_EVERY] = c;
		err = next(t, &c, &e);
		if (err)
			return err;
	}
	if (c.pos != t->raw_len || c.target_off != t->info.target_len ||
	    c.off != t->windows_end)
		return -EBADMSG;
	return 0;
}

static int unpack(struct delta_table *t, const uint8_t *enc, uint32_t enc_len,
		  uint64_t check)
{
	size_t n;

	if (t->raw_len > TABLE_MAX || enc_len > t->raw_len ||
	    t->extents > EXTENTS_MAX(t->info.target_len) ||
	    t->raw_len > t->extents * (1 + 2 * VARINT_MAX))
		return -EBADMSG;
	t->raw = malloc(t->raw_len ? t->raw_len : 1);
	if (!t->raw)
		return -ENOMEM;
	if (enc_len == t->raw_len) {
		memcpy(t->raw, enc, enc_len);
	} else {
		n = ZSTD_decompress(t->raw, t->raw_len, enc, enc_len);
		if (ZSTD_isError(n) || n != t->raw_len)
			return -EBADMSG;
	}
	return XXH64(t->raw, t->raw_len, 0) == check ? 0 : -EBADMSG;
}

static int parse_info(struct delta_table *t, const struct tail *tail,
		      uint64_t info_off, uint32_t info_len, size_t *need)
{
	const uint8_t *p = at(tail, info_off);
	uint32_t enc_len = le32_get(p + 88);
	size_t key_len = (size_t)p[112] | (size_t)p[113] << 8;
	uint64_t table_off = le64_get(p + 80), head, windows = 0;
	struct delta_extent e;
	struct cursor c = { 0 };
	int err;

	if (key_len > DELTA_KEY_MAX || info_len != INFO_FIXED + key_len ||
	    table_off > info_off || info_off - table_off != enc_len ||
	    memchr(p + INFO_FIXED, 0, key_len))
		return -EBADMSG;
	if (tail->object_len - table_off > tail->len) {
		if (enc_len > TABLE_MAX)
			return -EBADMSG;
		*need = (size_t)(tail->object_len - table_off);
		return -EAGAIN;
	}
	t->info.target_len = le64_get(p);
	t->info.ref_len = le64_get(p + 8);
	memcpy(t->info.target_digest, p + 16, DIGEST_LEN);
	memcpy(t->info.ref_digest, p + 48, DIGEST_LEN);
	memcpy(t->info.ref_key, p + INFO_FIXED, key_len);
	t->raw_len = le32_get(p + 92);
	t->extents = le64_get(p + 96);
	if (t->info.target_len > INT64_MAX || t->info.ref_len > INT64_MAX)
		return -EBADMSG;
	err = unpack(t, at(tail, table_off), enc_len, le64_get(p + 104));
	if (err)
		return err;
	/* The windows end where the table starts; their sum says where they began. */
	t->windows_end = table_off;
	for (uint64_t i = 0; i < t->extents; i++) {
		c.off = 0;
		err = next(t, &c, &e);
		if (err)
			return err;
		windows += e.len;
	}
	if (windows > table_off)
		return -EBADMSG;
	head = table_off - windows;
	if (head > HEAD_LEN_MAX || head < sizeof(DELTA_MAGIC) - 1)
		return -EBADMSG;
	return mark_all(t, head);
}

int delta_table_parse(struct delta_table **out, const uint8_t *p, size_t len,
		      uint64_t object_len, size_t *need)
{
	struct tail tail = { .p = p, .len = len, .object_len = object_len };
	struct delta_table *t;
	const uint8_t *trailer;
	uint64_t info_off;
	uint32_t info_len;
	int err;

	if (len < TRAILER_LEN || len > object_len)
		return -EBADMSG;
	trailer = p + len - TRAILER_LEN;
	if (memcmp(trailer + 24, TRAILER_MAGIC, 8) != 0)
		return -EBADMSG;
	if (le32_get(trailer + 12) != DELTA_VERSION)
		return -ENOTSUP;
	info_off = le64_get(trailer);
	info_len = le32_get(trailer + 8);
	if (info_len < INFO_FIXED || info_len > INFO_FIXED + DELTA_KEY_MAX ||
	    info_off > object_len - TRAILER_LEN ||
	    object_len - TRAILER_LEN - info_off != info_len)
		return -EBADMSG;
	if (object_len - info_off > len) {
		*need = (size_t)(object_len - info_off);
		return -EAGAIN;
	}
	if (XXH64(at(&tail, info_off), info_len, 0) != le64_get(trailer + 16))
		return -EBADMSG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	err = parse_info(t, &tail, info_off, info_len, need);
	if (err) {
		delta_table_free(t);
		return err;
	}
	*out = t;
	return 0;
}

int delta_table_find(const struct delta_table *t, uint64_t off,
		     struct delta_extent *out)
{
	size_t lo = 0, hi = t->n_marks;
	struct delta_extent e;
	struct cursor c;
	int err;

	if (off >= t->info.target_len)
		return -ERANGE;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->marks[mid].target_off <= off)
			lo = mid;
		else
			hi = mid;
	}
	c = t->marks[lo];
	do {
		err = next(t, &c, &e);
		if (err)
			return err;
	} while (off >= e.target_off + e.target_len);
	*out = e;
	return 0;
}
