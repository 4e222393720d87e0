#ifndef CACHE_PAGEFILE_H
#define CACHE_PAGEFILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cache/sealing.h"
#include "crypto/bytes.h"

struct aead_key;
struct budget;

#define PAGEFILE_PAGE SEALING_PAGE
#define PAGEFILE_MAX  ((uint64_t)1 << 43) /* plaintext bytes a file: 8 TiB */

/*
 * A file on local disk whose bytes are readable and writable at any offset
 * but which never holds plaintext: 64 KiB pages, each sealed by itself under
 * a key of the file, a fresh nonce for every write.  Layout: cache/FORMAT.md.
 * Any number of threads may read at once; whoever writes, truncates or closes
 * must be alone.
 *
 * A page that was never written, or was cut off and grown again, reads as
 * zeros and takes no space.
 */
struct pagefile;

/*
 * Create one, without a name, on the disk of `dirfd`.  Its key is derived from
 * `master` and dies with it.  Disk space is taken from `budget` before it is
 * used, and given back by truncation and closing; `budget` is borrowed until
 * then.  0 or -errno.
 */
MUST_CHECK int pagefile_create(struct pagefile **out, int dirfd,
			       const struct aead_key *master,
			       struct budget *budget);

/*
 * Like pread(2).  The number of bytes, which is short only at end of file; or
 * -errno, and -EBADMSG for a page that does not authenticate.
 */
MUST_CHECK ssize_t pagefile_pread(struct pagefile *f, void *buf, size_t len,
				  uint64_t off);

/*
 * Write all `len` bytes or fail; on error the range may hold the old bytes or
 * the new, and the length has not grown past what is readable.  0; -ENOSPC
 * from budget or disk, and then all that was written before is still there;
 * -EFBIG past PAGEFILE_MAX; -ENOMEM; -EBADMSG where a damaged page would have
 * to be changed in part; -EIO, which a page that was on its way to a broken
 * disk may not survive.
 */
MUST_CHECK int pagefile_pwrite(struct pagefile *f, const void *buf, size_t len,
			       uint64_t off);

/* 0; -EFBIG; -EBADMSG, -ENOMEM or -EIO, and then nothing has changed. */
MUST_CHECK int pagefile_truncate(struct pagefile *f, uint64_t len);

/*
 * Set disk aside for a range, so that writing to it does not fail for want of
 * it; the length stays.  0; -ENOSPC; -EFBIG; -ENOMEM.
 */
MUST_CHECK int pagefile_reserve(struct pagefile *f, uint64_t off, uint64_t len);

/*
 * Zeros in a range, of which what is past the end does not matter.  Whole pages
 * become holes, whose disk stays set aside until they are cut off.  0; -ENOSPC;
 * -ENOMEM; -EBADMSG; -EIO.
 */
MUST_CHECK int pagefile_zero(struct pagefile *f, uint64_t off, uint64_t len);

/*
 * The first offset from `off` on, which lies within the file, that is in a page
 * with data or, with `hole`, in one without; the length if there is none.
 */
uint64_t pagefile_seek(const struct pagefile *f, uint64_t off, int hole);

/*
 * Seal what is still in memory in the clear and free that memory: for a file
 * that will not be written for a while.  0; -ENOMEM or -EIO, and it stays.
 */
MUST_CHECK int pagefile_settle(struct pagefile *f);

/*
 * Bytes of budget that a file of `len` bytes, written without holes, needs.
 * What the file system needs for itself (ext4: a block to map a file that is
 * in many pieces) is not in it.
 */
uint64_t pagefile_cost(uint64_t len);
uint64_t pagefile_length(const struct pagefile *f); /* plaintext bytes */
uint64_t pagefile_disk(const struct pagefile *f); /* bytes held of the budget */
void pagefile_close(struct pagefile *f); /* NULL-safe */

#endif
