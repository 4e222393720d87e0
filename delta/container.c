#include "delta/container.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "delta/layout.h"
#include "delta/varint.h"

#define HEAD_FORMAT                                                          \
	DELTA_MAGIC "reference %s: mount the bucket with mount.deltaglider " \
		    "to read this file; the layout is delta/FORMAT.md\n"
#define TABLE_LEVEL 9

int delta_head_write(const uint8_t ref_digest[DIGEST_LEN], struct bytes *out)
{
	char hex[DIGEST_HEX];

	hex_encode(hex, ref_digest, DIGEST_LEN);
	return bytes_printf(out, HEAD_FORMAT, hex);
}

static int put_extent(struct delta_table_writer *w,
		      const struct delta_extent *e)
{
	size_t start = w->raw.len;
	uint8_t kind = (uint8_t)e->kind;
	int err;

	err = bytes_append(&w->raw, &kind, 1);
	if (!err)
		err = varint_put(&w->raw, e->target_len);
	if (!err && e->kind == DELTA_COPY)
		err = varint_put(&w->raw, zigzag((int64_t)e->ref_off -
						 (int64_t)w->ref_next));
	if (!err && e->kind != DELTA_COPY)
		err = varint_put(&w->raw, e->len);
	if (err) {
		w->raw.len = start;
		return err;
	}
	if (e->kind == DELTA_COPY)
		w->ref_next = e->ref_off + e->target_len;
	w->extents++;
	return 0;
}

static int flush_copy(struct delta_table_writer *w)
{
	int err;

	if (!w->copy.target_len)
		return 0;
	err = put_extent(w, &w->copy);
	if (!err)
		w->copy.target_len = 0;
	return err;
}

int delta_table_add(struct delta_table_writer *w, const struct delta_extent *e)
{
	int err;

	if (e->kind == DELTA_COPY && w->copy.target_len &&
	    w->copy.ref_off + w->copy.target_len == e->ref_off) {
		w->copy.target_len += e->target_len;
		return 0;
	}
	err = flush_copy(w);
	if (err)
		return err;
	if (e->kind != DELTA_COPY)
		return put_extent(w, e);
	w->copy = *e;
	return 0;
}

/* The table as it is stored: compressed if that makes it smaller. */
static int pack_table(const struct bytes *raw, struct bytes *out)
{
	size_t bound = ZSTD_compressBound(raw->len), n;
	int err;

	err = bytes_reserve(out, bound);
	if (err)
		return err;
	n = ZSTD_compress(out->data + out->len, bound, raw->data, raw->len,
			  TABLE_LEVEL);
	if (ZSTD_isError(n) || n >= raw->len)
		return bytes_append(out, raw->data, raw->len);
	out->len += n;
	return 0;
}

int delta_table_finish(struct delta_table_writer *w,
		       const struct delta_info *info, uint64_t off,
		       struct bytes *out)
{
	size_t key_len = strlen(info->ref_key), table = out->len, start;
	uint8_t fixed[INFO_FIXED], trailer[TRAILER_LEN], *p = fixed;
	uint32_t info_len = (uint32_t)(INFO_FIXED + key_len);
	int err;

	if (key_len > DELTA_KEY_MAX)
		return -EINVAL;
	err = flush_copy(w);
	if (err)
		return err;
	if (w->raw.len > TABLE_MAX)
		return -EFBIG;
	if (w->raw.len) {
		err = pack_table(&w->raw, out);
		if (err)
			return err;
	}
	le64_put(p, info->target_len);
	le64_put(p + 8, info->ref_len);
	memcpy(p + 16, info->target_digest, DIGEST_LEN);
	memcpy(p + 48, info->ref_digest, DIGEST_LEN);
	le64_put(p + 80, off);
	le32_put(p + 88, (uint32_t)(out->len - table));
	le32_put(p + 92, (uint32_t)w->raw.len);
	le64_put(p + 96, w->extents);
	le64_put(p + 104, XXH64(w->raw.data, w->raw.len, 0));
	p[112] = (uint8_t)key_len;
	p[113] = (uint8_t)(key_len >> 8);
	start = out->len;
	err = bytes_append(out, fixed, sizeof(fixed));
	if (!err)
		err = bytes_append(out, info->ref_key, key_len);
	if (err)
		return err;
	le64_put(trailer, off + (start - table));
	le32_put(trailer + 8, info_len);
	le32_put(trailer + 12, DELTA_VERSION);
	le64_put(trailer + 16, XXH64(out->data + start, info_len, 0));
	// NOLINTNEXTLINE(bugprone-not-null-terminated-result)
	memcpy(trailer + 24, TRAILER_MAGIC, 8);
	return bytes_append(out, trailer, sizeof(trailer));
}

void delta_table_writer_clear(struct delta_table_writer *w)
{
	bytes_clear(&w->raw);
	*w = (struct delta_table_writer){ 0 };
}
