#include "fs/ops_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What the kernel asks, handed on to the volume.  A node id is the address of
 * an inode, but for the root's and the control files' small numbers.
 */
#define MAX_IO (1u << 20)

_Thread_local unsigned told_before;

/* An error of the server's that nobody has told yet is told here. */
static void tell(int err)
{
	const char *reason = errand_reason(err);

	if (err && reason && log_told() == told_before)
		log_error("%s", reason);
}

void fail(fuse_req_t req, int err)
{
	tell(err);
	switch (err) {
	case -EBADMSG:
	case -EAGAIN:
	case -ENOTSUP:
		err = -EIO;
		break;
	default:
		break;
	}
	(void)fuse_reply_err(req, -err);
}

static void reply_entry(fuse_req_t req, struct inode *i)
{
	struct request rq = request_begin(req);
	struct fuse_entry_param e;
	struct stat st;
	int err = volume_getattr(volume_of(req), &rq, i, &st);

	if (!err) {
		e = entry_of(req, i, &st);
		err = fuse_reply_entry(req, &e);
		if (err)
			inode_forget(volume_of(req), i, 1);
		return;
	}
	inode_forget(volume_of(req), i, 1);
	fail(req, err);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want |= conn->capable &
		      (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_ASYNC_READ |
		       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
		       FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA |
		       FUSE_CAP_ASYNC_DIO);
	conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	conn->max_write = MAX_IO;
	conn->max_readahead = MAX_IO;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request rq = request_begin(req);
	struct fuse_entry_param e;
	struct inode *i;
	struct stat st;
	int err;

	if (control_is(parent) ||
	    (parent == FUSE_ROOT_ID && !strcmp(name, ".dg"))) {
		control_lookup(req, context(req), parent, name);
		return;
	}
	err = refusal_take(context(req)->refusals, fuse_req_ctx(req)->pid,
			   parent, name);
	if (err) {
		(void)fuse_reply_err(req, -err);
		return;
	}
	err = volume_lookup(volume_of(req), &rq, inode_at(req, parent), name,
			    &i, &st);
	if (err) {
		refusal_note(context(req)->refusals, fuse_req_ctx(req)->pid,
			     parent, name, err);
		fail(req, err);
		return;
	}
	e = entry_of(req, i, &st);
	if (fuse_reply_entry(req, &e))
		inode_forget(volume_of(req), i, 1);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	begin();
	if (!control_is(ino) && ino != FUSE_ROOT_ID)
		inode_forget(volume_of(req), inode_at(req, ino), n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *f)
{
	begin();
	for (size_t k = 0; k < count; k++)
		if (!control_is(f[k].ino) && f[k].ino != FUSE_ROOT_ID)
			inode_forget(volume_of(req), inode_at(req, f[k].ino),
				     f[k].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct request rq = request_begin(req);
	struct stat st;
	int err;

	(void)fi;
	if (control_is(ino)) {
		control_getattr(req, context(req), ino);
		return;
	}
	err = volume_getattr(volume_of(req), &rq, inode_at(req, ino), &st);
	if (err)
		fail(req, err);
	else
		(void)fuse_reply_attr(req, &st, timeout_s(inode_at(req, ino)));
}

static int wanted(struct stat *st, int set)
{
	static const struct {
		int fuse, ours;
	} map[] = { { FUSE_SET_ATTR_MODE, SET_MODE },
		    { FUSE_SET_ATTR_UID, SET_UID },
		    { FUSE_SET_ATTR_GID, SET_GID },
		    { FUSE_SET_ATTR_SIZE, SET_SIZE },
		    { FUSE_SET_ATTR_ATIME, SET_ATIME },
		    { FUSE_SET_ATTR_MTIME, SET_MTIME } };
	int which = 0;

	for (size_t k = 0; k < sizeof(map) / sizeof(map[0]); k++)
		if (set & map[k].fuse)
			which |= map[k].ours;
	if (set & FUSE_SET_ATTR_ATIME_NOW)
		st->st_atim = attr_now();
	if (set & FUSE_SET_ATTR_MTIME_NOW)
		st->st_mtim = attr_now();
	return which;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set,
		       struct fuse_file_info *fi)
{
	struct request rq = request_begin(req);
	struct stat now;
	struct change c = { .want = st };
	int err;

	if (control_is(ino)) {
		control_getattr(req, context(req), ino);
		return;
	}
	c.which = wanted(st, set);
	c.handle = fi ? handle_at(fi) : NULL;
	err = volume_setattr(volume_of(req), &rq, inode_at(req, ino), &c, &now);
	if (err)
		fail(req, err);
	else
		(void)fuse_reply_attr(req, &now, timeout_s(inode_at(req, ino)));
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct request rq = request_begin(req);
	struct bytes b = BYTES_INIT;
	int err = volume_readlink(volume_of(req), &rq, inode_at(req, ino), &b);

	if (!err)
		err = bytes_append(&b, "", 1);
	if (err)
		fail(req, err);
	else
		(void)fuse_reply_readlink(req, (const char *)b.data);
	bytes_clear(&b);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode)
{
	struct request rq = request_begin(req);
	struct inode *i;
	int err = control_is(parent)
			  ? -EPERM
			  : volume_mkdir(volume_of(req), &rq,
					 inode_at(req, parent), name, mode, &i);

	if (err)
		fail(req, err);
	else
		reply_entry(req, i);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name)
{
	struct request rq = request_begin(req);
	struct inode *i;
	int err = control_is(parent) ? -EPERM
				     : volume_symlink(volume_of(req), &rq,
						      inode_at(req, parent),
						      name, target, &i);

	if (err)
		fail(req, err);
	else
		reply_entry(req, i);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request rq = request_begin(req);

	fail(req, control_is(parent)
			  ? -EPERM
			  : volume_unlink(volume_of(req), &rq,
					  inode_at(req, parent), name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request rq = request_begin(req);

	fail(req, control_is(parent)
			  ? -EPERM
			  : volume_rmdir(volume_of(req), &rq,
					 inode_at(req, parent), name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t to_parent, const char *to, unsigned flags)
{
	struct request rq = request_begin(req);
	struct rename r = { .from = name,
			    .to = to,
			    .no_replace = !!(flags & RENAME_NOREPLACE) };

	if (control_is(parent) || control_is(to_parent)) {
		fail(req, -EPERM);
		return;
	}
	if (flags & ~(unsigned)RENAME_NOREPLACE) {
		fail(req, -EINVAL);
		return;
	}
	r.from_parent = inode_at(req, parent);
	r.to_parent = inode_at(req, to_parent);
	fail(req, volume_rename(volume_of(req), &rq, &r));
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
		    const char *name)
{
	(void)ino;
	(void)parent;
	(void)name;
	fail(req, -EPERM); /* an object has one key */
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct request rq = request_begin(req);
	struct create c = { .name = name, .mode = mode, .flags = fi->flags };
	struct fuse_entry_param e;
	struct handle *h;
	struct inode *i;
	struct stat st;
	int err;

	if (control_is(parent)) {
		fail(req, -EPERM);
		return;
	}
	c.parent = inode_at(req, parent);
	err = volume_create(volume_of(req), &rq, &c, &i, &h);
	if (err) {
		fail(req, err);
		return;
	}
	fi->fh = (uintptr_t)h;
	err = volume_getattr(volume_of(req), &rq, i, &st);
	if (!err) {
		e = entry_of(req, i, &st);
		err = fuse_reply_create(req, &e, fi);
		if (!err)
			return;
	} else {
		fail(req, err);
	}
	handle_release(h);
	inode_forget(volume_of(req), i, 1);
}

static void make_special(fuse_req_t req, const struct mknod *m)
{
	struct request rq = request_begin(req);
	struct inode *i;
	int err = volume_mknod(volume_of(req), &rq, m, &i);

	if (err)
		fail(req, err);
	else
		reply_entry(req, i);
}

/* mknod(2); of a regular file it is what create and close do. */
static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t rdev)
{
	struct mknod m = { .name = name, .mode = mode, .rdev = rdev };
	struct request rq = request_begin(req);
	struct create c = { .name = name,
			    .mode = mode,
			    .flags = O_RDWR | O_EXCL };
	struct handle *h;
	struct inode *i;
	int err;

	if (control_is(parent)) {
		fail(req, -EPERM);
		return;
	}
	m.parent = c.parent = inode_at(req, parent);
	if (!S_ISREG(mode)) {
		make_special(req, &m);
		return;
	}
	err = volume_create(volume_of(req), &rq, &c, &i, &h);
	if (err) {
		fail(req, err);
		return;
	}
	err = handle_fsync(h);
	handle_release(h);
	if (err) {
		inode_forget(volume_of(req), i, 1);
		fail(req, err);
		return;
	}
	reply_entry(req, i);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct request rq = request_begin(req);
	struct handle *h;
	int err, same;

	if (control_is(ino)) {
		control_open(req, context(req), ino, fi);
		return;
	}
	err = volume_open(volume_of(req), &rq, inode_at(req, ino), fi->flags,
			  &h, &same);
	if (err) {
		fail(req, err);
		return;
	}
	fi->fh = (uintptr_t)h;
	fi->keep_cache = same ? 1 : 0;
	if (fuse_reply_open(req, fi))
		handle_release(h);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct request rq = request_begin(req);
	char *buf;
	ssize_t n;

	if (control_is(ino)) {
		control_read(req, size, off, fi);
		return;
	}
	n = refusal_take_read(context(req)->refusals, fuse_req_ctx(req)->pid,
			      ino, (uint64_t)off);
	if (n) {
		(void)fuse_reply_err(req, (int)-n);
		return;
	}
	buf = malloc(size);
	n = buf ? handle_read(handle_at(fi), &rq, buf, size, (uint64_t)off)
		: -ENOMEM;
	if (n < 0) {
		refusal_note_read(context(req)->refusals,
				  fuse_req_ctx(req)->pid, ino, (uint64_t)off,
				  size, (int)n);
		fail(req, (int)n);
	} else {
		(void)fuse_reply_buf(req, buf, (size_t)n);
	}
	if (buf)
		bytes_wipe(buf, n > 0 ? (size_t)n : 0);
	free(buf);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		     size_t size, off_t off, struct fuse_file_info *fi)
{
	struct request rq = request_begin(req);
	ssize_t n;

	if (control_is(ino)) {
		control_write(req, context(req), ino, buf, size);
		return;
	}
	/* The flags are those of now, which fcntl(2) may have changed. */
	n = !fi->writepage && fi->flags & O_APPEND
		    ? handle_append(handle_at(fi), &rq, buf, size)
		    : handle_write(handle_at(fi), &rq, buf, size,
				   (uint64_t)off);
	if (n < 0)
		fail(req, (int)n);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	begin();
	fail(req, control_is(ino) ? 0 : handle_flush(handle_at(fi)));
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	(void)datasync;
	begin();
	fail(req, control_is(ino) ? 0 : handle_fsync(handle_at(fi)));
}

static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	begin();
	if (control_is(ino))
		control_release(fi);
	else
		handle_release(handle_at(fi));
	fail(req, 0);
}

/* A bucket has no end; df and installers want a number all the same. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = { .f_bsize = 128 << 10,
			      .f_frsize = 128 << 10,
			      .f_blocks = (fsblkcnt_t)1 << 33,
			      .f_bfree = (fsblkcnt_t)1 << 33,
			      .f_bavail = (fsblkcnt_t)1 << 33,
			      .f_files = (fsfilcnt_t)1 << 40,
			      .f_ffree = (fsfilcnt_t)1 << 40,
			      .f_favail = (fsfilcnt_t)1 << 40,
			      .f_namemax = 255 };

	(void)ino;
	(void)fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.link = op_link,
	.create = op_create,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.fsync = op_fsync,
	.release = op_release,
	.opendir = dir_open,
	.readdir = dir_read,
	.readdirplus = dir_read_plus,
	.releasedir = dir_release,
	.statfs = op_statfs,
	.fallocate = range_allocate,
	.lseek = range_seek,
	.copy_file_range = range_copy,
	.getxattr = xattr_get,
	.listxattr = xattr_list,
	.setxattr = xattr_set,
	.removexattr = xattr_remove,
};

/* No file of it is open, so that no page of it is locked, or dirty. */
static void on_replaced(void *arg, struct inode *i)
{
	/* -ENOENT: it knows nothing of it. */
	(void)fuse_lowlevel_notify_inval_inode(arg, (uintptr_t)i, 0, 0);
}

struct fuse_session *ops_session(struct fuse_args *args, struct ops_context *c)
{
	struct fuse_session *s = fuse_session_new(args, &ops, sizeof(ops), c);

	if (s)
		volume_on_replaced(c->control.volume, on_replaced, s);
	return s;
}

void ops_session_free(struct fuse_session *s, struct ops_context *c)
{
	volume_on_replaced(c->control.volume, NULL, NULL);
	fuse_session_destroy(s);
}
