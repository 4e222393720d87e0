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

/*
 * The same bytes, perhaps with another ETag: still what a file is compared with,
 * but news for the hints.
 */
static void tell_others(struct inode *i, const struct key *key,
			const struct object *now)
{
	struct inode *dir;
	char *name;

	if (names_where(i->volume, i, &dir, &name))
		return;
	choose_moved(i->volume, dir, dir, key->text, now, key->text);
	hints_news(i->volume, dir, key);
	free(name);
	inode_unpin(dir);
}

int inode_describe(struct inode *i, const struct attr *a, struct store_stat *st)
{
	struct object obj;
	char *xattr;
	int err;

	object_read(&obj, st);
	err = inode_copy_xattr(i, &xattr);
	if (err)
		return err;
	meta_remove(&st->meta, "xattr");
	err = attr_write(a, &st->meta);
	if (!err && xattr && meta_set(&st->meta, "xattr", xattr))
		err = -ENOSPC;
	free(xattr);
	return err ? err : object_fit(&st->meta, obj.form);
}

void store_head_of(const struct store_stat *st, struct store_head *out)
{
	out->content_type = st->content_type[0] ? st->content_type : NULL;
	out->content_encoding =
		st->content_encoding[0] ? st->content_encoding : NULL;
	out->meta = &st->meta;
}

/*
 * What the object was stored with, remembered or asked for.  It is remembered
 * for what is ours alone, or where the server would tell us of another version:
 * metadata of one must not get to the bytes of another.
 */
static int what_is_there(struct inode *i, const struct key *key,
			 const struct store_call *call, struct store_stat *st)
{
	struct store *s = i->volume->conf.store;
	char etag[STORE_ETAG_MAX];
	int err;

	inode_lock(i);
	(void)snprintf(etag, sizeof(etag), "%s", packed_etag(&i->object));
	inode_unlock(i);
	if ((i->directory || i->volume->caps.copy_if_match) &&
	    inode_kept_meta(i, i->directory ? NULL : etag, st))
		return 0;
	err = s->ops->head(s, key->text, call, st);
	if (err == -ENOENT && i->directory) {
		err = directory_keep(i->volume, i);
		if (!err)
			err = s->ops->head(s, key->text, call, st);
	}
	return err;
}

static int read_nothing(void *arg, void *buf, size_t len, uint64_t off)
{
	(void)arg;
	(void)buf;
	(void)off;
	return len ? -EIO : 0;
}

/* A marker has no bytes: it is as well written anew. */
static int put_marker(struct volume *v, const struct key *key,
		      const struct store_head *head, struct store_stat *out)
{
	struct store_source src = { .read = read_nothing };
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };

	return v->conf.store->ops->put(v->conf.store, key->text, &src, head,
				       &call, out);
}

/*
 * New metadata are a copy of the object onto itself.  Where the server does
 * not look at the condition of a copy, another writer's version that arrives
 * in between gets these attributes.
 */
int inode_commit_attr(struct inode *i, const struct attr *a)
{
	struct volume *v = i->volume;
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store_stat st = { 0 }, copied = { 0 };
	struct store_head head = { .meta = &st.meta };
	struct store *s = v->conf.store;
	struct object now;
	struct key key;
	int err;

	err = key_of_inode(v, i, &key);
	if (err == -ESTALE)
		return 0; /* it has no name: nothing to keep them with */
	if (!err)
		err = what_is_there(i, &key, &call, &st);
	if (!err)
		err = inode_describe(i, a, &st);
	if (err)
		goto out;
	store_head_of(&st, &head);
	/* Else it was looked at just now, which is all that could be done. */
	if (v->caps.copy_if_match && st.etag[0])
		call.if_match = st.etag;
	if (i->directory)
		err = put_marker(v, &key, &head, &copied);
	else
		err = s->ops->copy(s, key.text, key.text, &head, &call,
				   &copied);
	if (err)
		goto out;
	if (i->directory)
		inode_keep_meta(i, &st);
	inode_lock(i);
	if (i->remote && inode_has_etag(i, st.etag))
		inode_rewritten(i, &copied);
	i->checked_ms = clock_ms();
	inode_changed(i);
	now = inode_object(i);
	inode_unlock(i);
	if (!i->directory)
		tell_others(i, &key, &now);
out:
	if (err)
		log_error("attributes of %s: %s", key.text,
			  reason(err, &error));
	return err;
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
