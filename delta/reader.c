#include "delta/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct delta_reader {
	struct delta_reader_conf conf;
	struct delta_decoder *decoder;
	struct delta_extent current; /* the window loaded; target_len 0: none */
	uint8_t *enc; /* its bytes */
	size_t enc_cap;
	uint8_t *block; /* the block decoded last, of this window */
	size_t block_cap, block_len;
	uint64_t block_start; /* in the window */
};

int delta_reader_new(struct delta_reader **out,
		     const struct delta_reader_conf *conf)
{
	struct delta_reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->conf = *conf;
	err = delta_decoder_new(&r->decoder);
	if (err) {
		free(r);
		return err;
	}
	*out = r;
	return 0;
}

static void drop(uint8_t **p, size_t *cap)
{
	if (*p)
		bytes_wipe(*p, *cap);
	free(*p);
	*p = NULL;
	*cap = 0;
}

void delta_reader_free(struct delta_reader *r)
{
	if (!r)
		return;
	drop(&r->block, &r->block_cap);
	drop(&r->enc, &r->enc_cap);
	delta_decoder_free(r->decoder);
	free(r);
}

static int room(uint8_t **p, size_t *cap, size_t want)
{
	if (want <= *cap)
		return 0;
	drop(p, cap);
	*p = malloc(want);
	if (!*p)
		return -ENOMEM;
	*cap = want;
	return 0;
}

static int load(struct delta_reader *r, const struct delta_extent *e)
{
	int err;

	if (r->current.target_len && r->current.off == e->off)
		return 0;
	r->current.target_len = 0;
	r->block_len = 0;
	err = room(&r->enc, &r->enc_cap, e->len);
	if (!err)
		err = r->conf.read_object(r->conf.object_arg, r->enc, e->len,
					  e->off);
	if (!err)
		err = delta_decoder_load(r->decoder, e, r->enc, &r->conf.ref);
	if (err)
		return err;
	r->current = *e;
	return 0;
}

/*
 * Bytes of a window from `skip` on, up to the end of their block: how many is
 * *n.  A block that is wanted whole goes straight to its place.
 */
static int read_window(struct delta_reader *r, const struct delta_extent *e,
		       uint64_t skip, uint8_t *to, size_t *n)
{
	uint64_t start;
	size_t len;
	int err;

	err = load(r, e);
	if (!err)
		err = delta_decoder_block(r->decoder, skip, &start, &len);
	if (err)
		return err;
	if (skip == start && *n >= len) {
		*n = len;
		return delta_decoder_decode(r->decoder, start, &r->conf.ref,
					    to);
	}
	if (!r->block_len || r->block_start != start) {
		r->block_len = 0;
		err = room(&r->block, &r->block_cap, len);
		if (!err)
			err = delta_decoder_decode(r->decoder, start,
						   &r->conf.ref, r->block);
		if (err)
			return err;
		r->block_start = start;
		r->block_len = len;
	}
	if (*n > start + len - skip)
		*n = (size_t)(start + len - skip);
	memcpy(to, r->block + (skip - start), *n);
	return 0;
}

int delta_reader_read(struct delta_reader *r, void *buf, size_t len,
		      uint64_t off)
{
	uint8_t *to = buf;

	if (off > delta_table_info(r->conf.table)->target_len ||
	    len > delta_table_info(r->conf.table)->target_len - off)
		return -ERANGE;
	while (len) {
		struct delta_extent e;
		uint64_t skip;
		size_t n = len;
		int err;

		err = delta_table_find(r->conf.table, off, &e);
		if (err)
			return err;
		skip = off - e.target_off;
		if (n > e.target_len - skip)
			n = (size_t)(e.target_len - skip);
		if (e.kind == DELTA_COPY)
			err = r->conf.ref.read(r->conf.ref.arg, to, n,
					       e.ref_off + skip);
		else
			err = read_window(r, &e, skip, to, &n);
		if (err)
			return err;
		to += n;
		off += n;
		len -= n;
	}
	return 0;
}
