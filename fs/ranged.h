#ifndef FS_RANGED_H
#define FS_RANGED_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * Reads one version of an object by ranges, asking for more than is wanted as
 * long as the reader goes straight on.  For one thread at a time.
 */
struct ranged;

/* 0 if the bytes from `off` (a multiple of the block size) are right, or -EBADMSG. */
typedef int ranged_check_fn(void *arg, const uint8_t *data, size_t len,
			    uint64_t off);

struct ranged_conf {
	struct store *store; /* borrowed */
	const char *key; /* borrowed */
	const char *etag; /* borrowed; "" for any version */
	uint64_t len; /* bytes of the object */
	size_t block; /* every range fetched starts and ends at multiples */
	ranged_check_fn *check; /* or NULL */
	void *check_arg;
	int *etag_is_md5; /* as in struct store_stat, of each answer; or NULL */
};

MUST_CHECK int ranged_new(struct ranged **out, const struct ranged_conf *conf);
void ranged_free(struct ranged *r); /* NULL-safe */

/*
 * Exactly `len` bytes at `off`.  0; -EBADMSG if the check failed twice; or the
 * store's error.  `call`: its if_match is not looked at.
 */
MUST_CHECK int ranged_read(struct ranged *r, const struct store_call *call,
			   void *buf, size_t len, uint64_t off);

#endif
