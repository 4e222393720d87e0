#ifndef DELTA_READER_H
#define DELTA_READER_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/container.h"
#include "delta/decode.h"

/*
 * The target's bytes at any offset, out of a table, the windows and the
 * reference, which it asks for.  Keeps the window and block it had last, so that a
 * sequential reader decodes each once.  For one thread at a time.
 */
struct delta_reader;

struct delta_reader_conf {
	const struct delta_table *table; /* borrowed */
	struct delta_ref ref;
	delta_read_fn *read_object; /* encoded bytes of the container */
	void *object_arg;
};

MUST_CHECK int delta_reader_new(struct delta_reader **out,
				const struct delta_reader_conf *conf);
void delta_reader_free(struct delta_reader *r); /* NULL-safe */

/*
 * Exactly `len` bytes at `off`.  0; -ERANGE past the target's end; -EBADMSG for
 * a damaged window; -ENOMEM; or what the two read functions returned.
 */
MUST_CHECK int delta_reader_read(struct delta_reader *r, void *buf, size_t len,
				 uint64_t off);

#endif
