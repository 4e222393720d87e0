#ifndef S3_LOCAL_H
#define S3_LOCAL_H

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * A bucket in a local directory, for trying things out and for tests: one file
 * an object, replaced by rename(2) after fsync(2), with all conditions of
 * struct store_caps.  Layout: s3/LOCAL.md.  Several processes may share one.
 *
 * `dir` is made if it is missing (its parent must exist).  A process that is
 * stopped with the lock of it is waited for no longer than `timeout_s`.
 * 0, -errno with `error`.
 */
MUST_CHECK int local_new(struct store **out, const char *dir,
			 unsigned timeout_s, struct store_error *error);

#endif
