#ifndef FS_OPS_PRIVATE_H
#define FS_OPS_PRIVATE_H

#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <string.h>

#include "fs/caller.h"
#include "fs/log.h"
#include "fs/ops.h"
#include "fs/volume.h"
#include "s3/errand.h"

/*
 * What the parts of the kernel's interface share: ops.c (files and names),
 * ops_dir.c (directories, extended attributes), ops_control.c (.dg/).
 */

/* libfuse hands pointers of ours around as numbers. */
static inline void *pointer_of(uint64_t number)
{
	uintptr_t value = number;
	void *p;

	memcpy(&p, &value, sizeof(p));
	return p;
}

static inline struct ops_context *context(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct volume *volume_of(fuse_req_t req)
{
	return context(req)->control.volume;
}

static inline struct inode *inode_at(fuse_req_t req, fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return volume_root(volume_of(req));
	return pointer_of(ino);
}

static inline struct handle *handle_at(const struct fuse_file_info *fi)
{
	return pointer_of(fi->fh);
}

static inline int interrupted(void *arg)
{
	return fuse_req_interrupted(arg) &&
	       caller_is_dying(fuse_req_ctx(arg)->pid);
}

/* Lines in the log when this thread began what it is at. */
extern _Thread_local unsigned told_before;

/* This thread works for somebody who waits: the first thing it does. */
static inline void begin(void)
{
	errand_begin();
	told_before = log_told();
}

static inline struct request request_begin(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);

	begin();
	return (struct request){ .uid = c->uid,
				 .gid = c->gid,
				 .cancel = interrupted,
				 .cancel_arg = req };
}

/* Reply with 0, or an errno: what only we know the meaning of is EIO. */
void fail(fuse_req_t req, int err);

static inline double timeout_s(struct inode *i)
{
	return (double)inode_fresh_ms(i) / 1000.0;
}

static inline struct fuse_entry_param entry_of(fuse_req_t req, struct inode *i,
					       const struct stat *st)
{
	double most = (double)volume_entry_timeout_ms(volume_of(req)) / 1000.0;

	return (struct fuse_entry_param){
		.ino = (uintptr_t)i,
		.attr = *st,
		.attr_timeout = timeout_s(i),
		.entry_timeout = timeout_s(i) < most ? timeout_s(i) : most
	};
}

/* ops_dir.c */
void dir_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void dir_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void dir_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	      struct fuse_file_info *fi);
void dir_read_plus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		   struct fuse_file_info *fi);
void range_allocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
		    off_t len, struct fuse_file_info *fi);
void range_seek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		struct fuse_file_info *fi);
void range_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
		struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
		struct fuse_file_info *fi_out, size_t len, int flags);
void xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size);
void xattr_set(fuse_req_t req, fuse_ino_t ino, const char *name,
	       const char *value, size_t size, int flags);
void xattr_remove(fuse_req_t req, fuse_ino_t ino, const char *name);

/* ops_control.c */

/*
 * The kernel's requests about .dg/ and the files in it (fs/control.h).  Their
 * node ids are small numbers, which no inode's address is.
 */
int control_is(fuse_ino_t ino);
void control_lookup(fuse_req_t req, const struct ops_context *c,
		    fuse_ino_t parent, const char *name);
void control_getattr(fuse_req_t req, const struct ops_context *c,
		     fuse_ino_t ino);
void control_open(fuse_req_t req, const struct ops_context *c, fuse_ino_t ino,
		  struct fuse_file_info *fi);
void control_read(fuse_req_t req, size_t size, off_t off,
		  const struct fuse_file_info *fi);
void control_write(fuse_req_t req, const struct ops_context *c, fuse_ino_t ino,
		   const char *buf, size_t size);
void control_release(const struct fuse_file_info *fi);
void control_readdir(fuse_req_t req, char *buf, size_t size, off_t off,
		     int plus);

#endif
