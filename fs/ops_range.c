#include "fs/ops_private.h"

#include <errno.h>
#include <unistd.h>

void range_allocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
		    off_t len, struct fuse_file_info *fi)
{
	struct allocation a = { mode, (uint64_t)off, (uint64_t)len };
	struct request rq = request_begin(req);
	int err;

	err = control_is(ino) ? -EOPNOTSUPP
			      : handle_allocate(handle_at(fi), &rq, &a);
	/* Not one of those that nobody should hear of: see fail(). */
	if (err == -EOPNOTSUPP)
		(void)fuse_reply_err(req, EOPNOTSUPP);
	else
		fail(req, err);
}

void range_seek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		struct fuse_file_info *fi)
{
	uint64_t at;
	int err = -EINVAL;

	if (!control_is(ino) && off >= 0)
		err = handle_seek(handle_at(fi), (uint64_t)off,
				  whence == SEEK_HOLE, &at);
	if (err)
		fail(req, err);
	else
		(void)fuse_reply_lseek(req, (off_t)at);
}

// NOLINTNEXTLINE(readability-function-size): its arguments are libfuse's
void range_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
		struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
		struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct request rq = request_begin(req);
	ssize_t n;

	(void)flags;
	if (control_is(ino_in) || control_is(ino_out)) {
		(void)fuse_reply_err(req, EOPNOTSUPP); /* by read and write */
		return;
	}
	n = handle_copy(&rq, &(struct copying){ .from = handle_at(fi_in),
						.to = handle_at(fi_out),
						.from_off = (uint64_t)off_in,
						.to_off = (uint64_t)off_out,
						.len = len });
	if (n < 0)
		fail(req, (int)n);
	else
		(void)fuse_reply_write(req, (size_t)n);
}
