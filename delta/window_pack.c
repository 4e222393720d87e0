#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "delta/varint.h"
#include "delta/window.h"

#define STORE_BELOW  32 /* bytes that no zstd frame makes smaller */
#define PREFIX_PAYS  64 /* bytes saved that are worth a prefix */
#define THOROUGH_MIN ((size_t)4 << 10) /* literals that it can do much for */

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

/* zstd's parameters, 0 where they follow from the level. */
struct setting {
	int level;
	int far; /* look for long repeats far back */
	int parse; /* strategy */
	int search_log, target_len, min_match, chain_log, hash_log;
};

static const struct setting glance = { .level = 1 };
static const struct setting quick = { .level = 3 };

/* Where only whole repeats are left to be found. */
static const struct setting dense = { .level = 1, .far = 1 };

/*
 * The optimal parser, with tables so small that they stay in the cache: for
 * what repeats itself little, smaller and several times faster than the levels
 * that have it.
 */
static const struct setting thorough = { .level = 16,
					 .parse = ZSTD_btopt,
					 .search_log = 4,
					 .target_len = 24,
					 .min_match = 5,
					 .chain_log = 17,
					 .hash_log = 16 };

static int set(ZSTD_CCtx *zstd, const struct setting *s)
{
	const struct {
		ZSTD_cParameter name;
		int value;
	} all[] = { { ZSTD_c_compressionLevel, s->level },
		    { ZSTD_c_enableLongDistanceMatching, s->far },
		    { ZSTD_c_strategy, s->parse },
		    { ZSTD_c_searchLog, s->search_log },
		    { ZSTD_c_targetLength, s->target_len },
		    { ZSTD_c_minMatch, s->min_match },
		    { ZSTD_c_chainLog, s->chain_log },
		    { ZSTD_c_hashLog, s->hash_log } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (ZSTD_isError(ZSTD_CCtx_setParameter(zstd, all[i].name,
							all[i].value)))
			return -EIO;
	return 0;
}

/* One frame, appended. */
static int compress(struct window_packer *p, const struct bytes *in,
		    const struct setting *setting, struct bytes *out)
{
	size_t bound = ZSTD_compressBound(in->len), n;
	int err;

	err = bytes_reserve(out, bound);
	if (!err)
		err = set(p->zstd, setting);
	if (err)
		return err;
	n = ZSTD_compress2(p->zstd, out->data + out->len, bound, in->data,
			   in->len);
	if (ZSTD_isError(n))
		return -EIO;
	out->len += n;
	return 0;
}

/* Append `in` compressed, or as it is where that is no smaller. */
static int pack(struct window_packer *p, const struct bytes *in,
		const struct setting *setting, struct bytes *out)
{
	size_t start = out->len;
	int err;

	if (!in->len)
		return 0;
	if (in->len < STORE_BELOW)
		return bytes_append(out, in->data, in->len);
	err = compress(p, in, setting, out);
	if (err || out->len - start < in->len)
		return err;
	out->len = start;
	return bytes_append(out, in->data, in->len);
}

/*
 * Whether it neither repeats itself a lot, which wants large tables, nor is
 * without anything to find.
 */
static int is_worth(struct window_packer *p, const struct bytes *in, int *worth)
{
	int err;

	*worth = 0;
	if (in->len < THOROUGH_MIN)
		return 0;
	p->alternative.len = 0;
	err = compress(p, in, &glance, &p->alternative);
	*worth = p->alternative.len > in->len / 4 &&
		 p->alternative.len < in->len / 10 * 9;
	return err;
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

/* The literals with a part of the reference for prefix, if that is smaller. */
static int try_prefix(struct window_packer *p, const struct window *w,
		      const struct window_packing *how, size_t start,
		      struct prefix *used)
{
	const struct bytes *in = &w->stream[WINDOW_LITERAL];
	const struct setting setting = { .level = how->level };
	struct prefix x = around(w, how->ref_len);
	int err;

	if (!x.len || in->len < STORE_BELOW)
		return 0;
	if (ZSTD_isError(ZSTD_CCtx_refPrefix(p->zstd, how->ref + x.off, x.len)))
		return -EIO;
	p->alternative.len = 0;
	err = compress(p, in, &setting, &p->alternative);
	if (err || p->alternative.len + PREFIX_PAYS >= p->body.len - start)
		return err;
	*used = x;
	p->body.len = start;
	return bytes_append(&p->body, p->alternative.data, p->alternative.len);
}

/* The literals in the smallest of the forms that are worth their time. */
static int pack_literals(struct window_packer *p, const struct window *w,
			 const struct window_packing *how, struct prefix *used)
{
	const struct bytes *in = &w->stream[WINDOW_LITERAL];
	const struct setting normal = { .level = how->level };
	size_t start = p->body.len;
	int err, worth = 0;

	if (w->effort == WINDOW_THOROUGH) {
		err = is_worth(p, in, &worth);
		if (err)
			return err;
	}
	err = pack(p, in,
		   worth                       ? &thorough
		   : w->effort == WINDOW_DENSE ? &dense
		   : w->effort == WINDOW_QUICK ? &quick
					       : &normal,
		   &p->body);
	if (!err && how->prefix && w->effort != WINDOW_DENSE)
		err = try_prefix(p, w, how, start, used);
	return err;
}

int window_pack(struct window_packer *p, const struct window *w,
		const struct window_packing *how, struct bytes *out)
{
	const struct setting normal = { .level = how->level };
	struct bytes *body = &p->body;
	struct prefix x = { 0 };
	uint8_t bits = (uint8_t)w->block_bits;
	int err;

	body->len = 0;
	err = bytes_append(out, &bits, 1);
	for (int i = 0; !err && i < WINDOW_STREAMS; i++) {
		size_t start = body->len;

		err = i == WINDOW_LITERAL
			      ? pack_literals(p, w, how, &x)
			      : pack(p, &w->stream[i], &normal, body);
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
