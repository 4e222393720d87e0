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

struct delta_decoder; /* scratch space, to be used by one thread at a time */

MUST_CHECK int delta_decoder_new(struct delta_decoder **out);
void delta_decoder_free(struct delta_decoder *d); /* NULL-safe */

/*
 * Decode the window `e`, whose e->len encoded bytes are `enc`, to the
 * e->target_len bytes at `out`.  `enc` is untrusted: whatever it holds, the
 * reference is asked only for what lies below ref->len, and nothing is written
 * outside `out`.  Memory: at most WINDOW_RAW_MAX(e->target_len).
 *
 * 0; -EBADMSG if it is not an encoding of exactly these bytes or their
 * checksum differs; -ENOMEM; or what `ref->read` returned.
 */
MUST_CHECK int delta_decode(struct delta_decoder *d,
			    const struct delta_extent *e, const uint8_t *enc,
			    const struct delta_ref *ref, uint8_t *out);

#endif
