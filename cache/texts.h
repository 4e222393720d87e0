#ifndef CACHE_TEXTS_H
#define CACHE_TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"

struct delta_index;

/*
 * References in the clear, in memory (mapped, out of core dumps), with the
 * encoder's index of each: for as long as someone encodes against one, and a
 * little longer, so that the next file of a series finds it ready.  Text and
 * index are within one budget, which is taken from first.  Thread-safe.
 */
struct texts;
struct text; /* one, held */

/* `max` bytes in all; `idle_max` of them for those that nobody holds. */
MUST_CHECK int texts_open(struct texts **out, uint64_t max, uint64_t idle_max);
void texts_close(struct texts *t); /* none may be held; NULL-safe */

/* Fills the `len` bytes of a text.  0 or -errno. */
typedef int text_load_fn(void *arg, uint8_t *dst, uint64_t len);

/*
 * Hold the text of this digest and length, from memory or `load`, which is
 * called once for all who wait.  Room for its index is taken too.
 * 0; -ENOMEM if the budget has no room even after what is idle was dropped;
 * or what `load` returned.
 */
MUST_CHECK int texts_get(struct texts *t, const uint8_t digest[DIGEST_LEN],
			 uint64_t len, text_load_fn *load, void *arg,
			 struct text **out);

/* Hold it only if it is in memory.  0 or -ENOENT. */
MUST_CHECK int texts_find(struct texts *t, const uint8_t digest[DIGEST_LEN],
			  uint64_t len, struct text **out);
void text_put(struct texts *t, struct text *x); /* NULL-safe */

const uint8_t *text_bytes(const struct text *x);

/*
 * Its index, built at the first call, shared, and kept with it; a sparser one
 * where the budget is too small for all of it.  0 or -ENOMEM.
 */
MUST_CHECK int text_index(struct texts *t, struct text *x,
			  const struct delta_index **out);

/* Drop what nobody holds, now; with texts_clear() the rest when it is put. */
void texts_drop_idle(struct texts *t);
void texts_clear(struct texts *t);
void texts_set_limit(struct texts *t, uint64_t max, uint64_t idle_max);

/* Bytes of the same budget for something else.  0 or -ENOMEM. */
MUST_CHECK int texts_take(struct texts *t, uint64_t n);
void texts_give(struct texts *t, uint64_t n);

struct texts_stats {
	uint64_t bytes, limit;
};
void texts_stats(struct texts *t, struct texts_stats *out);

#endif
