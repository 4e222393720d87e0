#include <bzlib.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delta/bsdiff.h"
#include "delta/match.h"

#define PIECE ((size_t)64 << 10)
#define CHUNK ((size_t)4 << 20) /* of the target, matched at once */
/* Far below what fits an int, which is what bspatch hands to bzip2. */
#define OP_MAX ((uint64_t)1 << 30)

struct squeezer { /* one block on its way through bzip2 */
	bz_stream z;
	int open;
	uint64_t written;
};

struct bsdiff_encoder {
	struct bsdiff_encoder_conf conf;
	struct matcher matcher;
	struct matches matches;
	struct squeezer block[BSDIFF_BLOCKS];
	uint64_t written; /* all blocks, and the header */
	uint64_t fed;
	/* The operation that may still grow. */
	uint64_t copy_len, extra_len;
	uint64_t ref_end; /* where its copy ended in the reference */
	uint8_t *chunk;
	size_t fill;
	uint8_t diff[PIECE], out[PIECE];
};

/* Magnitude with the sign on top, as the format has it. */
static void number_put(uint8_t p[8], int64_t v)
{
	uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;

	le64_put(p, v < 0 ? m | (uint64_t)1 << 63 : m);
}

void bsdiff_head_write(const struct bsdiff_head *head,
		       uint8_t out[BSDIFF_HEAD_LEN])
{
	// NOLINTNEXTLINE(bugprone-not-null-terminated-result)
	memcpy(out, "BSDIFF40", 8);
	number_put(out + 8, (int64_t)head->len[BSDIFF_CONTROL]);
	number_put(out + 16, (int64_t)head->len[BSDIFF_DIFF]);
	number_put(out + 24, (int64_t)head->target_len);
}

static int emit(struct bsdiff_encoder *e, enum bsdiff_block b, size_t len)
{
	int err;

	if (!len)
		return 0;
	if (e->written + len > e->conf.max_len)
		return -E2BIG;
	err = e->conf.write(e->conf.write_arg, b, e->out, len);
	if (err)
		return err;
	e->written += len;
	e->block[b].written += len;
	return 0;
}

/* Compress `len` bytes into the block. */
static int squeeze(struct bsdiff_encoder *e, enum bsdiff_block b,
		   const uint8_t *data, size_t len)
{
	bz_stream *z = &e->block[b].z;
	int err = 0;

	while (!err && len) {
		size_t n = len < PIECE ? len : PIECE;

		z->next_in = (char *)data; /* it only reads */
		z->avail_in = (unsigned)n;
		while (!err && z->avail_in) {
			z->next_out = (char *)e->out;
			z->avail_out = PIECE;
			if (BZ2_bzCompress(z, BZ_RUN) != BZ_RUN_OK)
				return -EIO;
			err = emit(e, b, PIECE - z->avail_out);
		}
		data += n;
		len -= n;
	}
	return err;
}

static int end_block(struct bsdiff_encoder *e, enum bsdiff_block b)
{
	bz_stream *z = &e->block[b].z;
	int err = 0, said = BZ_FINISH_OK;

	z->avail_in = 0;
	while (!err && said != BZ_STREAM_END) {
		z->next_out = (char *)e->out;
		z->avail_out = PIECE;
		said = BZ2_bzCompress(z, BZ_FINISH);
		if (said != BZ_FINISH_OK && said != BZ_STREAM_END)
			return -EIO;
		err = emit(e, b, PIECE - z->avail_out);
	}
	return err;
}

int bsdiff_encoder_new(struct bsdiff_encoder **out,
		       const struct bsdiff_encoder_conf *conf)
{
	struct bsdiff_encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->conf = *conf;
	e->written = BSDIFF_HEAD_LEN;
	matcher_init(&e->matcher, conf->ref, conf->ref_len);
	e->matcher.index = conf->index;
	e->matcher.index_arg = conf->index_arg;
	e->chunk = malloc(CHUNK);
	if (!e->chunk)
		goto free_encoder;
	for (int b = 0; b < BSDIFF_BLOCKS; b++) {
		if (BZ2_bzCompressInit(&e->block[b].z, 9, 0, 0) != BZ_OK)
			goto free_encoder;
		e->block[b].open = 1;
	}
	*out = e;
	return 0;

free_encoder:
	bsdiff_encoder_free(e);
	return -ENOMEM;
}

void bsdiff_encoder_free(struct bsdiff_encoder *e)
{
	if (!e)
		return;
	for (int b = 0; b < BSDIFF_BLOCKS; b++)
		if (e->block[b].open)
			(void)BZ2_bzCompressEnd(&e->block[b].z);
	if (e->chunk)
		bytes_wipe(e->chunk, CHUNK);
	free(e->chunk);
	matches_clear(&e->matches);
	bytes_wipe(e->diff, sizeof(e->diff));
	free(e);
}

/* Write the operation down; the next copy starts `seek` from this one's end. */
static int end_operation(struct bsdiff_encoder *e, int64_t seek)
{
	uint8_t triple[24];

	number_put(triple, (int64_t)e->copy_len);
	number_put(triple + 8, (int64_t)e->extra_len);
	number_put(triple + 16, seek);
	e->copy_len = 0;
	e->extra_len = 0;
	return squeeze(e, BSDIFF_CONTROL, triple, sizeof(triple));
}

static int literal(struct bsdiff_encoder *e, size_t start, size_t end)
{
	int err = 0;

	if (e->extra_len + (end - start) > OP_MAX)
		err = end_operation(e, 0);
	e->extra_len += end - start;
	return err ? err
		   : squeeze(e, BSDIFF_EXTRA, e->chunk + start, end - start);
}

static int copy(struct bsdiff_encoder *e, const struct match *m)
{
	const uint8_t *r = e->conf.ref + m->ref;
	const uint8_t *t = e->chunk + m->target;
	int err = 0;

	/* One that goes on where the last one ended is the same operation. */
	if (e->extra_len || m->ref != e->ref_end ||
	    e->copy_len + m->len > OP_MAX)
		err = end_operation(e, (int64_t)(m->ref - e->ref_end));
	e->copy_len += m->len;
	e->ref_end = m->ref + m->len;
	for (size_t i = 0; !err && i < m->len;) {
		size_t n = m->len - i < PIECE ? m->len - i : PIECE;

		for (size_t k = 0; k < n; k++)
			e->diff[k] = (uint8_t)(t[i + k] - r[i + k]);
		err = squeeze(e, BSDIFF_DIFF, e->diff, n);
		i += n;
	}
	return err;
}

static int encode_chunk(struct bsdiff_encoder *e)
{
	size_t at = 0;
	int err;

	e->matches.n = 0;
	err = matcher_run(&e->matcher, e->chunk, e->fill, &e->matches);
	for (size_t i = 0; !err && i < e->matches.n; i++) {
		const struct match *m = &e->matches.v[i];

		if (m->target > at)
			err = literal(e, at, m->target);
		if (!err)
			err = copy(e, m);
		at = m->target + m->len;
	}
	if (!err && at < e->fill)
		err = literal(e, at, e->fill);
	e->fill = 0;
	return err;
}

int bsdiff_encoder_feed(struct bsdiff_encoder *e, const void *data, size_t len)
{
	const uint8_t *p = data;
	int err = 0;

	e->fed += len;
	while (!err && len) {
		size_t n = CHUNK - e->fill;

		if (n > len)
			n = len;
		memcpy(e->chunk + e->fill, p, n);
		e->fill += n;
		p += n;
		len -= n;
		if (e->fill == CHUNK)
			err = encode_chunk(e);
	}
	return err;
}

int bsdiff_encoder_finish(struct bsdiff_encoder *e, struct bsdiff_head *out)
{
	int err = e->fill ? encode_chunk(e) : 0;

	if (!err && (e->copy_len || e->extra_len))
		err = end_operation(e, 0);
	for (int b = 0; !err && b < BSDIFF_BLOCKS; b++)
		err = end_block(e, (enum bsdiff_block)b);
	if (err)
		return err;
	out->target_len = e->fed;
	for (int b = 0; b < BSDIFF_BLOCKS; b++)
		out->len[b] = e->block[b].written;
	return 0;
}

static int take_block(void *arg, enum bsdiff_block b, const void *data,
		      size_t len)
{
	struct bytes *block = arg;

	return bytes_append(&block[b], data, len);
}

static int all_the_same(struct bsdiff_encoder *e, uint64_t len)
{
	int err = 0;

	memset(e->diff, 0, sizeof(e->diff));
	e->fed = len;
	while (!err && len) {
		size_t n = len < PIECE ? (size_t)len : PIECE;

		if (e->copy_len + n > OP_MAX)
			err = end_operation(e, 0);
		e->copy_len += n;
		if (!err)
			err = squeeze(e, BSDIFF_DIFF, e->diff, n);
		len -= n;
	}
	return err;
}

int bsdiff_identity(uint64_t len, struct bytes *out)
{
	struct bytes block[BSDIFF_BLOCKS] = { BYTES_INIT, BYTES_INIT,
					      BYTES_INIT };
	struct bsdiff_encoder_conf conf = { .max_len = UINT64_MAX,
					    .write = take_block,
					    .write_arg = block };
	uint8_t data[BSDIFF_HEAD_LEN];
	struct bsdiff_encoder *e;
	struct bsdiff_head head;
	int err;

	err = bsdiff_encoder_new(&e, &conf);
	if (err)
		return err;
	err = all_the_same(e, len);
	if (!err)
		err = bsdiff_encoder_finish(e, &head);
	bsdiff_encoder_free(e);
	if (!err) {
		bsdiff_head_write(&head, data);
		err = bytes_append(out, data, sizeof(data));
	}
	for (int b = 0; b < BSDIFF_BLOCKS; b++) {
		if (!err)
			err = bytes_append(out, block[b].data, block[b].len);
		bytes_clear(&block[b]);
	}
	return err;
}
