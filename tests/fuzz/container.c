/*
 * A container of arbitrary bytes is parsed and read as a whole.
 *
 *	flags | 2 bytes: length of the reference | reference | container
 *
 * Unless the flags say otherwise, what would stop nearly every input at the
 * door is put right first: where description and table lie, and their XXH64.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "delta/layout.h"
#include "delta/reader.h"
#include "tests/support/codec.h"

#define KEEP_PLACES 1
#define KEEP_SUMS   2

#define PIECE ((size_t)1 << 20)
#define READS 64 /* pieces; a target may claim to be of any size */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of exactly this size, so that a byte too far is noticed. */
static struct bytes copy(const uint8_t *data, size_t len)
{
	struct bytes b = { malloc(len ? len : 1), len, len };

	if (!b.data)
		abort();
	memcpy(b.data, data, len);
	return b;
}

static void put_right(struct bytes *o, unsigned flags)
{
	uint8_t *trailer = o->data + o->len - TRAILER_LEN, *info;
	uint64_t info_len, table_len;

	info_len = le32_get(trailer + 8);
	if (info_len < INFO_FIXED || info_len > o->len - TRAILER_LEN)
		return;
	info = trailer - info_len;
	table_len = le32_get(info + 88);
	if (table_len > (uint64_t)(info - o->data))
		return;
	if (!(flags & KEEP_PLACES)) {
		le64_put(trailer, (uint64_t)(info - o->data));
		le64_put(info + 80, (uint64_t)(info - o->data) - table_len);
	}
	if (flags & KEEP_SUMS)
		return;
	if (table_len == le32_get(info + 92))
		le64_put(info + 104, XXH64(info - table_len, table_len, 0));
	le64_put(trailer + 16, XXH64(info, info_len, 0));
}

static void read_piece(struct delta_reader *r, uint64_t off, size_t n)
{
	uint8_t *buf = malloc(n ? n : 1);

	if (!buf)
		abort();
	if (delta_reader_read(r, buf, n, off) == -ERANGE)
		abort(); /* a damaged window takes nothing from others */
	free(buf);
}

static void read_table(const struct delta_table *t, struct bytes *ref,
		       struct bytes *object)
{
	const struct delta_info *info = delta_table_info(t);
	struct delta_reader_conf conf = { .table = t,
					  .ref = { ref->len, codec_read, ref },
					  .read_object = codec_read,
					  .object_arg = object };
	struct delta_reader *r;

	/* Whoever opens a container fetches the reference it was made with. */
	if (info->ref_len != ref->len)
		return;
	if (delta_reader_new(&r, &conf))
		abort();
	for (uint64_t i = 0; i < READS && i * PIECE < info->target_len; i++) {
		uint64_t left = info->target_len - i * PIECE;

		read_piece(r, i * PIECE, left < PIECE ? (size_t)left : PIECE);
	}
	/* A few bytes here and there, the same blocks once more, backwards. */
	for (uint64_t i = READS; i-- > 0;) {
		uint64_t off = info->target_len / READS * i;
		uint64_t left = info->target_len - off;

		read_piece(r, off, left < 77 ? (size_t)left : 77);
	}
	delta_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes ref, object;
	struct delta_table *t;
	size_t ref_len, tail, need = 0;
	unsigned flags;
	int err;

	if (size < 3)
		return 0;
	flags = data[0];
	ref_len = (size_t)data[1] | (size_t)data[2] << 8;
	data += 3;
	size -= 3;
	if (ref_len > size)
		ref_len = size;
	ref = copy(data, ref_len);
	object = copy(data + ref_len, size - ref_len);
	if (object.len >= TRAILER_LEN)
		put_right(&object, flags);
	/* First with a short tail, as a reader that guessed too small. */
	tail = object.len < TRAILER_LEN ? object.len : TRAILER_LEN;
	err = delta_table_parse(&t, object.data + object.len - tail, tail,
				object.len, &need);
	while (err == -EAGAIN) {
		if (need <= tail || need > object.len)
			abort();
		tail = need;
		err = delta_table_parse(&t, object.data + object.len - tail,
					tail, object.len, &need);
	}
	if (!err) {
		read_table(t, &ref, &object);
		delta_table_free(t);
	}
	free(ref.data);
	free(object.data);
	return 0;
}
