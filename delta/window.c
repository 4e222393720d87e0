#include "delta/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "delta/index_private.h"
#include "delta/varint.h"

/* Measured: see delta/FORMAT.md, "Why". */
#define LEVEL       9
#define STORE_BELOW 32 /* bytes that no zstd frame makes smaller */

struct window_coder {
	ZSTD_CCtx *zstd;
	struct bytes scratch;
};

int window_coder_new(struct window_coder **out)
{
	struct window_coder *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->zstd = ZSTD_createCCtx();
	if (!c->zstd) {
		free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void window_coder_free(struct window_coder *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->zstd);
	bytes_clear(&c->scratch);
	free(c);
}

/* The operation under way is complete once its literals are counted. */
static int close_op(struct window *w)
{
	int err;

	if (!w->open)
		return 0;
	err = varint_put(&w->stream[WINDOW_LIT_LEN], w->lit_len);
	if (err)
		return err;
	w->lit_len = 0;
	w->open = 0;
	return 0;
}

static int open_op(struct window *w, uint64_t copy_len, uint64_t off)
{
	int err;

	err = close_op(w);
	if (!err)
		err = varint_put(&w->stream[WINDOW_COPY_LEN], copy_len);
	if (!err)
		err = varint_put(&w->stream[WINDOW_SEEK],
				 zigzag((int64_t)(off - w->ref_pos)));
	if (err)
		return err;
	w->ref_pos = off + copy_len;
	w->open = 1;
	return 0;
}

int window_copy(struct window *w, const uint8_t *t, const uint8_t *ref,
		uint64_t off, size_t len)
{
	const uint8_t *r = ref + off;
	size_t i = 0;
	int err;

	err = open_op(w, len, off);
	if (err)
		return err;
	while (i < len) {
		uint8_t diff;

		if (i + 8 <= len && load64(t + i) == load64(r + i)) {
			i += 8;
			w->gap += 8;
			continue;
		}
		diff = (uint8_t)(t[i] - r[i]);
		i++;
		if (!diff) {
			w->gap++;
			continue;
		}
		err = varint_put(&w->stream[WINDOW_GAP], w->gap);
		if (!err)
			err = bytes_append(&w->stream[WINDOW_VALUE], &diff, 1);
		if (err)
			return err;
		w->gap = 0;
	}
	w->target_len += len;
	return 0;
}

int window_literal(struct window *w, const uint8_t *t, size_t len)
{
	int err = 0;

	if (!w->open)
		err = open_op(w, 0, w->ref_pos);
	if (!err)
		err = bytes_append(&w->stream[WINDOW_LITERAL], t, len);
	if (err)
		return err;
	w->lit_len += len;
	w->target_len += len;
	return 0;
}

size_t window_weight(const struct window *w)
{
	size_t sum = 0;

	for (int i = 0; i < WINDOW_STREAMS; i++)
		sum += w->stream[i].len;
	return sum;
}

/* Append `in` compressed, or as it is where that is no smaller. */
static int pack(struct window_coder *c, const uint8_t *in, size_t len,
		struct bytes *out)
{
	size_t bound = ZSTD_compressBound(len), n;
	int err;

	if (len < STORE_BELOW)
		return len ? bytes_append(out, in, len) : 0;
	err = bytes_reserve(out, bound);
	if (err)
		return err;
	n = ZSTD_compressCCtx(c->zstd, out->data + out->len, bound, in, len,
			      LEVEL);
	if (ZSTD_isError(n))
		return -EIO;
	if (n >= len)
		return bytes_append(out, in, len);
	out->len += n;
	return 0;
}

/* The six streams, packed, into c->scratch: first their lengths. */
static int pack_streams(struct window_coder *c, const struct window *w)
{
	struct bytes body = BYTES_INIT;
	int err = 0;

	c->scratch.len = 0;
	for (int i = 0; !err && i < WINDOW_STREAMS; i++) {
		const struct bytes *s = &w->stream[i];
		size_t start = body.len;

		err = pack(c, s->data, s->len, &body);
		if (!err)
			err = varint_put(&c->scratch, s->len);
		if (!err)
			err = varint_put(&c->scratch, body.len - start);
	}
	if (!err && body.len)
		err = bytes_append(&c->scratch, body.data, body.len);
	bytes_clear(&body);
	return err;
}

static void reset(struct window *w)
{
	for (int i = 0; i < WINDOW_STREAMS; i++)
		w->stream[i].len = 0;
	w->ref_pos = 0;
	w->gap = 0;
	w->lit_len = 0;
	w->open = 0;
	w->target_len = 0;
}

int window_encode(struct window_coder *c, struct window *w, const uint8_t *t,
		  struct bytes *out, struct delta_extent *e)
{
	size_t len = w->target_len, copied;
	const uint8_t *best = t;
	size_t best_len = len;
	int err;

	err = close_op(w);
	if (err)
		return err;
	e->kind = DELTA_RAW;
	copied = len - w->stream[WINDOW_LITERAL].len;
	if (!copied) {
		c->scratch.len = 0;
		err = pack(c, t, len, &c->scratch);
		e->kind = c->scratch.len < len ? DELTA_ZSTD : DELTA_RAW;
	} else if (window_weight(w) <= WINDOW_RAW_MAX(len)) {
		err = pack_streams(c, w);
		e->kind = c->scratch.len < len ? DELTA_BSDIFF : DELTA_RAW;
	}
	if (err)
		return err;
	if (e->kind != DELTA_RAW) {
		best = c->scratch.data;
		best_len = c->scratch.len;
	}
	err = bytes_append(out, best, best_len);
	if (err)
		return err;
	e->target_len = len;
	e->len = (uint32_t)best_len;
	e->check = XXH64(t, len, 0);
	reset(w);
	return 0;
}

void window_clear(struct window *w)
{
	for (int i = 0; i < WINDOW_STREAMS; i++)
		bytes_clear(&w->stream[i]);
	*w = (struct window){ 0 };
}
