#ifndef FS_OPS_CONTROL_H
#define FS_OPS_CONTROL_H

#include <fuse_lowlevel.h>
#include <stdint.h>
#include <string.h>

struct ops_context;

/* libfuse hands pointers of ours around as numbers. */
static inline void *pointer_of(uint64_t number)
{
	uintptr_t value = number;
	void *p;

	memcpy(&p, &value, sizeof(p));
	return p;
}

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
