/*
 * Arbitrary bytes as one window, so that neither table nor offsets stop them.
 *
 *	2 bytes: length of the reference | 3 bytes: of the target | window
 *
 * The reference is made up.  A checksum that fails at the end is no matter:
 * by then everything was decoded.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "delta/decode.h"
#include "tests/support/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Calls, tables and noise: what fields are made of. */
static struct bytes make_ref(size_t len)
{
	struct bytes ref = { malloc(len ? len : 1), len, len };
	uint32_t x = 1;

	if (!ref.data)
		abort();
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		ref.data[i] = i % 8 == 3 ? 0xe8 : (uint8_t)(x >> 24);
	}
	return ref;
}

static void decode(struct delta_decoder *d, uint64_t off,
		   const struct delta_ref *ref, uint64_t *next)
{
	uint64_t start;
	uint8_t *out;
	size_t len;
	int err;

	if (delta_decoder_block(d, off, &start, &len))
		abort();
	if (start != off || !len)
		abort();
	out = malloc(len);
	if (!out)
		abort();
	err = delta_decoder_decode(d, start, ref, out);
	if (err && err != -EBADMSG)
		abort();
	free(out);
	*next = start + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct delta_extent e = { .kind = DELTA_WINDOW };
	struct delta_decoder *d;
	struct delta_ref ref;
	struct bytes from;
	uint8_t *enc;

	if (size < 6)
		return 0;
	from = make_ref((size_t)data[0] | (size_t)data[1] << 8);
	ref = (struct delta_ref){ from.len, codec_read, &from };
	e.target_len = (uint64_t)data[2] | (uint64_t)data[3] << 8 |
		       (uint64_t)data[4] << 16;
	e.len = (uint32_t)(size - 5);
	enc = malloc(e.len);
	if (!enc || delta_decoder_new(&d))
		abort();
	memcpy(enc, data + 5, e.len);
	if (!delta_decoder_load(d, &e, enc, &ref)) {
		uint64_t last = 0;

		for (uint64_t at = 0; at < e.target_len;) {
			last = at;
			decode(d, at, &ref, &at);
		}
		/* In any order. */
		decode(d, last, &ref, &last);
		decode(d, 0, &ref, &last);
	}
	delta_decoder_free(d);
	free(enc);
	free(from.data);
	return 0;
}
