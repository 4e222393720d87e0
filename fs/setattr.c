#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/choose.h"
#include "fs/content.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/tree.h"
#include "fs/xattrs.h"

static void apply(struct attr *a, const struct stat *want, int which)
{
	if (which & SET_MODE)
		a->mode = (a->mode & S_IFMT) | (want->st_mode & 07777);
	if (which & SET_UID)
		a->uid = want->st_uid;
	if (which & SET_GID)
		a->gid = want->st_gid;
	if (which & SET_ATIME)
		a->atime = want->st_atim;
	if (which & SET_MTIME)
		a->mtime = want->st_mtim;
	a->ctime = attr_now();
	a->assumed = 0; /* all of them are stored */
}

/* inode.commit held. */
static int set_attr(struct inode *i, const struct stat *want, int which)
{
	struct attr before, after;
	int err, waits;

	inode_lock(i);
	before = i->attr;
	apply(&i->attr, want, which);
	inode_changed(i);
	after = i->attr;
	waits = i->unsaved || (!i->directory && !i->remote);
	inode_unlock(i);
	if (waits)
		return 0; /* the commit takes them along */
	if (i == i->volume->root)
		return 0; /* the bucket itself: for as long as it is mounted */
	if (i->volume->conf.attr_delay_ms) {
		inode_defer_attr(i);
		return 0;
	}
	err = inode_commit_attr(i, &after);
	if (err) {
		inode_lock(i);
		i->attr = before;
		inode_changed(i);
		inode_unlock(i);
	}
	return err;
}

/* inode.commit held. */
static int set_xattr(struct inode *i, const struct xattr_change *c)
{
	char *before, *after;
	struct attr attr;
	int err, waits;

	inode_lock(i);
	err = xattrs_change(i->xattr, c, &after);
	if (err) {
		inode_unlock(i);
		return err;
	}
	before = i->xattr;
	i->xattr = after;
	i->attr.ctime = attr_now();
	i->attr.assumed = 0;
	inode_changed(i);
	attr = i->attr;
	waits = i->unsaved || (!i->directory && !i->remote);
	inode_unlock(i);
	if (!waits && i != i->volume->root) {
		if (i->volume->conf.attr_delay_ms)
			inode_defer_attr(i);
		else
			err = inode_commit_attr(i, &attr);
	}
	inode_lock(i);
	if (err) {
		i->xattr = before;
		before = after;
		inode_changed(i);
	}
	free(before);
	inode_unlock(i);
	return err;
}

int volume_setxattr(struct volume *v, const struct request *rq, struct inode *i,
		    const struct xattr_change *c)
{
	char label[LABEL_MAX];
	struct inode *dir;
	int err;

	if (v->conf.read_only)
		return -EROFS;
	if (xattr_is_ours(c->name))
		return 0;
	err = inode_refresh(i, rq);
	if (err)
		return err;
	latch_write(&i->commit);
	dir = inode_enter(i);
	err = set_xattr(i, c);
	inode_leave(dir);
	latch_release(&i->commit);
	if (err == -ENOSPC)
		log_warning(
			"%s: no room for the extended attribute %s: S3 keeps 2 KB with an object, %d bytes of it for these",
			inode_label(i, label), c->name, XATTRS_MAX);
	return err;
}

static int set_size(struct inode *i, const struct request *rq, uint64_t size,
		    int commit)
{
	uint64_t now;
	int err;

	if (i->directory)
		return -EISDIR;
	inode_lock(i);
	now = i->size;
	inode_unlock(i);
	if (size > INT64_MAX)
		return -EFBIG;
	if (size == now && commit)
		return set_attr(i, &(struct stat){ .st_mtim = attr_now() },
				SET_MTIME);
	err = inode_resize(i, rq, size);
	if (!err && commit)
		err = inode_commit_locked(i, COMMIT_NOW);
	return err;
}

int volume_setattr(struct volume *v, const struct request *rq, struct inode *i,
		   const struct change *c, struct stat *out)
{
	int which = c->which;
	struct inode *dir;
	int err;

	if (v->conf.read_only)
		return -EROFS;
	err = inode_refresh(i, rq);
	if (err)
		return err;
	latch_write(&i->commit);
	dir = inode_enter(i);
	if (which & SET_SIZE)
		err = set_size(i, rq, (uint64_t)c->want->st_size, !c->handle);
	if (!err && which & ~SET_SIZE)
		err = set_attr(i, c->want, which & ~SET_SIZE);
	inode_leave(dir);
	latch_release(&i->commit);
	if (!c->handle)
		inode_settle(i);
	if (!err)
		inode_stat(i, out);
	return err;
}
