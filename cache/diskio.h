#ifndef CACHE_DISKIO_H
#define CACHE_DISKIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "crypto/bytes.h"

/* pread(2) until all is there: short only at end of file.  Or -errno. */
MUST_CHECK ssize_t diskio_read(int fd, void *buf, size_t len, uint64_t off);

/* pwrite(2) until all is written.  0 or -errno. */
MUST_CHECK int diskio_write(int fd, const void *buf, size_t len, uint64_t off);

/*
 * Have the file system set aside room for `len` bytes at `off`, which lie in
 * a hole or behind the end, so that no later write there finds the disk full.
 * 0; -ENOSPC; -errno.
 */
MUST_CHECK int diskio_reserve(int fd, uint64_t off, uint64_t len);

/* Cut off what lies behind `len`.  0 or -errno. */
MUST_CHECK int diskio_truncate(int fd, uint64_t len);

/* An open file that has no name under `dirfd`.  The descriptor or -errno. */
MUST_CHECK int diskio_nameless(int dirfd);

#endif
