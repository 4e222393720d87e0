#ifndef FS_CONTENT_H
#define FS_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/store.h"

struct fetch;
struct inode;
struct request;

/*
 * A file's bytes, wherever they are.  What the bucket has is read as the
 * version that the inode stands for: through its changes of form, never
 * through its changes of content.
 */
struct content { /* one reader's; zero-initialise; not for two threads at once */
	struct fetch *fetch;
	char etag[STORE_ETAG_MAX];
};

struct span {
	void *buf;
	size_t len;
	uint64_t off;
};

/* Exactly span.len bytes of the bucket's version.  0, -ESTALE, -EIO, ... */
MUST_CHECK int content_read(struct content *c, struct inode *i,
			    const struct request *rq, struct span span);
void content_clear(struct content *c);

/* The first `len` bytes in the spool, if there is none yet; inode.commit held. */
MUST_CHECK int inode_spool_upto(struct inode *i, const struct request *rq,
				uint64_t len);

/* Set the size; what grows is zeros.  inode.commit held. */
MUST_CHECK int inode_resize(struct inode *i, const struct request *rq,
			    uint64_t len);

/* The spool was written: inode.data is held for writing. */
void inode_touched(struct inode *i, uint64_t size);

/*
 * Make `to`, which is new and empty, a copy of the whole of `from`, on the
 * server and durable, if that is of `len` bytes at most.  The number of bytes;
 * 0: it cannot be done so, and nothing was.
 */
MUST_CHECK int64_t inode_clone(struct inode *from, struct inode *to,
			       uint64_t len);

#endif
