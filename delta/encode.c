#include "delta/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delta/index_private.h"
#include "delta/match.h"
#include "delta/window.h"

/*
 * Exact runs from RUN_MIN on leave the window and become extents of their own:
 * they cost a few bytes of table and are read without decoding anything.  A
 * window is cut when its streams reach WEIGHT_MAX, so that a reader who wants
 * a few bytes of it does not decode for long.
 */
#define RUN_MIN    ((size_t)256 << 10)
#define WEIGHT_MAX ((size_t)512 << 10)
#define PIECE      ((size_t)64 << 10)
#define SOLID      16 /* exact bytes that a bad stretch does not bridge */

struct delta_encoder {
	struct delta_encoder_conf conf;
	struct delta_table_writer table;
	struct matcher matcher;
	struct matches matches;
	struct window_coder *coder;
	struct window window;
	unsigned literal_cost; /* eighths of a byte, guessed for the chunk */
	size_t window_start; /* in the chunk */
	struct bytes out; /* one window's encoding, on its way to conf.write */
	uint8_t *chunk;
	size_t fill;
	uint64_t written, fed;
};

static int emit(struct delta_encoder *e)
{
	int err;

	if (e->written + e->out.len > e->conf.max_len)
		return -E2BIG;
	err = e->conf.write(e->conf.write_arg, e->out.data, e->out.len);
	if (err)
		return err;
	e->written += e->out.len;
	e->out.len = 0;
	return 0;
}

int delta_encoder_new(struct delta_encoder **out,
		      const struct delta_encoder_conf *conf,
		      const uint8_t ref_digest[DIGEST_LEN])
{
	struct delta_encoder *e = calloc(1, sizeof(*e));
	int err = -ENOMEM;

	if (!e)
		return -ENOMEM;
	e->conf = *conf;
	e->matcher.ix = conf->ix;
	/* Most versions begin as the one before. */
	e->matcher.aligned = 1;
	e->chunk = malloc(DELTA_WINDOW_MAX);
	if (!e->chunk)
		goto free_encoder;
	err = window_coder_new(&e->coder);
	if (err)
		goto free_encoder;
	err = delta_head_write(ref_digest, &e->out);
	if (!err)
		err = emit(e);
	if (err)
		goto free_encoder;
	*out = e;
	return 0;

free_encoder:
	delta_encoder_free(e);
	return err;
}

void delta_encoder_free(struct delta_encoder *e)
{
	if (!e)
		return;
	if (e->chunk)
		bytes_wipe(e->chunk, DELTA_WINDOW_MAX);
	free(e->chunk);
	bytes_clear(&e->out);
	window_clear(&e->window);
	window_coder_free(e->coder);
	matches_clear(&e->matches);
	delta_table_writer_clear(&e->table);
	free(e);
}

static int flush_window(struct delta_encoder *e)
{
	struct delta_extent x = { 0 };
	size_t len = e->window.target_len;
	int err;

	if (!len)
		return 0;
	err = window_encode(e->coder, &e->window, e->chunk + e->window_start,
			    &e->out, &x);
	if (!err)
		err = delta_table_add(&e->table, &x);
	if (err)
		return err;
	e->window_start += len;
	return emit(e);
}

static int flush_if_heavy(struct delta_encoder *e)
{
	return window_weight(&e->window) < WEIGHT_MAX ? 0 : flush_window(e);
}

static int literal(struct delta_encoder *e, size_t start, size_t end)
{
	int err = 0;

	while (!err && start < end) {
		size_t n = end - start < PIECE ? end - start : PIECE;

		err = window_literal(&e->window, e->chunk + start, n);
		start += n;
		if (!err)
			err = flush_if_heavy(e);
	}
	return err;
}

static size_t equal_run(const uint8_t *a, const uint8_t *b, size_t max)
{
	size_t i = 0;

	while (i + 8 <= max && load64(a + i) == load64(b + i))
		i += 8;
	while (i < max && a[i] == b[i])
		i++;
	return i;
}

/* A copy with differences, in pieces so that a heavy window is cut in time. */
static int plain_copy(struct delta_encoder *e, size_t t, size_t r, size_t len)
{
	int err = 0;

	while (!err && len) {
		size_t n = len < PIECE ? len : PIECE;

		err = window_copy(&e->window, e->chunk + t, e->conf.ix->ref, r,
				  n);
		t += n;
		r += n;
		len -= n;
		if (!err)
			err = flush_if_heavy(e);
	}
	return err;
}

/*
 * Where the next stretch between two exact runs of SOLID bytes begins, from
 * `i` on, where it ends, and how many of its bytes differ.
 */
static size_t bad_stretch(const uint8_t *t, const uint8_t *r, size_t i,
			  size_t len, size_t *end, size_t *differ)
{
	size_t start, run;

	i += equal_run(t + i, r + i, len - i);
	start = i;
	*differ = 0;
	while (i < len) {
		++*differ;
		i++;
		run = equal_run(t + i, r + i, len - i);
		if (run >= SOLID || i + run == len)
			break;
		i += run;
	}
	*end = i;
	return start;
}

/*
 * A copy, out of which is carved what costs less as literals: a difference
 * takes about 9 eighths of a byte, a literal what `literal_cost` says, and the
 * operation that a cut makes 3 bytes.
 */
static int near_copy(struct delta_encoder *e, size_t t, size_t r, size_t len)
{
	const uint8_t *tp = e->chunk + t, *rp = e->conf.ix->ref + r;
	size_t i = 0, done = 0, end, differ;
	int err = 0;

	while (!err && i < len) {
		size_t start = bad_stretch(tp, rp, i, len, &end, &differ);

		if (differ * 9 > (end - start) * e->literal_cost + 24) {
			err = plain_copy(e, t + done, r + done, start - done);
			if (!err)
				err = literal(e, t + start, t + end);
			done = end;
		}
		i = end;
	}
	return err ? err : plain_copy(e, t + done, r + done, len - done);
}

static int exact_copy(struct delta_encoder *e, size_t r, size_t len)
{
	struct delta_extent x = { .kind = DELTA_COPY,
				  .target_len = len,
				  .ref_off = r };
	int err;

	err = flush_window(e);
	if (!err)
		err = delta_table_add(&e->table, &x);
	if (err)
		return err;
	e->window_start += len;
	return 0;
}

/* Cut the long exact runs out of one match. */
static int copy_match(struct delta_encoder *e, const struct match *m)
{
	const uint8_t *t = e->chunk + m->target;
	const uint8_t *r = e->conf.ix->ref + m->ref;
	size_t i = 0, pending = 0;
	int err;

	while (i < m->len) {
		size_t run = equal_run(t + i, r + i, m->len - i);

		if (run < RUN_MIN) {
			i += run + (i + run < m->len);
			continue;
		}
		err = near_copy(e, m->target + pending, m->ref + pending,
				i - pending);
		if (!err)
			err = exact_copy(e, m->ref + i, run);
		if (err)
			return err;
		i += run;
		pending = i;
	}
	return near_copy(e, m->target + pending, m->ref + pending,
			 m->len - pending);
}

/* Compressed data stay as they are, code halves, text is a quarter. */
static unsigned literal_cost(const uint8_t *t, size_t len)
{
	struct nature n = nature_of(t, len);

	return n.dense ? 8 : n.binary ? 4 : 2;
}

static int encode_chunk(struct delta_encoder *e)
{
	size_t at = 0;
	int err;

	e->matches.n = 0;
	e->literal_cost = literal_cost(e->chunk, e->fill);
	e->window_start = 0;
	err = matcher_run(&e->matcher, e->chunk, e->fill, &e->matches);
	for (size_t i = 0; !err && i < e->matches.n; i++) {
		const struct match *m = &e->matches.v[i];

		err = literal(e, at, m->target);
		if (!err)
			err = copy_match(e, m);
		at = m->target + m->len;
	}
	if (!err)
		err = literal(e, at, e->fill);
	if (!err)
		err = flush_window(e);
	e->fill = 0;
	return err;
}

int delta_encoder_feed(struct delta_encoder *e, const void *data, size_t len)
{
	const uint8_t *p = data;
	int err = 0;

	e->fed += len;
	while (!err && len) {
		size_t n = DELTA_WINDOW_MAX - e->fill;

		if (n > len)
			n = len;
		memcpy(e->chunk + e->fill, p, n);
		e->fill += n;
		p += n;
		len -= n;
		if (e->fill == DELTA_WINDOW_MAX)
			err = encode_chunk(e);
	}
	return err;
}

int delta_encoder_finish(struct delta_encoder *e, const struct delta_info *info,
			 uint64_t *object_len)
{
	int err;

	if (info->target_len != e->fed)
		return -EINVAL;
	err = encode_chunk(e);
	if (!err)
		err = delta_table_finish(&e->table, info, e->written, &e->out);
	if (!err)
		err = emit(e);
	if (err)
		return err;
	*object_len = e->written;
	return 0;
}

int delta_identity(const struct delta_info *info, struct bytes *out)
{
	struct delta_extent x = { .kind = DELTA_COPY,
				  .target_len = info->target_len };
	struct delta_table_writer w = { 0 };
	int err;

	err = delta_head_write(info->ref_digest, out);
	if (!err && info->target_len)
		err = delta_table_add(&w, &x);
	if (!err)
		err = delta_table_finish(&w, info, out->len, out);
	delta_table_writer_clear(&w);
	return err;
}
