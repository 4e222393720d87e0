#include <bzlib.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delta/bsdiff.h"

#define PIECE ((size_t)256 << 10)
#define INPUT ((size_t)64 << 10)
/* Operations without bytes that are put up with beyond one for each with some. */
#define IDLE_MAX 64

struct expander { /* one block on its way out of bzip2 */
	bz_stream z;
	int open, ended;
	uint64_t off, left; /* what was not read of it yet, in the patch */
	uint8_t in[INPUT];
};

struct decoding {
	const struct bsdiff_source *src;
	delta_write_fn *write;
	void *write_arg;
	struct expander block[BSDIFF_BLOCKS];
	uint64_t left; /* bytes of target to come */
	int64_t ref_pos; /* may be before or behind the reference */
	uint64_t busy, idle; /* operations with and without bytes */
	uint8_t out[PIECE], ref[PIECE];
};

struct operation {
	uint64_t copy_len, extra_len;
	int64_t seek;
};

static int64_t number_get(const uint8_t p[8])
{
	uint64_t v = le64_get(p);
	int64_t m = (int64_t)(v & INT64_MAX);

	return v >> 63 ? -m : m;
}

/* A length: -EBADMSG if it has a sign. */
static int length_get(const uint8_t p[8], uint64_t *out)
{
	uint64_t v = le64_get(p);

	if (v > INT64_MAX)
		return -EBADMSG;
	*out = v;
	return 0;
}

int bsdiff_head_parse(struct bsdiff_head *out,
		      const uint8_t data[BSDIFF_HEAD_LEN], uint64_t patch_len)
{
	struct bsdiff_head h;

	if (patch_len < BSDIFF_HEAD_LEN || memcmp(data, "BSDIFF40", 8) != 0 ||
	    length_get(data + 8, &h.len[BSDIFF_CONTROL]) ||
	    length_get(data + 16, &h.len[BSDIFF_DIFF]) ||
	    length_get(data + 24, &h.target_len))
		return -EBADMSG;
	patch_len -= BSDIFF_HEAD_LEN;
	if (h.len[BSDIFF_CONTROL] > patch_len ||
	    h.len[BSDIFF_DIFF] > patch_len - h.len[BSDIFF_CONTROL])
		return -EBADMSG;
	h.len[BSDIFF_EXTRA] =
		patch_len - h.len[BSDIFF_CONTROL] - h.len[BSDIFF_DIFF];
	*out = h;
	return 0;
}

static int refill(const struct bsdiff_source *src, struct expander *x)
{
	size_t n = x->left < INPUT ? (size_t)x->left : INPUT;
	int err;

	if (x->z.avail_in || !n)
		return 0;
	err = src->read(src->read_arg, x->in, n, x->off);
	if (err)
		return err;
	x->z.next_in = (char *)x->in;
	x->z.avail_in = (unsigned)n;
	x->off += n;
	x->left -= n;
	return 0;
}

/* Up to `len` bytes; fewer, which `got` says, only where the block ends. */
static int expand(const struct bsdiff_source *src, struct expander *x,
		  void *buf, size_t len, size_t *got)
{
	x->z.next_out = buf;
	x->z.avail_out = (unsigned)len;
	while (x->z.avail_out && !x->ended) {
		unsigned before = x->z.avail_out;
		int err = refill(src, x), said;

		if (err)
			return err;
		said = BZ2_bzDecompress(&x->z);
		if (said == BZ_MEM_ERROR)
			return -ENOMEM;
		if (said == BZ_STREAM_END)
			x->ended = 1;
		else if (said != BZ_OK || (x->z.avail_out == before &&
					   !x->z.avail_in && !x->left))
			return -EBADMSG; /* damaged, or cut off */
	}
	*got = len - x->z.avail_out;
	return 0;
}

static int expand_all(struct decoding *d, enum bsdiff_block b, void *buf,
		      size_t len)
{
	size_t got;
	int err = expand(d->src, &d->block[b], buf, len, &got);

	if (err)
		return err;
	return got == len ? 0 : -EBADMSG;
}

/*
 * Nothing is left over: neither bytes that no operation asked for, nor input
 * behind the stream.  This is also what makes bzip2 look at the checksum.
 */
static int at_end(struct decoding *d, enum bsdiff_block b)
{
	struct expander *x = &d->block[b];
	uint8_t more;
	size_t got;
	int err = expand(d->src, x, &more, 1, &got);

	if (err)
		return err;
	return got || x->z.avail_in || x->left ? -EBADMSG : 0;
}

/* Add what the reference has from ref_pos on; outside of it that is nothing. */
static int add_reference(struct decoding *d, size_t len)
{
	const struct delta_ref *ref = &d->src->ref;
	uint64_t skip = d->ref_pos < 0 ? -(uint64_t)d->ref_pos : 0;
	uint64_t at = d->ref_pos < 0 ? 0 : (uint64_t)d->ref_pos;
	uint8_t *out;
	size_t n;
	int err;

	if (skip >= len || at >= ref->len)
		return 0;
	n = len - (size_t)skip;
	if (n > ref->len - at)
		n = (size_t)(ref->len - at);
	err = ref->read(ref->arg, d->ref, n, at);
	if (err)
		return err;
	out = d->out + skip;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(out[i] + d->ref[i]);
	return 0;
}

static int copy(struct decoding *d, uint64_t len)
{
	int err = 0;

	while (!err && len) {
		size_t n = len < PIECE ? (size_t)len : PIECE;

		err = expand_all(d, BSDIFF_DIFF, d->out, n);
		if (!err)
			err = add_reference(d, n);
		if (!err)
			err = d->write(d->write_arg, d->out, n);
		if (!err &&
		    __builtin_add_overflow(d->ref_pos, (int64_t)n, &d->ref_pos))
			err = -EBADMSG;
		len -= n;
	}
	return err;
}

static int extra(struct decoding *d, uint64_t len)
{
	int err = 0;

	while (!err && len) {
		size_t n = len < PIECE ? (size_t)len : PIECE;

		err = expand_all(d, BSDIFF_EXTRA, d->out, n);
		if (!err)
			err = d->write(d->write_arg, d->out, n);
		len -= n;
	}
	return err;
}

static int next_operation(struct decoding *d, struct operation *op)
{
	uint8_t triple[24];
	int err = expand_all(d, BSDIFF_CONTROL, triple, sizeof(triple));

	if (err)
		return err;
	if (length_get(triple, &op->copy_len) || op->copy_len > d->left ||
	    length_get(triple + 8, &op->extra_len) ||
	    op->extra_len > d->left - op->copy_len)
		return -EBADMSG;
	op->seek = number_get(triple + 16);
	/*
	 * A few bytes of bzip2 hold a million operations that do nothing: it
	 * must not take for ever to find out that they lead nowhere.
	 */
	if (op->copy_len || op->extra_len)
		d->busy++;
	else if (++d->idle > d->busy + IDLE_MAX)
		return -EBADMSG;
	return 0;
}

static int run(struct decoding *d)
{
	int err = 0;

	while (!err && d->left) {
		struct operation op;

		err = next_operation(d, &op);
		if (!err)
			err = copy(d, op.copy_len);
		if (!err)
			err = extra(d, op.extra_len);
		if (err)
			break;
		d->left -= op.copy_len + op.extra_len;
		if (__builtin_add_overflow(d->ref_pos, op.seek, &d->ref_pos))
			err = -EBADMSG;
	}
	for (int b = 0; !err && b < BSDIFF_BLOCKS; b++)
		err = at_end(d, (enum bsdiff_block)b);
	return err;
}

static int open_blocks(struct decoding *d)
{
	uint64_t off = BSDIFF_HEAD_LEN;

	for (int b = 0; b < BSDIFF_BLOCKS; b++) {
		struct expander *x = &d->block[b];

		if (BZ2_bzDecompressInit(&x->z, 0, 0) != BZ_OK)
			return -ENOMEM;
		x->open = 1;
		x->off = off;
		x->left = d->src->head->len[b];
		off += x->left;
	}
	return 0;
}

int bsdiff_decode(const struct bsdiff_source *src, delta_write_fn *write,
		  void *write_arg)
{
	struct decoding *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->src = src;
	d->write = write;
	d->write_arg = write_arg;
	d->left = src->head->target_len;
	err = open_blocks(d);
	if (!err)
		err = run(d);
	for (int b = 0; b < BSDIFF_BLOCKS; b++)
		if (d->block[b].open)
			(void)BZ2_bzDecompressEnd(&d->block[b].z);
	bytes_wipe(d->out, sizeof(d->out));
	bytes_wipe(d->ref, sizeof(d->ref));
	free(d);
	return err;
}
