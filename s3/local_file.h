#ifndef S3_LOCAL_FILE_H
#define S3_LOCAL_FILE_H

#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * One object's file: a header page that says what it is, and its bytes behind
 * it.  The format is in LOCAL.md.
 */
#define LOCAL_BODY_OFF 8192 /* where the object's bytes start in the file */

/* Write the header of `key`.  0, -EINVAL if something does not fit, -errno. */
MUST_CHECK int local_file_describe(int fd, const char *key,
				   const struct store_stat *st);

/*
 * Read and check it: 0; -EIO if this is no intact file of ours, or of another
 * key; -ENOTSUP if it is a newer one; -errno.
 */
MUST_CHECK int local_file_stat(int fd, const char *key, struct store_stat *out);

/* Exactly `len` bytes at `off` of the file: 0, -EIO if it is shorter, -errno. */
MUST_CHECK int local_file_read(int fd, void *buf, size_t len, uint64_t off);
MUST_CHECK int local_file_write(int fd, const void *buf, size_t len,
				uint64_t off);

/* The object's bytes from one file to the other.  0, -EINTR, -errno. */
MUST_CHECK int local_file_copy(int to, int from, uint64_t len,
			       const struct store_call *call);

/* The same from a source. */
MUST_CHECK int local_file_fill(int to, const struct store_source *src,
			       const struct store_call *call);

#endif
