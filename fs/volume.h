#ifndef FS_VOLUME_H
#define FS_VOLUME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "crypto/bytes.h"
#include "delta/encode.h"
#include "fs/attr.h"
#include "fs/object.h"
#include "fs/stats.h"
#include "s3/store.h"

struct aead_key;
struct budget;
struct dirstream;
struct handle;
struct inode;
struct refs;

/*
 * The file system without FUSE: inodes and names in, bytes out, 0 or -errno.
 * Tests call it directly; fs/ops.c does little but forward to it.
 *
 * Locks, always taken in this order, none but the first three ever held
 * across the network:
 *	inode.commit	(mutex) one commit, copy-up or rename of a file at a time
 *	the tree	(fs/tree.h) who changes what keys hold, against the rename
 *			of a directory above them
 *	inode.data	(rwlock) a file's unsaved bytes: a commit holds it for
 *			reading, across the network, so that reads go on and
 *			writers wait for a whole upload
 *	volume.lock	(mutex) names, the table of inodes, who holds them; short
 *	inode.lock	(mutex) a file's attributes and version; short, so that
 *			stat(2) never waits for an upload
 *	volume.wholes_lock (mutex) which decoded files are shared; short
 *	defer.lock	(mutex) whose attributes wait; short
 *	(inside refs)	the cache's own
 */
struct volume;

struct volume_conf {
	struct store *store; /* borrowed */
	struct refs *refs; /* borrowed */
	int spool_dirfd; /* borrowed: where unsaved bytes go */
	const struct aead_key *key; /* borrowed: seals them */
	struct budget *spool; /* borrowed: bounds them */
	const char *prefix; /* of all keys; "" or ends in '/'; copied */
	struct attr_defaults defaults;
	double max_ratio; /* keep a delta of at most this part of the file */
	int delta; /* 0: store everything plain */
	enum codec codec; /* of the deltas that are written */
	enum delta_level level;
	int exclusive; /* nobody else writes to the bucket */
	int last_wins; /* a commit replaces what others have stored meanwhile */
	int read_only;
	int hints; /* write them: see fs/hints.h */
	unsigned encoders; /* most files encoded at once */
	uint64_t attr_timeout_ms;
	uint64_t attr_delay_ms; /* new attributes of what is stored may wait so
				 * long; 0: they are sent at once */
	uint64_t entry_timeout_ms; /* of names; what is above the other counts
				    * as that */
};

MUST_CHECK int volume_new(struct volume **out, const struct volume_conf *conf);

/*
 * Called when an inode that nobody holds open has become another version, with
 * locks held: whoever has kept its bytes or its size is to forget them before
 * this returns, for the next who opens it gets the new version.  NULL: nobody
 * has.  Not while requests are under way.
 */
typedef void volume_replaced_fn(void *arg, struct inode *i);
void volume_on_replaced(struct volume *v, volume_replaced_fn *fn, void *arg);

/* Store whatever has not been.  Failures are logged; call before free. */
void volume_shutdown(struct volume *v);
void volume_free(struct volume *v); /* NULL-safe */

struct inode *
volume_root(struct volume *v); /* borrowed, lives as long as `v` */
void volume_stats(struct volume *v, struct volume_stats *out);

/* Who asks.  `cancel` as in store_call; commits do not look at it. */
struct request {
	uid_t uid;
	gid_t gid;
	store_cancel_fn *cancel; /* or NULL */
	void *cancel_arg;
	/* A lookup that has to ask for that one name alone gives -EREMOTE. */
	int known_only;
};

/*
 * Names.  An inode that is returned is held once more for the caller, who
 * gives it back with inode_forget(); `st` (may be NULL) gets its attributes.
 */
MUST_CHECK int volume_lookup(struct volume *v, const struct request *rq,
			     struct inode *parent, const char *name,
			     struct inode **out, struct stat *st);
MUST_CHECK int volume_mkdir(struct volume *v, const struct request *rq,
			    struct inode *parent, const char *name, mode_t mode,
			    struct inode **out);
MUST_CHECK int volume_symlink(struct volume *v, const struct request *rq,
			      struct inode *parent, const char *name,
			      const char *target, struct inode **out);

/* A fifo, a socket or a device: its attributes are all that is kept of it. */
struct mknod {
	struct inode *parent;
	const char *name;
	mode_t mode; /* with the type */
	dev_t rdev;
};
MUST_CHECK int volume_mknod(struct volume *v, const struct request *rq,
			    const struct mknod *m, struct inode **out);
MUST_CHECK int volume_unlink(struct volume *v, const struct request *rq,
			     struct inode *parent, const char *name);
MUST_CHECK int volume_rmdir(struct volume *v, const struct request *rq,
			    struct inode *parent, const char *name);

struct rename {
	struct inode *from_parent, *to_parent;
	const char *from, *to;
	int no_replace;
};
MUST_CHECK int volume_rename(struct volume *v, const struct request *rq,
			     const struct rename *r);

void inode_forget(struct volume *v, struct inode *i, uint64_t n);

uint64_t volume_entry_timeout_ms(const struct volume *v);

/* For how long what was said of it holds, so that two caches do not add up. */
uint64_t inode_fresh_ms(struct inode *i);

/* Attributes. */
MUST_CHECK int volume_getattr(struct volume *v, const struct request *rq,
			      struct inode *i, struct stat *out);

enum {
	SET_MODE = 1,
	SET_UID = 2,
	SET_GID = 4,
	SET_SIZE = 8,
	SET_ATIME = 16,
	SET_MTIME = 32
};

struct change {
	const struct stat *want;
	int which; /* SET_... */
	struct handle *handle; /* through which a size is set, or NULL */
};

/*
 * Set what `which` names from `want`.  Without a handle a new size is in the
 * bucket on return; new attributes wait for attr_delay_ms, or for the commit if
 * the file has unsaved bytes.
 */
MUST_CHECK int volume_setattr(struct volume *v, const struct request *rq,
			      struct inode *i, const struct change *c,
			      struct stat *out);

/* The target of a symbolic link, appended to `out` without a NUL. */
MUST_CHECK int volume_readlink(struct volume *v, const struct request *rq,
			       struct inode *i, struct bytes *out);

/*
 * An extended attribute; user.deltaglider.* say how a file is stored.  The
 * value is appended to `out`.  -ENODATA for a name that is not there.
 */
MUST_CHECK int volume_getxattr(struct volume *v, const struct request *rq,
			       struct inode *i, const char *name,
			       struct bytes *out);
/* The names, each with its NUL. */
MUST_CHECK int volume_listxattr(struct volume *v, const struct request *rq,
				struct inode *i, struct bytes *out);
/*
 * Set or remove one, as volume_setattr() does.  As xattrs_change(); -ENOSPC is
 * logged.  Of user.deltaglider.* nothing comes: so that what copies all of them
 * is not stopped by those.
 */
struct xattr_change;
MUST_CHECK int volume_setxattr(struct volume *v, const struct request *rq,
			       struct inode *i, const struct xattr_change *c);

/* Files. */
struct create {
	struct inode *parent;
	const char *name;
	mode_t mode;
	int flags; /* of open(2) */
};
MUST_CHECK int volume_create(struct volume *v, const struct request *rq,
			     const struct create *c, struct inode **out,
			     struct handle **h);

/*
 * *same: the content is what it was at the last open; pages may be kept.
 * -ESTALE: it is not what the caller last heard of; look the name up again.
 */
MUST_CHECK int volume_open(struct volume *v, const struct request *rq,
			   struct inode *i, int flags, struct handle **out,
			   int *same);

/* The number of bytes, short only at the end of the file; or -errno. */
MUST_CHECK ssize_t handle_read(struct handle *h, const struct request *rq,
			       void *buf, size_t len, uint64_t off);
MUST_CHECK ssize_t handle_write(struct handle *h, const struct request *rq,
				const void *buf, size_t len, uint64_t off);

/* The same at the end, wherever that is by then: for O_APPEND. */
MUST_CHECK ssize_t handle_append(struct handle *h, const struct request *rq,
				 const void *buf, size_t len);

/*
 * close(2) of one descriptor that was open for writing: store what is unsaved,
 * but leave an empty file to the last close, because a shell's "> file" closes a copy of its
 * descriptor before it writes.  On error the bytes stay, to be tried again.
 * A file with a write that failed (for want of space, say) is not stored until
 * that was done over or cut off: its error is given again.
 */
MUST_CHECK int handle_flush(struct handle *h);
MUST_CHECK int handle_fsync(struct handle *h);

/*
 * fallocate(2), but for the modes that move bytes: -EOPNOTSUPP.  Space is set
 * aside until the file is stored.
 */
struct allocation {
	int mode;
	uint64_t off, len;
};
MUST_CHECK int handle_allocate(struct handle *h, const struct request *rq,
			       const struct allocation *a);

/* lseek(2) for SEEK_DATA or, with `hole`, SEEK_HOLE.  0 or -ENXIO. */
MUST_CHECK int handle_seek(struct handle *h, uint64_t off, int hole,
			   uint64_t *out);

/*
 * Copy from one to another; they may be the same if the ranges do not meet.
 * The number of bytes, which may be fewer and is 0 at the end; or -errno.
 */
struct copying {
	struct handle *from, *to;
	uint64_t from_off, to_off, len;
};
MUST_CHECK ssize_t handle_copy(const struct request *rq,
			       const struct copying *c);

/* The last one: store what is left, free `h` whatever comes of it. */
void handle_release(struct handle *h);

/* Directories: their names, in no order. */
struct dirent_view {
	const char *name; /* until the next call */
	mode_t type; /* S_IFDIR, or 0: a listing does not tell links */
};
/* Asks nothing of the bucket yet. */
MUST_CHECK int dirstream_open(struct volume *v, struct inode *dir,
			      struct dirstream **out);
struct inode *dirstream_inode(const struct dirstream *d); /* borrowed */
/*
 * Entry number `at`, if need be from the bucket, which is asked page after page.
 * 1; 0: so many are not there; or -errno.
 */
MUST_CHECK int dirstream_get(struct dirstream *d, const struct request *rq,
			     size_t at, struct dirent_view *out);
/*
 * About to be read from the beginning: if it was read before, as rewinddir(3)
 * has it, the directory is looked at anew.  0 or -errno.
 */
MUST_CHECK int dirstream_start(struct dirstream *d, const struct request *rq);

/*
 * Look up the entry and some that follow it, several requests at a time, so
 * that the lookups of a whole directory do not wait for each other.
 */
void dirstream_prefetch(struct dirstream *d, const struct request *rq,
			size_t at);
void dirstream_close(struct dirstream *d);

#endif
