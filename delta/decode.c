#include "delta/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "delta/field.h"
#include "delta/varint.h"
#include "delta/window.h"

struct stream {
	const uint8_t *p, *end;
};

/* Where a block starts in each stream, and what it must give. */
struct block {
	size_t at[WINDOW_STREAMS];
	uint64_t check;
};

struct delta_decoder {
	ZSTD_DCtx *zstd;
	uint8_t *scratch; /* streams that were packed */
	size_t cap;
	uint8_t *prefix;
	struct field_model *model;
	/* The window loaded; target_len 0: none. */
	uint64_t target_len;
	unsigned block_bits;
	struct stream stream[WINDOW_STREAMS];
	struct block *block;
	size_t blocks, block_cap;
};

int delta_decoder_new(struct delta_decoder **out)
{
	struct delta_decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->zstd = ZSTD_createDCtx();
	d->model = malloc(sizeof(*d->model));
	if (!d->zstd || !d->model) {
		delta_decoder_free(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

void delta_decoder_free(struct delta_decoder *d)
{
	if (!d)
		return;
	(void)ZSTD_freeDCtx(d->zstd);
	if (d->scratch)
		bytes_wipe(d->scratch, d->cap);
	if (d->prefix)
		bytes_wipe(d->prefix, WINDOW_PREFIX_MAX);
	free(d->scratch);
	free(d->prefix);
	free(d->model);
	free(d->block);
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

/* A window's head, as it is read. */
struct head {
	const uint8_t *p, *end;
	uint64_t raw[WINDOW_STREAMS], stored[WINDOW_STREAMS];
	uint64_t prefix_len, prefix_off;
	size_t sum; /* of raw */
};

static int read_lengths(struct head *h)
{
	uint64_t sum = 0;
	int err;

	for (int i = 0; i < WINDOW_STREAMS; i++) {
		err = varint_get(&h->p, h->end, &h->raw[i]);
		if (!err)
			err = varint_get(&h->p, h->end, &h->stored[i]);
		if (err)
			return err;
		if (h->raw[i] > WINDOW_RAW_MAX - sum ||
		    h->stored[i] > h->raw[i])
			return -EBADMSG;
		sum += h->raw[i];
	}
	h->sum = (size_t)sum;
	err = varint_get(&h->p, h->end, &h->prefix_len);
	if (!err && h->prefix_len)
		err = varint_get(&h->p, h->end, &h->prefix_off);
	return err;
}

static int read_blocks(struct delta_decoder *d, struct head *h,
		       uint64_t target_len)
{
	size_t n = (size_t)((target_len - 1) >> d->block_bits) + 1;
	uint64_t at[WINDOW_STREAMS] = { 0 }, used;
	int err;

	if (n > d->block_cap) {
		struct block *b = reallocarray(d->block, n, sizeof(*b));

		if (!b)
			return -ENOMEM;
		d->block = b;
		d->block_cap = n;
	}
	d->blocks = n;
	for (size_t i = 0; i < n; i++) {
		struct block *b = &d->block[i];

		if (h->end - h->p < 8)
			return -EBADMSG;
		b->check = le64_get(h->p);
		h->p += 8;
		for (int k = 0; k < WINDOW_STREAMS; k++) {
			b->at[k] = (size_t)at[k];
			if (i == n - 1)
				continue;
			err = varint_get(&h->p, h->end, &used);
			if (err)
				return err;
			if (used > h->raw[k] - at[k])
				return -EBADMSG;
			at[k] += used;
		}
	}
	return 0;
}

static int inflate_to(struct delta_decoder *d, const struct stream *in,
		      uint8_t *out, size_t out_len)
{
	size_t len = (size_t)(in->end - in->p), n;

	/* One frame, of the kind that is specified: not several, not an old one. */
	if (len < 4 || le32_get(in->p) != ZSTD_MAGICNUMBER ||
	    ZSTD_findFrameCompressedSize(in->p, len) != len)
		return -EBADMSG;
	n = ZSTD_decompressDCtx(d->zstd, out, out_len, in->p, len);
	return ZSTD_isError(n) || n != out_len ? -EBADMSG : 0;
}

static int load_prefix(struct delta_decoder *d, const struct head *h,
		       const struct delta_ref *ref)
{
	size_t err;
	int rc;

	if (h->prefix_len > WINDOW_PREFIX_MAX || h->prefix_len > ref->len ||
	    h->prefix_off > ref->len - h->prefix_len)
		return -EBADMSG;
	if (!d->prefix)
		d->prefix = malloc(WINDOW_PREFIX_MAX);
	if (!d->prefix)
		return -ENOMEM;
	rc = ref->read(ref->arg, d->prefix, (size_t)h->prefix_len,
		       h->prefix_off);
	if (rc)
		return rc;
	err = ZSTD_DCtx_refPrefix(d->zstd, d->prefix, (size_t)h->prefix_len);
	return ZSTD_isError(err) ? -EBADMSG : 0;
}

/* Unpack what is packed, point d->stream at each. */
static int unpack(struct delta_decoder *d, struct head *h,
		  const struct delta_ref *ref)
{
	uint8_t *to = d->scratch;
	int err = 0;

	for (int i = 0; i < WINDOW_STREAMS; i++) {
		struct stream in = { h->p, h->p };

		if (h->stored[i] > (uint64_t)(h->end - h->p))
			return -EBADMSG;
		in.end += h->stored[i];
		h->p = in.end;
		if (h->stored[i] != h->raw[i]) {
			if (i == WINDOW_LITERAL && h->prefix_len)
				err = load_prefix(d, h, ref);
			if (!err)
				err = inflate_to(d, &in, to, (size_t)h->raw[i]);
			if (err)
				return err;
			in = (struct stream){ to, to + h->raw[i] };
			to += h->raw[i];
		}
		d->stream[i] = in;
	}
	return h->p == h->end ? 0 : -EBADMSG;
}

int delta_decoder_load(struct delta_decoder *d, const struct delta_extent *e,
		       const uint8_t *enc, const struct delta_ref *ref)
{
	struct head h = { .p = enc, .end = enc + e->len };
	int err;

	d->target_len = 0;
	if (e->kind != DELTA_WINDOW || !e->target_len || !e->len ||
	    e->target_len > DELTA_WINDOW_MAX)
		return -EBADMSG;
	d->block_bits = *h.p++;
	if (d->block_bits < WINDOW_BLOCK_MIN ||
	    d->block_bits > WINDOW_BLOCK_MAX)
		return -EBADMSG;
	err = read_lengths(&h);
	if (!err)
		err = read_blocks(d, &h, e->target_len);
	if (!err)
		err = grow(d, h.sum);
	if (!err)
		err = unpack(d, &h, ref);
	if (err)
		return err;
	d->target_len = e->target_len;
	return 0;
}

int delta_decoder_block(const struct delta_decoder *d, uint64_t off,
			uint64_t *start, size_t *len)
{
	uint64_t block = (uint64_t)1 << d->block_bits;

	if (off >= d->target_len)
		return -ERANGE;
	*start = off & ~(block - 1);
	*len = (size_t)(d->target_len - *start < block ? d->target_len - *start
						       : block);
	return 0;
}

/* A block on its way out. */
struct output {
	struct stream s[WINDOW_STREAMS];
	struct field_model *model;
	uint8_t *out;
	size_t len, cap;
	uint64_t start; /* of the block, in the window */
	uint64_t pos; /* in the reference */
	uint64_t to_field; /* copied bytes before the next one */
	int fields_end;
};

static int next_gap(struct output *o)
{
	struct stream *s = &o->s[WINDOW_GAP];

	if (s->p == s->end) {
		o->fields_end = 1;
		return 0;
	}
	return varint_get(&s->p, s->end, &o->to_field);
}

/* What the field changed by. */
static int change_of(struct output *o, const struct field *f, uint32_t *change)
{
	struct stream *s =
		&o->s[f->context == FIELD_BRANCH ? WINDOW_BRANCH : WINDOW_RANK];
	struct field_model *m = o->model;
	struct field_place at = field_find(m, f);
	unsigned code;

	if (s->p == s->end)
		return -EBADMSG;
	code = *s->p++;
	if (code && code < FIELD_ESCAPE) {
		*change = field_recall(m, f->context, code - 1);
	} else {
		*change = field_predict(m, f, &at);
	}
	if (code == FIELD_ESCAPE) {
		uint64_t off;
		int err = varint_get(&o->s[WINDOW_ESCAPE].p,
				     o->s[WINDOW_ESCAPE].end, &off);

		if (err)
			return err;
		*change += (uint32_t)unzigzag(off);
	}
	if (code)
		field_remember(m, f->context, *change);
	field_learn(m, f, &at, *change);
	return 0;
}

/* Change the fields that lie in the `len` bytes just copied from o->pos. */
static int change_fields(struct output *o, uint8_t *copied, size_t len)
{
	uint32_t target_pos = (uint32_t)(o->start + o->len);
	size_t at = 0;
	int err;

	while (!o->fields_end && o->to_field < len - at) {
		struct field f;
		uint32_t old, change;
		size_t width;

		at += (size_t)o->to_field;
		width = len - at < FIELD_LEN ? len - at : FIELD_LEN;
		old = field_load(copied + at, width);
		f = field_at(copied, at, width, old, (uint32_t)o->pos,
			     target_pos);
		err = change_of(o, &f, &change);
		if (!err)
			err = next_gap(o);
		if (err)
			return err;
		field_store(copied + at, width, old + change - f.moved);
		at += width;
	}
	if (!o->fields_end)
		o->to_field -= len - at;
	return 0;
}

static int one_op(struct output *o, const struct delta_ref *ref)
{
	struct stream *s = o->s;
	uint64_t copy, lit, seek;
	uint8_t *to = o->out + o->len;
	int err;

	err = varint_get(&s[WINDOW_COPY_LEN].p, s[WINDOW_COPY_LEN].end, &copy);
	if (!err)
		err = varint_get(&s[WINDOW_LIT_LEN].p, s[WINDOW_LIT_LEN].end,
				 &lit);
	if (!err)
		err = varint_get(&s[WINDOW_SEEK].p, s[WINDOW_SEEK].end, &seek);
	if (err)
		return err;
	o->pos += (uint64_t)unzigzag(seek);
	if (o->pos > ref->len || copy > ref->len - o->pos ||
	    copy > o->cap - o->len)
		return -EBADMSG;
	if (copy) {
		err = ref->read(ref->arg, to, (size_t)copy, o->pos);
		if (!err)
			err = change_fields(o, to, (size_t)copy);
		if (err)
			return err;
	}
	o->pos += copy;
	o->len += (size_t)copy;
	if (lit > o->cap - o->len ||
	    lit > (uint64_t)(s[WINDOW_LITERAL].end - s[WINDOW_LITERAL].p))
		return -EBADMSG;
	memcpy(o->out + o->len, s[WINDOW_LITERAL].p, (size_t)lit);
	s[WINDOW_LITERAL].p += lit;
	o->len += (size_t)lit;
	return 0;
}

int delta_decoder_decode(struct delta_decoder *d, uint64_t start,
			 const struct delta_ref *ref, uint8_t *out)
{
	struct output o = { .out = out, .model = d->model, .start = start };
	const struct block *b;
	uint64_t first;
	size_t n, len;
	int err;

	err = delta_decoder_block(d, start, &first, &len);
	if (err || first != start)
		return -ERANGE;
	n = (size_t)(start >> d->block_bits);
	b = &d->block[n];
	o.cap = len;
	for (int i = 0; i < WINDOW_STREAMS; i++) {
		const struct stream *s = &d->stream[i];

		o.s[i].p = s->p + b->at[i];
		o.s[i].end = n + 1 < d->blocks ? s->p + b[1].at[i] : s->end;
	}
	memset(d->model, 0, sizeof(*d->model));
	err = next_gap(&o);
	while (!err && o.s[WINDOW_COPY_LEN].p != o.s[WINDOW_COPY_LEN].end)
		err = one_op(&o, ref);
	if (err)
		return err;
	if (o.len != o.cap || !o.fields_end)
		return -EBADMSG;
	for (int i = 0; i < WINDOW_STREAMS; i++)
		if (o.s[i].p != o.s[i].end)
			return -EBADMSG;
	return XXH64(out, len, 0) == b->check ? 0 : -EBADMSG;
}
