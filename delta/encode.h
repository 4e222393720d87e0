#ifndef DELTA_ENCODE_H
#define DELTA_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/container.h"

struct delta_index;

/* Takes the next bytes of the object, in order.  0 or -errno. */
typedef int delta_write_fn(void *arg, const void *data, size_t len);

/*
 * Encodes a target that comes in pieces, in order, into a container.  Holds
 * one chunk of it (DELTA_WINDOW_MAX) and one window; the rest has gone to
 * `write`.  Deterministic: the object depends on target, reference and
 * ref_key only, not on how the target was cut into calls.
 */
struct delta_encoder;

struct delta_encoder_conf {
	const struct delta_index *ix; /* borrowed */
	uint64_t max_len; /* bytes of object past which it is given up */
	delta_write_fn *write;
	void *write_arg;
};

/* Also writes the container's first line.  0, -ENOMEM, or from `write`. */
MUST_CHECK int delta_encoder_new(struct delta_encoder **out,
				 const struct delta_encoder_conf *conf,
				 const uint8_t ref_digest[DIGEST_LEN]);

/* 0; -E2BIG: it came out larger than max_len; -ENOMEM, -EIO, or `write`'s. */
MUST_CHECK int delta_encoder_feed(struct delta_encoder *e, const void *data,
				  size_t len);

/*
 * Encode what is left, write table and description.  info->target_len must be
 * what was fed.  As delta_encoder_feed(); *object_len is set on success.
 */
MUST_CHECK int delta_encoder_finish(struct delta_encoder *e,
				    const struct delta_info *info,
				    uint64_t *object_len);
void delta_encoder_free(struct delta_encoder *e); /* NULL-safe */

/* The container of a target that equals its reference.  0 or -ENOMEM. */
MUST_CHECK int delta_identity(const struct delta_info *info, struct bytes *out);

#endif
