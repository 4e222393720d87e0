#include "delta/probe.h"

#include <errno.h>
#include <stdlib.h>

#include "delta/window.h"

/* Long enough that an alignment is found and then pays. */
#define PIECE      ((size_t)16 << 10)
#define PIECES_MIN 8
#define PIECES_MAX 64
#define PART       100
#define LEVEL      1

struct probe {
	const struct delta_encoder_conf *conf;
	struct matches matches;
	struct window window;
	struct window_packer *packer;
	struct bytes out;
	uint8_t *piece;
};

static int probe_init(struct probe *p)
{
	int err;

	p->piece = malloc(PIECE);
	if (!p->piece)
		return -ENOMEM;
	err = window_init(&p->window);
	return err ? err : window_packer_new(&p->packer);
}

static void probe_clear(struct probe *p)
{
	if (p->piece)
		bytes_wipe(p->piece, PIECE);
	free(p->piece);
	matches_clear(&p->matches);
	window_clear(&p->window);
	window_packer_free(p->packer);
	bytes_clear(&p->out);
}

/* As if the piece, which stands at `off` in the target, were all there is. */
static int encode_piece(struct probe *p, size_t len, uint64_t off)
{
	const struct delta_encoder_conf *c = p->conf;
	struct matcher m;
	size_t at = 0;
	int err;

	matcher_init(&m, c->ref, c->ref_len);
	m.index = c->index;
	m.index_arg = c->index_arg;
	m.next = (size_t)off;
	p->matches.n = 0;
	err = matcher_run(&m, p->piece, len, &p->matches);
	for (size_t i = 0; !err && i < p->matches.n; i++) {
		const struct match *one = &p->matches.v[i];

		err = window_literal(&p->window, p->piece + at,
				     one->target - at);
		if (!err)
			err = window_copy(&p->window, p->piece + one->target,
					  c->ref, one->ref, one->len);
		at = one->target + one->len;
	}
	return err ? err : window_literal(&p->window, p->piece + at, len - at);
}

static int sample(struct probe *p, delta_read_fn *read, void *read_arg,
		  uint64_t len)
{
	uint64_t n = len / PART / PIECE;
	int err = 0;

	if (n < PIECES_MIN)
		n = PIECES_MIN;
	if (n > PIECES_MAX)
		n = PIECES_MAX;
	if (n * PIECE > len)
		n = len / PIECE + 1;
	window_start(&p->window, WINDOW_BLOCK_MAX);
	for (uint64_t i = 0; !err && i < n; i++) {
		uint64_t off = len / n * i;
		size_t some = len - off < PIECE ? (size_t)(len - off) : PIECE;

		err = read(read_arg, p->piece, some, off);
		if (!err)
			err = encode_piece(p, some, off);
	}
	return err ? err : window_finish(&p->window);
}

int delta_probe(const struct delta_encoder_conf *conf, delta_read_fn *read,
		void *read_arg, uint64_t len, unsigned *permille)
{
	struct window_packing how = { .level = LEVEL };
	struct probe p = { .conf = conf };
	int err;

	err = probe_init(&p);
	if (!err)
		err = sample(&p, read, read_arg, len);
	if (!err)
		err = window_pack(p.packer, &p.window, &how, &p.out);
	if (!err)
		*permille = p.window.target_len
				    ? (unsigned)(1000 * p.out.len /
						 p.window.target_len)
				    : 0;
	probe_clear(&p);
	return err;
}
