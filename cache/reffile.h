#ifndef CACHE_REFFILE_H
#define CACHE_REFFILE_H

#include <stddef.h>
#include <stdint.h>

#include "cache/cachekey.h"
#include "cache/medium.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"

/*
 * One reference, sealed: written once, from its first byte to its last, then
 * read anywhere.  It says itself, sealed, which content it holds, so that it
 * can be kept for another process and another day.  Layout: cache/FORMAT.md.
 *
 * One thread writes; any number read at once after reffile_finish().
 */
struct reffile;

/* Bytes that the reference of `len` bytes takes on its medium. */
uint64_t reffile_size(uint64_t len);

/*
 * A new one; the medium is taken over, unless it fails.  0, -ENOMEM, -EIO.
 */
MUST_CHECK int reffile_new(struct reffile **out, const struct medium *m,
			   const struct cachekey *key,
			   const uint8_t digest[DIGEST_LEN], uint64_t len);

/* The next bytes.  0; -EBADMSG past its length; -ENOSPC; -ENOMEM; -EIO. */
MUST_CHECK int reffile_append(struct reffile *f, const void *data, size_t len);

/*
 * All bytes have come, which were checked against the digest by the caller:
 * from here on it can be opened.  0; -EBADMSG if some are missing; as above.
 */
MUST_CHECK int reffile_finish(struct reffile *f);

/*
 * One that was finished, perhaps by another process; the medium is taken over,
 * unless it fails.  0; -EKEYREJECTED: it was sealed under another key;
 * -EBADMSG: it is damaged, forged, or none at all; -ENOMEM; -EIO.
 */
MUST_CHECK int reffile_open(struct reffile **out, const struct medium *m,
			    const struct cachekey *key);

const uint8_t *reffile_digest(const struct reffile *f); /* borrowed */
uint64_t reffile_length(const struct reffile *f); /* of the reference */
int reffile_fd(const struct reffile *f); /* of its medium; -1: in memory */

/* Is it sealed under this key? */
int reffile_is_under(const struct reffile *f, const struct cachekey *key);

/*
 * Exactly `len` bytes at `off` of what was appended and, before it is
 * finished, fills whole pages.  0; -ERANGE; -EBADMSG for a page that is
 * damaged; -ENOMEM; -EIO.
 */
MUST_CHECK int reffile_read(struct reffile *f, void *buf, size_t len,
			    uint64_t off);

void reffile_close(struct reffile *f); /* NULL-safe */

#endif
