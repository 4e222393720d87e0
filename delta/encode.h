#ifndef DELTA_ENCODE_H
#define DELTA_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/container.h"
#include "delta/match.h"

/* Takes the next bytes of the object, in order.  0 or -errno. */
typedef int delta_write_fn(void *arg, const void *data, size_t len);

/* How much time to spend on size; measured in delta/FORMAT.md, "Why". */
enum delta_level { DELTA_FAST, DELTA_DEFAULT, DELTA_BEST };

/*
 * Lets several windows be packed at once, beside the matching, which takes
 * about three quarters of the time and stays in the caller's thread.  The encoder knows no threads: it
 * starts tasks and waits for them, each once and in the order of their start.
 */
struct delta_tasks {
	unsigned width; /* tasks under way at once, up to 16 */
	/*
	 * Run fn(task) at any time until wait, for which is what it returns;
	 * NULL if it has run already.
	 */
	void *(*start)(void *arg, void (*fn)(void *task), void *task);
	void (*wait)(void *arg, void *started);
	void *arg;
};

struct delta_encoder_conf {
	const uint8_t *ref; /* the reference, borrowed */
	size_t ref_len;
	delta_index_fn
		*index; /* asked only if there is something to look for */
	void *index_arg;
	enum delta_level level;
	uint64_t max_len; /* bytes of object past which it is given up */
	delta_write_fn *write;
	void *write_arg;
	const struct delta_tasks
		*tasks; /* borrowed; NULL: one thread does all */
};

/*
 * Encodes a target that comes in pieces, in order, into a container.  Holds
 * one chunk of it (4 MiB) and the windows under way, one more than tasks->width,
 * with what zstd needs for each: measured at a width of 2, 11 to 47 MiB, 80 MiB
 * where the target is compressed already, 250 MiB at DELTA_BEST.  The rest has
 * gone to `write`.  Deterministic: the object depends on target, reference, ref_key,
 * level and the index's density only, not on how the target was cut into calls,
 * nor on tasks.
 */
struct delta_encoder;

/* Also writes the container's first line.  0, -ENOMEM, or from `write`. */
MUST_CHECK int delta_encoder_new(struct delta_encoder **out,
				 const struct delta_encoder_conf *conf,
				 const uint8_t ref_digest[DIGEST_LEN]);

/*
 * 0; -E2BIG: it came out larger than max_len; -ENOMEM, -EIO, or what `write`
 * or `index` returned.
 */
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
