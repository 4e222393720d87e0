#ifndef DELTA_DECODE_H
#define DELTA_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/container.h"

/* Exactly `len` bytes of something at `off`.  0 or -errno. */
typedef int delta_read_fn(void *arg, void *buf, size_t len, uint64_t off);

/* The reference as its decoder sees it. */
struct delta_ref {
	uint64_t len; /* bytes */
	delta_read_fn *read;
	void *arg;
};

/*
 * Holds one window, and its unpacked streams, at a time.  To be used by one
 * thread at a time.  Memory: at most WINDOW_RAW_MAX and twice the table of a
 * window's blocks, whatever is loaded; and a prefix of WINDOW_PREFIX_MAX.
 */
struct delta_decoder;

MUST_CHECK int delta_decoder_new(struct delta_decoder **out);
void delta_decoder_free(struct delta_decoder *d); /* NULL-safe */

/*
 * Load the window `e`, whose e->len encoded bytes `enc` are borrowed until the
 * next load.  `enc` is untrusted: whatever it holds, the reference is asked only
 * for what lies below ref->len.
 *
 * 0; -EBADMSG if it is no window of e->target_len bytes; -ENOMEM; or what
 * `ref->read` returned.  On error nothing is loaded.
 */
MUST_CHECK int delta_decoder_load(struct delta_decoder *d,
				  const struct delta_extent *e,
				  const uint8_t *enc,
				  const struct delta_ref *ref);

/*
 * Of the window loaded: the block that covers its target byte `off`, as where
 * it starts in the window and how many bytes it has.  0, or -ERANGE.
 */
MUST_CHECK int delta_decoder_block(const struct delta_decoder *d, uint64_t off,
				   uint64_t *start, size_t *len);

/*
 * Decode the block that starts at `start`, all of it, to `out`; nothing is
 * written behind it.  0; -EBADMSG if it is not an encoding of exactly these
 * bytes or their checksum differs; or what `ref->read` returned.
 */
MUST_CHECK int delta_decoder_decode(struct delta_decoder *d, uint64_t start,
				    const struct delta_ref *ref, uint8_t *out);

#endif
