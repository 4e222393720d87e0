#ifndef TESTS_SUPPORT_MEMSTORE_H
#define TESTS_SUPPORT_MEMSTORE_H

#include "s3/store.h"

/*
 * A store in memory, for unit and volume tests, which fails when it is told
 * to.  All conditions hold (caps() says so) unless memstore_set_caps() says
 * otherwise; those that do not are ignored, as servers do.
 */
MUST_CHECK int memstore_new(struct store **out);
void memstore_set_caps(struct store *s, const struct store_caps *caps);

/* A put answers without an ETag from now on, as some servers do. */
void memstore_hide_etag(struct store *s, int hide);

/*
 * The next `times` puts are stored with a bit flipped, and found out: -EIO, with
 * the ETag that the damaged object has.
 */
void memstore_damage(struct store *s, unsigned times);

enum memstore_op {
	MEMSTORE_HEAD,
	MEMSTORE_GET,
	MEMSTORE_PUT,
	MEMSTORE_COPY,
	MEMSTORE_REMOVE,
	MEMSTORE_LIST,
	MEMSTORE_OPS
};

/*
 * Asked before each operation; what it returns, if not 0, is the operation's
 * result.  Called without a lock, so that it may call the store itself (to let
 * "another writer" act in between).  With `after`, called when the operation
 * has taken effect: the answer is lost.
 */
typedef int memstore_fault_fn(void *arg, enum memstore_op op, const char *key,
			      int after);
void memstore_on_op(struct store *s, memstore_fault_fn *fn, void *arg);

/* Flip one bit of what is kept under `key`, at byte `off`.  0 or -ENOENT. */
MUST_CHECK int memstore_flip(struct store *s, const char *key, uint64_t off);

uint64_t memstore_count(struct store *s,
			enum memstore_op op); /* calls so far */
int memstore_has(struct store *s, const char *key);

#endif
