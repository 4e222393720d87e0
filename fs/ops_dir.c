#include "fs/ops_private.h"

#include <stdlib.h>

void dir_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct dirstream *d = NULL;
	int err = 0;

	begin();
	if (!control_is(ino))
		err = dirstream_open(volume_of(req), inode_at(req, ino), &d);
	fi->fh = (uintptr_t)d;
	if (err)
		fail(req, err);
	else if (fuse_reply_open(req, fi) && d)
		dirstream_close(d);
}

void dir_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	begin();
	if (!control_is(ino))
		dirstream_close(pointer_of(fi->fh));
	fail(req, 0);
}

/* A page of a directory under construction. */
struct page {
	fuse_req_t req;
	const struct request *rq;
	struct dirstream *d;
	char *buf;
	size_t size, used;
	int plus;
};

static int put_entry(struct page *p, const char *name,
		     const struct fuse_entry_param *e, off_t next)
{
	size_t room = p->size - p->used, n;

	n = p->plus ? fuse_add_direntry_plus(p->req, p->buf + p->used, room,
					     name, e, next)
		    : fuse_add_direntry(p->req, p->buf + p->used, room, name,
					&e->attr, next);
	if (n > room)
		return 1;
	p->used += n;
	return 0;
}

/* Entry number `k` of the stream; 1 when the page is full, or it was the last. */
static int put_name(struct page *p, size_t k, off_t next)
{
	struct fuse_entry_param e = { 0 };
	struct dirent_view view;
	struct inode *i = NULL;
	struct stat st;
	int full;

	full = dirstream_get(p->d, p->rq, k, &view);
	if (full <= 0)
		return full < 0 ? full : 1;
	e.attr.st_mode = view.type;
	e.attr.st_ino = 0xffffffff; /* unknown, as libfuse says it */
	if (p->plus) {
		dirstream_prefetch(p->d, p->rq, k);
		/* Without it the kernel asks by itself, and gets the error. */
		if (!volume_lookup(volume_of(p->req), p->rq,
				   dirstream_inode(p->d), view.name, &i, &st))
			e = entry_of(p->req, i, &st);
	}
	full = put_entry(p, view.name, &e, next);
	if (full && i)
		inode_forget(volume_of(p->req), i, 1);
	return full;
}

static void read_page(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      const struct fuse_file_info *fi, int plus)
{
	static const char *const dots[] = { ".", ".." };
	struct request rq = request_begin(req);
	struct page p = { .req = req,
			  .rq = &rq,
			  .d = pointer_of(fi->fh),
			  .buf = malloc(size),
			  .size = size,
			  .plus = plus };
	size_t k = (size_t)off;
	int full = 0;

	if (!p.buf) {
		fail(req, -ENOMEM);
		return;
	}
	if (control_is(ino)) {
		control_readdir(req, p.buf, size, off, plus);
		free(p.buf);
		return;
	}
	if (!off)
		full = dirstream_start(p.d, &rq);
	for (; !full; k += full ? 0 : 1) {
		struct fuse_entry_param e = { .attr.st_mode = S_IFDIR,
					      .attr.st_ino = 0xffffffff };

		full = k < 2 ? put_entry(&p, dots[k], &e, (off_t)k + 1)
			     : put_name(&p, k - 2, (off_t)k + 1);
	}
	/* An error that comes behind other entries is met again. */
	if (full < 0 && !p.used) {
		fail(req, full);
		free(p.buf);
		return;
	}
	(void)fuse_reply_buf(req, p.buf, p.used);
	free(p.buf);
}

void dir_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	read_page(req, ino, size, off, fi, 0);
}

void dir_read_plus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	read_page(req, ino, size, off, fi, 1);
}
