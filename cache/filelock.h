#ifndef CACHE_FILELOCK_H
#define CACHE_FILELOCK_H

#include "crypto/bytes.h"

/*
 * Locks of flock(2): they belong to an open file, so two in one process
 * exclude each other, and they go with the process however it ends.
 */

/* LOCK_SH or LOCK_EX now.  0; -EWOULDBLOCK; -errno. */
MUST_CHECK int filelock_try(int fd, int how);

/*
 * The same, waiting: for what others hold for a moment only.  One that is
 * stopped may hold it for ever, so not longer than ten seconds: -EBUSY.
 */
MUST_CHECK int filelock_wait(int fd, int how);

/*
 * LOCK_EX as filelock_wait(), for a lock that many want again and again: who
 * has just had it waits for his turn behind the one who waits now, or he would
 * have it back before the other looks.
 *
 * `*stuck` is the caller's memory, 0 to begin with: once it was waited for in
 * vain it is only tried, without waiting, until nobody is in the way again.
 * 0; -EBUSY; -errno.
 */
MUST_CHECK int filelock_take_turn(int fd, int *stuck);

/* A wait that gets longer, from 1/4 ms to 50 ms: zero `*step_ns` to begin. */
void filelock_pause(long *step_ns);

#endif
