#ifndef TESTS_SUPPORT_MEMSTORE_OBJECTS_H
#define TESTS_SUPPORT_MEMSTORE_OBJECTS_H

#include "s3/store.h"

/* What the store in memory keeps: the objects, sorted.  No locks. */
struct object {
	char *key;
	uint8_t *data; /* st.len bytes */
	struct store_stat st;
};

struct objects {
	struct object **list; /* in the order of their keys' bytes */
	size_t count, cap;
	uint64_t writes; /* so far: no ETag is ever given twice */
};

/* One with a copy of the key and room for its bytes.  0, -EFBIG, -ENOMEM. */
MUST_CHECK int object_new(struct object **out, const char *key, uint64_t len);
void object_describe(struct object *o, const struct store_head *head);
void object_free(struct object *o); /* NULL-safe */

/* Where `key` is or would be. */
size_t objects_position(const struct objects *t, const char *key, int *found);

/* NULL if there is none. */
struct object *objects_find(const struct objects *t, const char *key);

/*
 * Take `o` over, with a new ETag and time, in place of one of the same key.
 * 0; -ENOMEM, and it is still the caller's.
 */
MUST_CHECK int objects_insert(struct objects *t, struct object *o);

/* Take the one at `i` out; it is the caller's. */
struct object *objects_take(struct objects *t, size_t i);
void objects_clear(struct objects *t);

#endif
