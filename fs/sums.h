#ifndef FS_SUMS_H
#define FS_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"

/*
 * Block digests: what lets a range of a large plain file be checked without
 * the rest.  A table under .dg/sums/<sha256 of the content>: "DGSUMS1\n", the
 * block size in bytes and the number of blocks (32 and 64 bits, little-endian,
 * with 4 zero bytes between them), then one SHA-256 for each block.
 */
#define SUMS_MIN ((uint64_t)4 << 20) /* smaller files are checked whole */

struct sums {
	size_t block; /* bytes */
	uint64_t len; /* of the content */
	struct bytes table; /* as it is stored */
};

struct sums_maker; /* a table being made of bytes that come in order */

MUST_CHECK int sums_maker_new(struct sums_maker **out, uint64_t len);
void sums_maker_free(struct sums_maker *m); /* NULL-safe */
MUST_CHECK int sums_maker_feed(struct sums_maker *m, const void *data,
			       size_t len);
/* The table, appended to `out`.  -EINVAL if not `len` bytes were fed. */
MUST_CHECK int sums_maker_finish(struct sums_maker *m, struct bytes *out);

/* How long the table of `len` bytes is. */
uint64_t sums_table_len(uint64_t len);

/*
 * Take over a stored table, which must be of `len` bytes of content and have
 * this digest.  0, -EBADMSG; `table` is emptied on success.
 */
MUST_CHECK int sums_parse(struct sums *out, struct bytes *table, uint64_t len,
			  const uint8_t digest[DIGEST_LEN]);

/* Whole blocks (the last may be short) from `off`.  0 or -EBADMSG. */
MUST_CHECK int sums_check(const struct sums *s, const uint8_t *data, size_t len,
			  uint64_t off);
void sums_clear(struct sums *s);

#endif
