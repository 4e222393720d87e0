#ifndef DELTA_WINDOW_H
#define DELTA_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/container.h"

/*
 * One window: the payload of an extent that is not DELTA_COPY.  A
 * DELTA_BSDIFF payload is six streams, kept apart because each compresses
 * better among its own kind.
 */
enum window_stream {
	WINDOW_COPY_LEN, /* varint an operation */
	WINDOW_LIT_LEN, /* varint an operation */
	WINDOW_SEEK, /* zigzag varint an operation */
	WINDOW_GAP, /* varint a difference: equal copied bytes before it */
	WINDOW_VALUE, /* byte a difference: target minus reference */
	WINDOW_LITERAL, /* bytes that no copy gives */
	WINDOW_STREAMS
};

/* Bytes that all streams of a window may have together, uncompressed. */
#define WINDOW_RAW_MAX(target_len) (2 * (size_t)(target_len) + 4096)

/* A window under construction.  Zero-initialised it is empty. */
struct window {
	struct bytes stream[WINDOW_STREAMS];
	uint64_t ref_pos; /* where the last copy ended */
	uint64_t gap; /* equal copied bytes since the last difference */
	uint64_t lit_len; /* literals since the last copy */
	int open; /* an operation whose literal length is not written */
	size_t target_len;
};

struct window_coder; /* zstd's state, to be used by one thread at a time */

MUST_CHECK int window_coder_new(struct window_coder **out);
void window_coder_free(struct window_coder *c); /* NULL-safe */

/* Add `len` target bytes `t` that stand, nearly, at `ref` + `off`. */
MUST_CHECK int window_copy(struct window *w, const uint8_t *t,
			   const uint8_t *ref, uint64_t off, size_t len);
MUST_CHECK int window_literal(struct window *w, const uint8_t *t, size_t len);

/* About how many bytes it would be before compression. */
size_t window_weight(const struct window *w);

/*
 * Append the smallest encoding of the window, whose target bytes are `t`, to
 * `out`; set kind, len and check of `e`; leave `w` empty for the next one.
 * 0, -ENOMEM, or -EIO if zstd fails.
 */
MUST_CHECK int window_encode(struct window_coder *c, struct window *w,
			     const uint8_t *t, struct bytes *out,
			     struct delta_extent *e);
void window_clear(struct window *w);

#endif
