#ifndef DELTA_BSDIFF_H
#define DELTA_BSDIFF_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/decode.h"
#include "delta/encode.h"

/*
 * Classic bsdiff patches ("BSDIFF40"), which bspatch(1) applies: a header and
 * three bzip2 streams.  The layout is in delta/BSDIFF.md.  They have no
 * windows: whoever wants a byte decodes all that is before it.
 */
#define BSDIFF_HEAD_LEN 32

/*
 * Most bytes of a file or a reference that bspatch takes: it reads and writes
 * each in one call, and this is what Linux does in one.
 */
#define BSDIFF_FILE_MAX ((uint64_t)0x7ffff000)

enum bsdiff_block { BSDIFF_CONTROL, BSDIFF_DIFF, BSDIFF_EXTRA, BSDIFF_BLOCKS };

/* The header, as numbers. */
struct bsdiff_head {
	uint64_t len[BSDIFF_BLOCKS]; /* compressed bytes, in this order */
	uint64_t target_len;
};

/*
 * Takes the next bytes of one block, in order.  The blocks grow side by side;
 * they are concatenated, behind the header, once they are complete.  0 or
 * -errno.
 */
typedef int bsdiff_write_fn(void *arg, enum bsdiff_block block,
			    const void *data, size_t len);

/*
 * Encodes a target that comes in pieces, in order.  Holds one chunk of it and
 * what bzip2 needs, about 30 MB together, however large the files are.
 */
struct bsdiff_encoder;

struct bsdiff_encoder_conf {
	const uint8_t *ref; /* the reference, borrowed */
	size_t ref_len;
	delta_index_fn
		*index; /* asked only if there is something to look for */
	void *index_arg;
	uint64_t max_len; /* bytes of patch past which it is given up */
	bsdiff_write_fn *write;
	void *write_arg;
};

MUST_CHECK int bsdiff_encoder_new(struct bsdiff_encoder **out,
				  const struct bsdiff_encoder_conf *conf);

/*
 * 0; -E2BIG: it came out larger than max_len; -ENOMEM, -EIO, or what `write`
 * or `index` returned.
 */
MUST_CHECK int bsdiff_encoder_feed(struct bsdiff_encoder *e, const void *data,
				   size_t len);

/*
 * Encode what is left and end the blocks; *out, set on success, says how long
 * they have become.  As bsdiff_encoder_feed().
 */
MUST_CHECK int bsdiff_encoder_finish(struct bsdiff_encoder *e,
				     struct bsdiff_head *out);
void bsdiff_encoder_free(struct bsdiff_encoder *e); /* NULL-safe */

void bsdiff_head_write(const struct bsdiff_head *head,
		       uint8_t out[BSDIFF_HEAD_LEN]);

/*
 * The whole patch of a target of `len` bytes that equals its reference,
 * appended to `out`: a few bytes a megabyte.  0, -ENOMEM or -EIO.
 */
MUST_CHECK int bsdiff_identity(uint64_t len, struct bytes *out);

/*
 * Parse the first bytes of a patch of `patch_len` bytes.  Untrusted.  What it
 * says of the target's length is for the caller to compare and to make room
 * for before bsdiff_decode().  0; -EBADMSG if it is no patch of that length.
 */
MUST_CHECK int bsdiff_head_parse(struct bsdiff_head *out,
				 const uint8_t data[BSDIFF_HEAD_LEN],
				 uint64_t patch_len);

struct bsdiff_source {
	const struct bsdiff_head *head; /* borrowed */
	delta_read_fn *read; /* any bytes of the patch */
	void *read_arg;
	struct delta_ref ref;
};

/*
 * Give the whole target to `write`, in order.  The patch is untrusted: `write`
 * gets head->target_len bytes at most, the reference is asked only for what it
 * has, memory is about 12 MB and time in proportion to target and patch,
 * whatever it holds.  It names no digest: 0 means a well-formed patch whose
 * bzip2 checksums hold, not the right reference, which is the caller's to know.
 *
 * 0; -EBADMSG; -ENOMEM; or what a callback returned.
 */
MUST_CHECK int bsdiff_decode(const struct bsdiff_source *src,
			     delta_write_fn *write, void *write_arg);

#endif
