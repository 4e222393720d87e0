#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "delta/varint.h"
#include "delta/window.h"

#define STORE_BELOW 32 /* bytes that no zstd frame makes smaller */
#define PREFIX_PAYS 64 /* bytes saved that are worth a prefix */
/* Where only whole repeats are left to be found: fast, and far back. */
#define DENSE_LEVEL 1

struct window_packer {
	ZSTD_CCtx *zstd;
	struct bytes body, alternative;
};

struct prefix {
	uint64_t off;
	size_t len;
};

int window_packer_new(struct window_packer **out)
{
	struct window_packer *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->zstd = ZSTD_createCCtx();
	if (!p->zstd) {
		free(p);
		return -ENOMEM;
	}
	*out = p;
	return 0;
}

void window_packer_free(struct window_packer *p)
{
	if (!p)
		return;
	(void)ZSTD_freeCCtx(p->zstd);
	bytes_clear(&p->body);
	bytes_clear(&p->alternative);
	free(p);
}

/* One frame, appended; *len says how long it is. */
static int compress(struct window_packer *p, const struct bytes *in, int level,
		    struct bytes *out)
{
	size_t bound = ZSTD_compressBound(in->len), n;
	int err, far = level == DENSE_LEVEL;

	err = bytes_reserve(out, bound);
	if (err)
		return err;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(
		    p->zstd, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(
		    p->zstd, ZSTD_c_enableLongDistanceMatching, far)))
		return -EIO;
	n = ZSTD_compress2(p->zstd, out->data + out->len, bound, in->data,
			   in->len);
	if (ZSTD_isError(n))
		return -EIO;
	out->len += n;
	return 0;
}

/* Append `in` compressed, or as it is where that is no smaller. */
static int pack(struct window_packer *p, const struct bytes *in, int level,
		struct bytes *out)
{
	size_t start = out->len;
	int err;

	if (!in->len)
		return 0;
	if (in->len < STORE_BELOW)
		return bytes_append(out, in->data, in->len);
	err = compress(p, in, level, out);
	if (err || out->len - start < in->len)
		return err;
	out->len = start;
	return bytes_append(out, in->data, in->len);
}

/* The middle of what the window copies from. */
static struct prefix around(const struct window *w, size_t ref_len)
{
	struct prefix x = { 0 };
	uint64_t margin = WINDOW_PREFIX_MAX / 64, mid;

	if (!w->ref_high)
		return x;
	x.off = w->ref_low > margin ? w->ref_low - margin : 0;
	mid = w->ref_high + margin < ref_len ? w->ref_high + margin : ref_len;
	if (mid - x.off > WINDOW_PREFIX_MAX)
		x.off += (mid - x.off - WINDOW_PREFIX_MAX) / 2;
	x.len = mid - x.off < WINDOW_PREFIX_MAX ? (size_t)(mid - x.off)
						: WINDOW_PREFIX_MAX;
	return x;
}

/*
 * The literals, which start at `start` of p->body, once more with a part of the
 * reference for prefix; what is smaller stays.
 */
static int try_prefix(struct window_packer *p, const struct window *w,
		      const struct window_packing *how, size_t start,
		      struct prefix *used)
{
	const struct bytes *in = &w->stream[WINDOW_LITERAL];
	struct prefix x = around(w, how->ref_len);
	int err;

	if (!x.len || in->len < STORE_BELOW)
		return 0;
	if (ZSTD_isError(ZSTD_CCtx_refPrefix(p->zstd, how->ref + x.off, x.len)))
		return -EIO;
	p->alternative.len = 0;
	err = compress(p, in, how->level, &p->alternative);
	if (err || p->alternative.len + PREFIX_PAYS >= p->body.len - start)
		return err;
	p->body.len = start;
	*used = x;
	return bytes_append(&p->body, p->alternative.data, p->alternative.len);
}

int window_pack(struct window_packer *p, const struct window *w,
		const struct window_packing *how, struct bytes *out)
{
	struct bytes *body = &p->body;
	struct prefix x = { 0 };
	uint8_t bits = (uint8_t)w->block_bits;
	int err;

	body->len = 0;
	err = bytes_append(out, &bits, 1);
	for (int i = 0; !err && i < WINDOW_STREAMS; i++) {
		size_t start = body->len;

		err = pack(p, &w->stream[i],
			   i == WINDOW_LITERAL && w->dense ? DENSE_LEVEL
							   : how->level,
			   body);
		if (!err && i == WINDOW_LITERAL && how->prefix)
			err = try_prefix(p, w, how, start, &x);
		if (!err)
			err = varint_put(out, w->stream[i].len);
		if (!err)
			err = varint_put(out, body->len - start);
	}
	if (!err)
		err = varint_put(out, x.len);
	if (!err && x.len)
		err = varint_put(out, x.off);
	if (!err)
		err = bytes_append(out, w->blocks.data, w->blocks.len);
	if (!err && body->len)
		err = bytes_append(out, body->data, body->len);
	return err;
}
