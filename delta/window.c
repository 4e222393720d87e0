#include "delta/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "delta/field.h"
#include "delta/index_private.h"
#include "delta/varint.h"

int window_init(struct window *w)
{
	*w = (struct window){ 0 };
	w->model = malloc(sizeof(*w->model));
	w->hash = XXH64_createState();
	if (w->model && w->hash)
		return 0;
	window_clear(w);
	return -ENOMEM;
}

void window_clear(struct window *w)
{
	for (int i = 0; i < WINDOW_STREAMS; i++)
		bytes_clear(&w->stream[i]);
	bytes_clear(&w->blocks);
	free(w->model);
	(void)XXH64_freeState(w->hash);
	*w = (struct window){ 0 };
}

/* Nothing of what came before helps to decode what follows. */
static void start_block(struct window *w)
{
	for (int i = 0; i < WINDOW_STREAMS; i++)
		w->block_at[i] = w->stream[i].len;
	memset(w->model, 0, sizeof(*w->model));
	(void)XXH64_reset(w->hash, 0);
	w->block_len = 0;
	w->ref_pos = 0;
	w->gap = 0;
}

void window_start(struct window *w, unsigned block_bits)
{
	for (int i = 0; i < WINDOW_STREAMS; i++)
		w->stream[i].len = 0;
	w->blocks.len = 0;
	w->block_bits = block_bits;
	w->target_len = 0;
	w->ref_low = UINT64_MAX;
	w->ref_high = 0;
	w->fields = w->escapes = 0;
	w->lit_len = 0;
	w->open = 0;
	w->effort = WINDOW_NORMAL;
	start_block(w);
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

/* `last`: how much of each stream it takes is what the others leave. */
static int close_block(struct window *w, int last)
{
	uint8_t check[8];
	int err;

	err = close_op(w);
	le64_put(check, XXH64_digest(w->hash));
	if (!err)
		err = bytes_append(&w->blocks, check, sizeof(check));
	for (int i = 0; !err && !last && i < WINDOW_STREAMS; i++)
		err = varint_put(&w->blocks, w->stream[i].len - w->block_at[i]);
	if (!err)
		start_block(w);
	return err;
}

/* A block that is full is closed when the next byte comes: it may be the last. */
static int room(struct window *w, size_t len, size_t *n)
{
	size_t block = (size_t)1 << w->block_bits;
	int err = w->block_len == block ? close_block(w, 0) : 0;

	*n = len < block - w->block_len ? len : block - w->block_len;
	return err;
}

static void added(struct window *w, const uint8_t *t, size_t n)
{
	(void)XXH64_update(w->hash, t, n);
	w->block_len += n;
	w->target_len += n;
}

/* The last of `n` numbers that is `change`, or -1; eight at a time. */
static int find_last(const uint32_t *v, int n, uint32_t change)
{
	while (n >= 8) {
		unsigned any = 0;

		for (int k = 1; k <= 8; k++)
			any |= v[n - k] == change;
		if (any)
			break;
		n -= 8;
	}
	while (n > 0 && v[n - 1] != change)
		n--;
	return n - 1;
}

/* How many others ago `change` was remembered; FIELD_RECENT if too many. */
static unsigned age_of(const struct field_model *m, enum field_context c,
		       uint32_t change)
{
	const uint32_t *v = m->recent[c];
	int newest = m->newest[c], at;

	at = find_last(v, newest + 1, change);
	if (at < 0) {
		at = find_last(v + newest + 1, FIELD_RING - 1 - newest, change);
		if (at < 0)
			return FIELD_RECENT;
		at += newest + 1 - FIELD_RING;
	}
	return newest - at < FIELD_RECENT ? (unsigned)(newest - at)
					  : FIELD_RECENT;
}

static int put_byte(struct bytes *b, uint8_t v)
{
	if (b->len == b->cap)
		return bytes_append(b, &v, 1);
	b->data[b->len++] = v;
	return 0;
}

static int put_field(struct window *w, const struct field *f, uint32_t change)
{
	struct field_place at = field_find(w->model, f);
	uint32_t predicted = field_predict(w->model, f, &at);
	uint8_t code = 0;
	int err = 0;

	if (change != predicted) {
		code = (uint8_t)(age_of(w->model, f->context, change) + 1);
		field_remember(w->model, f->context, change);
		if (code == FIELD_ESCAPE)
			err = varint_put(&w->stream[WINDOW_ESCAPE],
					 zigzag((int32_t)(change - predicted)));
	}
	w->fields++;
	w->escapes += code == FIELD_ESCAPE;
	field_learn(w->model, f, &at, change);
	if (!err)
		err = varint_put(&w->stream[WINDOW_GAP], w->gap);
	if (!err)
		err = put_byte(
			&w->stream[f->context == FIELD_BRANCH ? WINDOW_BRANCH
							      : WINDOW_RANK],
			code);
	w->gap = 0;
	return err;
}

/* One operation, inside one block. */
static int copy_op(struct window *w, const uint8_t *t, const uint8_t *ref,
		   uint64_t off, size_t len)
{
	const uint8_t *r = ref + off;
	size_t at = 0;
	int err;

	err = open_op(w, len, off);
	while (!err) {
		size_t equal = equal_run(t + at, r + at, len - at);
		size_t width = len - at - equal;
		struct field f;
		uint32_t old, change;

		at += equal;
		w->gap += equal;
		if (!width)
			break;
		if (width > FIELD_LEN)
			width = FIELD_LEN;
		old = field_load(r + at, width);
		f = field_at(t, at, width, old, (uint32_t)off,
			     (uint32_t)w->target_len);
		change = field_extend(field_load(t + at, width) - old, width);
		err = put_field(w, &f, change + f.moved);
		at += width;
	}
	return err;
}

int window_copy(struct window *w, const uint8_t *t, const uint8_t *ref,
		uint64_t off, size_t len)
{
	if (len && off < w->ref_low)
		w->ref_low = off;
	if (len && off + len > w->ref_high)
		w->ref_high = off + len;
	while (len) {
		size_t n;
		int err = room(w, len, &n);

		if (!err)
			err = copy_op(w, t, ref, off, n);
		if (err)
			return err;
		added(w, t, n);
		t += n;
		off += n;
		len -= n;
	}
	return 0;
}

int window_literal(struct window *w, const uint8_t *t, size_t len)
{
	while (len) {
		size_t n;
		int err = room(w, len, &n);

		if (!err && !w->open)
			err = open_op(w, 0, w->ref_pos);
		if (!err)
			err = bytes_append(&w->stream[WINDOW_LITERAL], t, n);
		if (err)
			return err;
		w->lit_len += n;
		added(w, t, n);
		t += n;
		len -= n;
	}
	return 0;
}

int window_finish(struct window *w)
{
	return close_block(w, 1);
}

size_t window_weight(const struct window *w)
{
	size_t sum = 0;

	for (int i = 0; i < WINDOW_STREAMS; i++)
		sum += w->stream[i].len;
	return sum;
}
