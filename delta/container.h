#ifndef DELTA_CONTAINER_H
#define DELTA_CONTAINER_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"

/*
 * The object that holds a delta: a line of text, windows, table, description,
 * trailer.  The layout is delta/FORMAT.md; this file is its only reader and
 * writer.  What says where things are comes last, so that windows are written
 * as they are encoded.
 */
#define DELTA_KEY_MAX 1024 /* bytes of a reference's key */
#define DELTA_WINDOW_MAX \
	((uint64_t)64 << 20) /* most target bytes in a window */
#define DELTA_VERSION 1

struct delta_info {
	uint64_t target_len; /* bytes */
	uint64_t ref_len; /* bytes */
	uint8_t target_digest[DIGEST_LEN]; /* SHA-256 of the whole target */
	uint8_t ref_digest[DIGEST_LEN]; /* SHA-256 of the whole reference */
	char ref_key[DELTA_KEY_MAX + 1]; /* its full key in the bucket */
};

enum delta_kind {
	DELTA_COPY, /* bytes of the reference as they are; nothing stored */
	DELTA_WINDOW, /* copies with differences, and literals */
	DELTA_KINDS
};

/* A stretch of the target and what it is made of. */
struct delta_extent {
	enum delta_kind kind;
	uint64_t target_off; /* bytes from the target's start */
	uint64_t target_len; /* at most DELTA_WINDOW_MAX unless DELTA_COPY */
	uint64_t ref_off; /* DELTA_COPY only */
	uint64_t off; /* bytes from the object's start; not DELTA_COPY */
	uint32_t len; /* encoded bytes; not DELTA_COPY */
};

/* The line every container starts with. */
#define DELTA_MAGIC "DeltaGlider delta 1, "
MUST_CHECK int delta_head_write(const uint8_t ref_digest[DIGEST_LEN],
				struct bytes *out);

/* Collects extents in the order of the target, merging copies that go on. */
struct delta_table_writer {
	struct bytes raw;
	uint64_t extents;
	uint64_t ref_next; /* where the last copy ended */
	struct delta_extent copy; /* not yet written; target_len 0: none */
};

/* `e`'s target_off and off follow from the extents before it.  0 or -ENOMEM. */
MUST_CHECK int delta_table_add(struct delta_table_writer *w,
			       const struct delta_extent *e);

/*
 * Append what follows the last window, which ended at `off` in the object: the
 * table, the description, the trailer.  0, -ENOMEM, -EFBIG (table past its
 * limit) or -EINVAL (key too long); `out` is undefined on error.
 */
MUST_CHECK int delta_table_finish(struct delta_table_writer *w,
				  const struct delta_info *info, uint64_t off,
				  struct bytes *out);
void delta_table_writer_clear(struct delta_table_writer *w);

struct delta_table; /* opaque, immutable */

/* How many bytes at an object's end almost always hold the whole table. */
#define DELTA_TAIL_HINT ((size_t)64 << 10)

/*
 * Parse the object's last `len` bytes.  Untrusted input.
 *
 * 0 and a table for delta_table_free(); -EAGAIN with *need set to the tail
 * length to fetch instead; -EBADMSG; -ENOTSUP for a newer version; -ENOMEM.
 */
MUST_CHECK int delta_table_parse(struct delta_table **out, const uint8_t *tail,
				 size_t len, uint64_t object_len, size_t *need);
const struct delta_info *delta_table_info(const struct delta_table *t);

/* The extent that covers target offset `off`.  0, or -ERANGE past the end. */
MUST_CHECK int delta_table_find(const struct delta_table *t, uint64_t off,
				struct delta_extent *out);
void delta_table_free(struct delta_table *t); /* NULL-safe */

#endif
