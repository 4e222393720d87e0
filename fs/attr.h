#ifndef FS_ATTR_H
#define FS_ATTR_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "crypto/bytes.h"

struct meta;
struct store_stat;

/* Those that may be taken from the mount's defaults. */
enum { ATTR_MODE = 1, ATTR_UID = 2, ATTR_GID = 4, ATTR_ALL = 7 };

/* POSIX attributes of an inode, as they are kept with the object. */
struct attr {
	mode_t mode; /* with the type bits */
	uid_t uid;
	gid_t gid;
	unsigned assumed; /* ATTR_...: not stored with the object */
	struct timespec atime, mtime, ctime;
	dev_t rdev; /* of a device */
};

/* What an object without attributes shows. */
struct attr_defaults {
	uid_t uid;
	gid_t gid;
	mode_t file_mode, dir_mode; /* permission bits */
};

/*
 * Read from metadata in the keys that s3fs and rclone use: mode, uid, gid in
 * decimal, mtime, atime, ctime as seconds with a fraction; and dg-rdev,
 * "MAJOR,MINOR" of a device.  What is missing or
 * malformed comes from `d` and from the object's own time.  `directory` says
 * what a mode without type bits stands for.
 */
void attr_read(struct attr *out, const struct store_stat *st,
	       const struct attr_defaults *d, int directory);

/* Take what is assumed from `d`, as attr_read() does. */
void attr_assume(struct attr *a, const struct attr_defaults *d, int directory);

/* Set these keys.  0 or -ENOSPC. */
MUST_CHECK int attr_write(const struct attr *a, struct meta *m);

struct timespec attr_now(void);
int attr_time_equal(const struct timespec *a, const struct timespec *b);

#endif
