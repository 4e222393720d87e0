#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "cache/refs.h"
#include "delta/bsdiff.h"
#include "fs/commit.h"
#include "fs/log.h"
#include "fs/patch.h"

#define PIECE ((size_t)256 << 10)

/*
 * A patch's header and control block come first and say how long they are, so
 * the other two blocks wait in files of their own until all are complete.
 */
struct blocks {
	struct pagefile *file[BSDIFF_BLOCKS];
	uint64_t len[BSDIFF_BLOCKS];
};

static void blocks_close(struct blocks *b)
{
	for (int i = 0; i < BSDIFF_BLOCKS; i++)
		pagefile_close(b->file[i]);
}

static int blocks_open(struct blocks *b, struct commit *c)
{
	static const uint8_t later[BSDIFF_HEAD_LEN] = { 0 };
	int err = 0;

	for (int i = 0; !err && i < BSDIFF_BLOCKS; i++)
		err = inode_new_spool(c->inode, &b->file[i]);
	if (!err)
		err = pagefile_pwrite(b->file[BSDIFF_CONTROL], later,
				      sizeof(later), 0);
	b->len[BSDIFF_CONTROL] = sizeof(later);
	return err;
}

static int write_block(void *arg, enum bsdiff_block which, const void *data,
		       size_t len)
{
	struct blocks *b = arg;
	int err;

	err = pagefile_pwrite(b->file[which], data, len, b->len[which]);
	if (!err)
		b->len[which] += len;
	return err;
}

/* `f` piece by piece to the encoder, or (NULL) behind the control block. */
static int each_piece(struct blocks *b, struct pagefile *f, uint64_t len,
		      struct bsdiff_encoder *e)
{
	uint8_t *buf = malloc(PIECE);
	int err = buf ? 0 : -ENOMEM;

	for (uint64_t off = 0; !err && off < len;) {
		size_t want = len - off < PIECE ? (size_t)(len - off) : PIECE;
		ssize_t n = pagefile_pread(f, buf, want, off);

		if (n < 0)
			err = (int)n;
		else if ((size_t)n != want)
			err = -EIO;
		else if (e)
			err = bsdiff_encoder_feed(e, buf, want);
		else
			err = write_block(b, BSDIFF_CONTROL, buf, want);
		off += want;
	}
	if (buf)
		bytes_wipe(buf, PIECE);
	free(buf);
	return err;
}

/* Header, control, diff, extra: all in the first file. */
static int join(struct blocks *b, const struct bsdiff_head *head)
{
	uint8_t data[BSDIFF_HEAD_LEN];
	int err = 0;

	bsdiff_head_write(head, data);
	for (int i = BSDIFF_DIFF; !err && i < BSDIFF_BLOCKS; i++) {
		err = each_piece(b, b->file[i], b->len[i], NULL);
		pagefile_close(b->file[i]);
		b->file[i] = NULL;
	}
	if (!err)
		err = pagefile_pwrite(b->file[BSDIFF_CONTROL], data,
				      sizeof(data), 0);
	return err;
}

static int index_of(void *arg, const struct delta_index **out)
{
	return ref_index(arg, out);
}

static int encode(struct commit *c, struct ref *ref, const uint8_t *text,
		  struct blocks *b)
{
	struct bsdiff_encoder_conf conf = { .ref = text,
					    .ref_len = (size_t)ref_length(ref),
					    .index = index_of,
					    .index_arg = ref,
					    .max_len = commit_max_len(c),
					    .write = write_block,
					    .write_arg = b };
	struct bsdiff_encoder *e;
	struct bsdiff_head head;
	int err;

	err = bsdiff_encoder_new(&e, &conf);
	if (err)
		return err;
	err = each_piece(b, c->inode->spool, c->size, e);
	if (!err)
		err = bsdiff_encoder_finish(e, &head);
	bsdiff_encoder_free(e);
	return err ? err : join(b, &head);
}

/* What was encoded decodes to what was written, or it is not kept. */
static int verify(struct commit *c, struct ref *ref, const struct blocks *b)
{
	struct patch p = { .file = b->file[BSDIFF_CONTROL],
			   .len = b->len[BSDIFF_CONTROL],
			   .ref = ref,
			   .size = c->size,
			   .digest = c->digest };
	int err = patch_apply(&p, NULL);

	if (err)
		log_error(
			"%s: the patch does not decode to what was written (%s): stored as it is; please report this",
			c->key.text, strerrordesc_np(-err));
	return err;
}

/* Without its metadata a patch is nothing: they must have room for all. */
static int describable(struct commit *c)
{
	struct meta meta;

	return commit_describe(c, NULL, &meta) ? -ENAMETOOLONG : 0;
}

int commit_takes(const struct commit *c, const struct candidate *ref)
{
	if (c->v->conf.codec != CODEC_BSDIFF ||
	    (c->size <= BSDIFF_FILE_MAX && ref->len <= BSDIFF_FILE_MAX))
		return 1;
	log_debug(
		"%s: larger than bspatch takes, or its reference is: no delta",
		c->key.text);
	return 0;
}

int commit_bsdiff(struct commit *c, struct ref *ref, const uint8_t *text)
{
	struct blocks b = { 0 };
	int err;

	err = blocks_open(&b, c);
	if (!err)
		err = encode(c, ref, text, &b);
	if (!err)
		err = verify(c, ref, &b);
	if (err)
		goto close;
	memcpy(c->ref_digest, ref_digest(ref), DIGEST_LEN);
	c->source.len = ref_length(ref);
	c->delta_len = b.len[BSDIFF_CONTROL];
	c->delta = b.file[BSDIFF_CONTROL];
	err = describable(c);
	if (err)
		c->delta = NULL;
	else
		b.file[BSDIFF_CONTROL] = NULL;
close:
	blocks_close(&b);
	return err;
}
