#ifndef FS_ETAG_CHECK_H
#define FS_ETAG_CHECK_H

#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Other programs' objects carry no digest of ours, but most have an ETag that
 * is the MD5 of their bytes.  Not all that looks like one is: what a server
 * encrypts with keys of its own may have any.
 */
struct etag_check;

/* Does it look like an MD5? */
int etag_is_md5(const char *etag);

/*
 * For an object of `len` bytes.  0; -ENOTSUP if the ETag does not look like
 * one; -ENOMEM.
 */
MUST_CHECK int etag_check_new(struct etag_check **out, const char *etag,
			      uint64_t len);
void etag_check_free(struct etag_check *c); /* NULL-safe */

/*
 * All of its bytes at once.  0; -EBADMSG if they do not match; but unless
 * `is_md5`, bytes that come twice the same are as they were stored, and the
 * ETag is another thing.
 */
MUST_CHECK int etag_check_whole(struct etag_check *c, const uint8_t *data,
				size_t len, int is_md5);

/*
 * The same of bytes that come in order, from the first to the last, for an ETag
 * that is known to be an MD5: looked at with the last.  Who leaves some out
 * hears nothing.  -EBADMSG from then on.
 */
MUST_CHECK int etag_check_next(struct etag_check *c, const uint8_t *data,
			       size_t len, uint64_t off);

#endif
