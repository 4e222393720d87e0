#include "delta/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "delta/varint.h"
#include "delta/window.h"

struct delta_decoder {
	ZSTD_DCtx *zstd;
	uint8_t *scratch;
	size_t cap;
};

struct stream {
	const uint8_t *p, *end;
};

int delta_decoder_new(struct delta_decoder **out)
{
	struct delta_decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->zstd = ZSTD_createDCtx();
	if (!d->zstd) {
		free(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

void delta_decoder_free(struct delta_decoder *d)
{
	if (!d)
		return;
	ZSTD_freeDCtx(d->zstd);
	if (d->scratch)
		bytes_wipe(d->scratch, d->cap);
	free(d->scratch);
	free(d);
}

static int grow(struct delta_decoder *d, size_t want)
{
	uint8_t *p;

	if (want <= d->cap)
		return 0;
	p = malloc(want);
	if (!p)
		return -ENOMEM;
	if (d->scratch)
		bytes_wipe(d->scratch, d->cap);
	free(d->scratch);
	d->scratch = p;
	d->cap = want;
	return 0;
}

static int inflate_to(struct delta_decoder *d, const uint8_t *in, size_t len,
		      uint8_t *out, size_t out_len)
{
	size_t n = ZSTD_decompressDCtx(d->zstd, out, out_len, in, len);

	return ZSTD_isError(n) || n != out_len ? -EBADMSG : 0;
}

/* Read the lengths, unpack what is packed, point `s` at each stream. */
static int unpack(struct delta_decoder *d, const struct delta_extent *e,
		  const uint8_t *enc, struct stream s[WINDOW_STREAMS])
{
	const uint8_t *p = enc, *end = enc + e->len;
	uint64_t raw[WINDOW_STREAMS], packed[WINDOW_STREAMS], sum = 0;
	uint64_t limit = WINDOW_RAW_MAX(e->target_len);
	uint8_t *to;
	int err;

	for (int i = 0; i < WINDOW_STREAMS; i++) {
		err = varint_get(&p, end, &raw[i]);
		if (!err)
			err = varint_get(&p, end, &packed[i]);
		if (err)
			return err;
		if (raw[i] > limit - sum || packed[i] > raw[i])
			return -EBADMSG;
		sum += raw[i];
	}
	err = grow(d, (size_t)sum);
	if (err)
		return err;
	to = d->scratch;
	for (int i = 0; i < WINDOW_STREAMS; i++) {
		if (packed[i] > (uint64_t)(end - p))
			return -EBADMSG;
		s[i] = (struct stream){ p, p + packed[i] };
		if (packed[i] != raw[i]) {
			err = inflate_to(d, p, (size_t)packed[i], to,
					 (size_t)raw[i]);
			if (err)
				return err;
			s[i] = (struct stream){ to, to + raw[i] };
			to += raw[i];
		}
		p += packed[i];
	}
	return p == end ? 0 : -EBADMSG;
}

struct output {
	uint8_t *out;
	size_t len, cap;
	uint64_t to_diff; /* copied bytes before the next difference */
	int diffs_end;
};

static int next_gap(struct stream s[WINDOW_STREAMS], struct output *o)
{
	if (s[WINDOW_GAP].p == s[WINDOW_GAP].end) {
		o->diffs_end = 1;
		return 0;
	}
	return varint_get(&s[WINDOW_GAP].p, s[WINDOW_GAP].end, &o->to_diff);
}

/* Add the differences that fall into the `len` bytes just copied. */
static int add_differences(struct stream s[WINDOW_STREAMS], struct output *o,
			   uint8_t *copied, uint64_t len)
{
	uint64_t done = 0;
	int err;

	while (!o->diffs_end && o->to_diff < len - done) {
		if (s[WINDOW_VALUE].p == s[WINDOW_VALUE].end)
			return -EBADMSG;
		done += o->to_diff;
		copied[done] = (uint8_t)(copied[done] + *s[WINDOW_VALUE].p++);
		done++;
		err = next_gap(s, o);
		if (err)
			return err;
	}
	if (!o->diffs_end)
		o->to_diff -= len - done;
	return 0;
}

static int one_op(struct stream s[WINDOW_STREAMS], struct output *o,
		  const struct delta_ref *ref, uint64_t *pos)
{
	uint64_t copy, lit, seek;
	int err;

	err = varint_get(&s[WINDOW_COPY_LEN].p, s[WINDOW_COPY_LEN].end, &copy);
	if (!err)
		err = varint_get(&s[WINDOW_LIT_LEN].p, s[WINDOW_LIT_LEN].end,
				 &lit);
	if (!err)
		err = varint_get(&s[WINDOW_SEEK].p, s[WINDOW_SEEK].end, &seek);
	if (err)
		return err;
	*pos += (uint64_t)unzigzag(seek);
	if (*pos > ref->len || copy > ref->len - *pos || copy > o->cap - o->len)
		return -EBADMSG;
	if (copy) {
		err = ref->read(ref->arg, o->out + o->len, (size_t)copy, *pos);
		if (!err)
			err = add_differences(s, o, o->out + o->len, copy);
		if (err)
			return err;
	}
	*pos += copy;
	o->len += (size_t)copy;
	if (lit > o->cap - o->len ||
	    lit > (uint64_t)(s[WINDOW_LITERAL].end - s[WINDOW_LITERAL].p))
		return -EBADMSG;
	memcpy(o->out + o->len, s[WINDOW_LITERAL].p, (size_t)lit);
	s[WINDOW_LITERAL].p += lit;
	o->len += (size_t)lit;
	return 0;
}

static int decode_bsdiff(struct delta_decoder *d, const struct delta_extent *e,
			 const uint8_t *enc, const struct delta_ref *ref,
			 uint8_t *out)
{
	struct output o = { .out = out, .cap = (size_t)e->target_len };
	struct stream s[WINDOW_STREAMS];
	uint64_t pos = 0;
	int err;

	err = unpack(d, e, enc, s);
	if (!err)
		err = next_gap(s, &o);
	while (!err && s[WINDOW_COPY_LEN].p != s[WINDOW_COPY_LEN].end)
		err = one_op(s, &o, ref, &pos);
	if (err)
		return err;
	if (o.len != o.cap || !o.diffs_end)
		return -EBADMSG;
	for (int i = 0; i < WINDOW_STREAMS; i++)
		if (s[i].p != s[i].end)
			return -EBADMSG;
	return 0;
}

int delta_decode(struct delta_decoder *d, const struct delta_extent *e,
		 const uint8_t *enc, const struct delta_ref *ref, uint8_t *out)
{
	int err;

	if (e->target_len > DELTA_WINDOW_MAX)
		return -EBADMSG;
	switch (e->kind) {
	case DELTA_RAW:
		if (e->len != e->target_len)
			return -EBADMSG;
		memcpy(out, enc, e->len);
		err = 0;
		break;
	case DELTA_ZSTD:
		err = inflate_to(d, enc, e->len, out, (size_t)e->target_len);
		break;
	case DELTA_BSDIFF:
		err = decode_bsdiff(d, e, enc, ref, out);
		break;
	default:
		return -EBADMSG;
	}
	if (err)
		return err;
	return XXH64(out, (size_t)e->target_len, 0) == e->check ? 0 : -EBADMSG;
}
