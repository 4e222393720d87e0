#include "delta/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delta/carve.h"
#include "delta/index_private.h"
#include "delta/nature.h"
#include "delta/pipeline.h"

/*
 * Exact runs from RUN_MIN on leave the window and become extents of their own:
 * they cost a few bytes of table and are read without fetching anything else.
 */
#define CHUNK   ((size_t)4 << 20)
#define RUN_MIN ((size_t)2 << 20)
#define PIECE   ((size_t)64 << 10)

/* What is new is little, or much, if it is less, or more, than such a part. */
#define FEW  12
#define MANY 3

/* What is compressed already is not unpacked, and repeats itself in files. */
#define DENSE_WEIGHT ((size_t)8 << 20)

/*
 * A window is cut when its streams reach `weight`, so that a reader who wants a
 * few bytes of it does not unpack for long.  Text repeats itself, and gains from
 * large ones; code does not.
 */
struct shape {
	size_t weight;
	unsigned block_bits;
	int zstd_level;
	int prefix;
};

struct delta_encoder {
	struct delta_encoder_conf conf;
	struct shape shape;
	struct delta_table_writer table;
	struct matcher matcher;
	struct matches matches;
	struct pipeline *pipeline;
	struct bytes head; /* and table: what is no window, on its way out */
	uint8_t *chunk;
	size_t fill;
	unsigned literal_cost; /* eighths of a byte, guessed for the chunk */
	struct nature nature; /* of the chunk */
	int open; /* the pipeline's window is started */
	uint64_t put, weight; /* bytes of all windows, and of their streams */
	uint64_t written, fed;
};

static struct shape shape_of(enum delta_grain grain, enum delta_level level)
{
	static const int zstd_level[] = {
		[DELTA_FAST] = 3, [DELTA_DEFAULT] = 9, [DELTA_BEST] = 19
	};
	struct shape s = { .zstd_level = zstd_level[level],
			   .prefix = level == DELTA_BEST &&
				     grain == DELTA_COARSE };

	if (grain == DELTA_FINE) {
		s.weight = (size_t)256 << 10;
		s.block_bits = 18;
	} else {
		s.weight = (size_t)1 << 20;
		s.block_bits = 19;
	}
	return s;
}

static int emit(void *arg, const struct bytes *data)
{
	struct delta_encoder *e = arg;
	int err;

	if (e->written + data->len > e->conf.max_len)
		return -E2BIG;
	err = e->conf.write(e->conf.write_arg, data->data, data->len);
	if (!err)
		e->written += data->len;
	return err;
}

static int start(struct delta_encoder *e, const uint8_t *ref_digest)
{
	struct pipeline_conf conf = { .tasks = e->conf.tasks,
				      .how = { .level = e->shape.zstd_level,
					       .prefix = e->shape.prefix,
					       .ref = e->conf.ref,
					       .ref_len = e->conf.ref_len },
				      .emit = emit,
				      .emit_arg = e,
				      .table = &e->table };
	int err;

	e->chunk = malloc(CHUNK);
	if (!e->chunk)
		return -ENOMEM;
	err = pipeline_new(&e->pipeline, &conf);
	if (!err)
		err = delta_head_write(ref_digest, &e->head);
	return err ? err : emit(e, &e->head);
}

int delta_encoder_new(struct delta_encoder **out,
		      const struct delta_encoder_conf *conf,
		      const uint8_t ref_digest[DIGEST_LEN])
{
	struct delta_encoder *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->conf = *conf;
	matcher_init(&e->matcher, conf->ref, conf->ref_len);
	e->matcher.index = conf->index;
	e->matcher.index_arg = conf->index_arg;
	e->shape = shape_of(e->matcher.grain, conf->level);
	err = start(e, ref_digest);
	if (err) {
		delta_encoder_free(e);
		return err;
	}
	*out = e;
	return 0;
}

void delta_encoder_free(struct delta_encoder *e)
{
	if (!e)
		return;
	pipeline_free(e->pipeline);
	if (e->chunk)
		bytes_wipe(e->chunk, CHUNK);
	free(e->chunk);
	bytes_clear(&e->head);
	matches_clear(&e->matches);
	delta_table_writer_clear(&e->table);
	free(e);
}

static struct window *window(struct delta_encoder *e)
{
	struct window *w = pipeline_window(e->pipeline);

	if (!e->open)
		window_start(w, e->shape.block_bits);
	if (!e->nature.dense || (e->open && w->effort != WINDOW_DENSE))
		w->effort = WINDOW_NORMAL;
	else
		w->effort = WINDOW_DENSE;
	e->open = 1;
	return w;
}

/*
 * Encoding keeps its pace whatever the target is: the more of it is new, the
 * less time is spent on each byte of that.
 */
static void choose_effort(struct delta_encoder *e, struct window *w)
{
	if (e->conf.level != DELTA_DEFAULT || w->effort == WINDOW_DENSE)
		return;
	if (e->matcher.grain == DELTA_COARSE && e->weight < e->put / FEW)
		w->effort = WINDOW_THOROUGH;
	else if (e->weight > e->put / MANY)
		w->effort = WINDOW_QUICK;
}

static int flush_window(struct delta_encoder *e)
{
	struct window *w = pipeline_window(e->pipeline);

	if (!e->open)
		return 0;
	e->open = 0;
	e->put += w->target_len;
	e->weight += window_weight(w);
	choose_effort(e, w);
	return pipeline_put_window(e->pipeline);
}

static int flush_if_full(struct delta_encoder *e)
{
	const struct window *w = pipeline_window(e->pipeline);

	if (window_weight(w) < (w->effort == WINDOW_DENSE ? DENSE_WEIGHT
							  : e->shape.weight) &&
	    w->target_len + CHUNK <= DELTA_WINDOW_MAX)
		return 0;
	return flush_window(e);
}

static int put_literal(void *arg, size_t start, size_t len)
{
	struct delta_encoder *e = arg;
	int err = 0;

	while (!err && len) {
		size_t n = len < PIECE ? len : PIECE;

		err = window_literal(window(e), e->chunk + start, n);
		start += n;
		len -= n;
		if (!err)
			err = flush_if_full(e);
	}
	return err;
}

static int put_copy(void *arg, const struct match *m)
{
	struct delta_encoder *e = arg;
	int err;

	if (!m->len)
		return 0;
	err = window_copy(window(e), e->chunk + m->target, e->conf.ref, m->ref,
			  m->len);
	return err ? err : flush_if_full(e);
}

static int near_copy(struct delta_encoder *e, const struct match *m)
{
	const struct window *w = pipeline_window(e->pipeline);
	struct carve c = { .t = e->chunk,
			   .ref = e->conf.ref,
			   .literal_cost = e->literal_cost,
			   .field_cost = carve_field_cost(
				   &e->nature, e->open ? w->fields : 0,
				   w->escapes),
			   .copy = put_copy,
			   .literal = put_literal,
			   .arg = e };

	return carve(&c, m);
}

static int exact_copy(struct delta_encoder *e, size_t r, size_t len)
{
	struct delta_extent x = { .kind = DELTA_COPY,
				  .target_len = len,
				  .ref_off = r };
	int err;

	err = flush_window(e);
	e->put += len;
	return err ? err : pipeline_put_copy(e->pipeline, &x);
}

/* Cut the long exact runs out of one match. */
static int copy_match(struct delta_encoder *e, struct match m)
{
	const uint8_t *t = e->chunk + m.target, *r = e->conf.ref + m.ref;
	size_t i = 0, done = 0;
	struct match part;
	int err;

	while (i < m.len) {
		size_t run = equal_run(t + i, r + i, m.len - i);

		if (run < RUN_MIN) {
			i += run + (i + run < m.len);
			continue;
		}
		part = (struct match){ .target = m.target + done,
				       .ref = m.ref + done,
				       .len = i - done };
		err = near_copy(e, &part);
		if (!err)
			err = exact_copy(e, m.ref + i, run);
		if (err)
			return err;
		i += run;
		done = i;
	}
	part = (struct match){ .target = m.target + done,
			       .ref = m.ref + done,
			       .len = m.len - done };
	return near_copy(e, &part);
}

static int encode_chunk(struct delta_encoder *e)
{
	size_t at = 0;
	int err;

	e->matches.n = 0;
	e->nature = nature_of(e->chunk, e->fill);
	e->literal_cost = carve_literal_cost(&e->nature);
	err = matcher_run(&e->matcher, e->chunk, e->fill, &e->matches);
	for (size_t i = 0; !err && i < e->matches.n; i++) {
		const struct match *m = &e->matches.v[i];

		err = put_literal(e, at, m->target - at);
		if (!err)
			err = copy_match(e, *m);
		at = m->target + m->len;
	}
	if (!err)
		err = put_literal(e, at, e->fill - at);
	e->fill = 0;
	return err;
}

int delta_encoder_feed(struct delta_encoder *e, const void *data, size_t len)
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

int delta_encoder_finish(struct delta_encoder *e, const struct delta_info *info,
			 uint64_t *object_len)
{
	int err;

	if (info->target_len != e->fed)
		return -EINVAL;
	err = encode_chunk(e);
	if (!err)
		err = flush_window(e);
	if (!err)
		err = pipeline_drain(e->pipeline);
	e->head.len = 0;
	if (!err)
		err = delta_table_finish(&e->table, info, e->written, &e->head);
	if (!err)
		err = emit(e, &e->head);
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
