#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "fs/choose.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/tree.h"

/* Both ends of a rename; `to` is NULL if nothing is there. */
struct ends {
	struct inode *from, *to; /* pinned */
	struct key from_key, to_key;
};

static int find_ends(struct volume *v, const struct request *rq,
		     const struct rename *r, struct ends *e)
{
	int err;

	err = lookup_pinned(v, rq, r->from_parent, r->from, &e->from);
	if (err)
		return err;
	err = lookup_pinned(v, rq, r->to_parent, r->to, &e->to);
	if (err == -ENOENT)
		err = 0;
	else if (!err && r->no_replace)
		err = -EEXIST;
	if (!err && e->to && e->from->directory && !e->to->directory)
		err = -ENOTDIR;
	if (!err && e->to && !e->from->directory && e->to->directory)
		err = -EISDIR;
	return err;
}

static int find_keys(struct volume *v, const struct rename *r, struct ends *e)
{
	int err;

	err = key_of(v, r->from_parent, r->from, &e->from_key);
	if (!err)
		err = key_of(v, r->to_parent, r->to, &e->to_key);
	return err == -ESTALE ? -ENOENT : err;
}

/* Two files' commit locks, by address, so that two renames do not meet. */
static void lock_both(struct ends *e)
{
	struct inode *a = e->from, *b = e->to;

	if (b && b < a) {
		a = e->to;
		b = e->from;
	}
	latch_write(&a->commit);
	if (b && b != a)
		latch_write(&b->commit);
}

static void unlock_both(struct ends *e)
{
	if (e->to && e->to != e->from)
		latch_release(&e->to->commit);
	latch_release(&e->from->commit);
}

static int rename_done(struct volume *v, const struct rename *r,
		       struct inode *from)
{
	int err;

	err = names_add(v, r->to_parent, r->to, from);
	names_changed(v, r->from_parent, r->from);
	directory_touched(r->from_parent);
	directory_touched(r->to_parent);
	return err;
}

/* Nothing of it is in the bucket yet: it takes over what it will replace. */
static int rename_local(struct volume *v, const struct rename *r,
			struct ends *e)
{
	struct object obj = { 0 };
	int remote = 0;

	if (e->to) {
		inode_lock(e->to);
		remote = e->to->remote;
		obj = inode_object(e->to);
		inode_unlock(e->to);
	}
	inode_lock(e->from);
	e->from->attr.ctime = attr_now();
	if (remote) {
		e->from->remote = 1;
		inode_put_object(e->from, &obj);
	}
	inode_changed(e->from);
	inode_unlock(e->from);
	return rename_done(v, r, e->from);
}

/* The version that is renamed, and what goes along with it. */
struct moving {
	struct object obj;
	struct attr attr;
	uint32_t change; /* of the attributes */
	int rode; /* they went along */
	int waits; /* they are newer than the object's */
	int made; /* something was copied to the new name */
};

static void look_at(struct inode *i, struct moving *m)
{
	inode_lock(i);
	m->obj = inode_object(i);
	m->attr = i->attr;
	m->change = i->attr_changes;
	m->waits = i->attr_waits;
	inode_unlock(i);
	m->attr.ctime = attr_now();
}

/*
 * The object's metadata with its new attributes, into `st`.  1; 0 where it is
 * copied with what it has, so that another program's keeps the headers that we
 * do not know of; or -errno.
 */
static int attributes_ride(struct volume *v, struct ends *e,
			   const struct moving *m,
			   const struct store_call *call, struct store_stat *st)
{
	struct store *s = v->conf.store;
	int err;

	if (!m->waits && m->obj.form == OBJECT_FOREIGN)
		return 0;
	if (!inode_kept_meta(e->from, m->obj.etag, st)) {
		err = s->ops->head(s, e->from_key.text, call, st);
		if (err)
			return err;
		if (strcmp(st->etag, m->obj.etag) != 0)
			return -ESTALE;
	}
	err = inode_describe(e->from, &m->attr, st);
	if (err == -ENOSPC && !m->waits)
		return 0;
	return err ? err : 1;
}

/*
 * Was it the version that was meant?  Where the server does not look at the
 * condition, the ETag of the copy tells, or the source, if it is the same yet.
 */
static int copied_right(struct volume *v, struct ends *e,
			const struct moving *m, const struct store_stat *copied)
{
	struct store_call call = { 0 };
	struct store_stat now;

	if (v->caps.copy_if_match || !m->obj.etag[0] ||
	    !strcmp(copied->etag, m->obj.etag))
		return 0;
	if (v->conf.store->ops->head(v->conf.store, e->from_key.text, &call,
				     &now) ||
	    strcmp(now.etag, m->obj.etag) != 0)
		return -ESTALE;
	return 0;
}

static int copy_once(struct volume *v, const struct rename *r, struct ends *e,
		     struct moving *m, struct store_stat *copied)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store *s = v->conf.store;
	struct store_stat st;
	struct store_head head;
	int err, rides;

	look_at(e->from, m);
	rides = attributes_ride(v, e, m, &call, &st);
	err = rides < 0 ? rides : 0;
	if (rides > 0)
		store_head_of(&st, &head);
	if (v->caps.copy_if_match && m->obj.etag[0])
		call.if_match = m->obj.etag;
	call.if_absent = r->no_replace && !m->made;
	if (!err)
		err = s->ops->copy(s, e->from_key.text, e->to_key.text,
				   rides ? &head : NULL, &call, copied);
	if (!err) {
		m->made = 1;
		err = copied_right(v, e, m, copied);
	}
	/* mv(1) and rsync(1) copy it themselves then. */
	if (err == -EOPNOTSUPP)
		return -EXDEV;
	if (err && err != -ESTALE)
		log_error("rename %s to %s: %s", e->from_key.text,
			  e->to_key.text, reason(err, &error));
	m->rode = rides > 0;
	return err;
}

static int copy_file(struct volume *v, const struct rename *r, struct ends *e,
		     struct moving *m, struct store_stat *copied)
{
	struct store_call call = { 0 };
	struct store_stat st;
	struct object now;
	int err;

	err = copy_once(v, r, e, m, copied);
	if (err != -ESTALE)
		return err;
	/* A rename moves whatever has the name now. */
	err = object_head(v, &call, e->from_key.text, &now, &st);
	if (err)
		return err;
	inode_lock(e->from);
	inode_set_object(e->from, &now);
	e->from->pages_valid = 0;
	if (!e->from->attr_waits)
		err = inode_take_attr(e->from, &st);
	inode_unlock(e->from);
	return err ? err : copy_once(v, r, e, m, copied);
}

/*
 * The old name goes, unless somebody stored another version there meanwhile:
 * that stays.  Only a condition on the server closes the window.
 */
static int remove_old_name(struct volume *v, struct ends *e,
			   const char *copied_etag)
{
	struct store_call call = { 0 };
	int err;

	if (v->caps.remove_if_match && copied_etag[0])
		call.if_match = copied_etag;
	err = v->conf.store->ops->remove(v->conf.store, e->from_key.text,
					 &call);
	if (err == -ESTALE)
		log_warning(
			"rename %s: another version was stored there meanwhile and stays",
			e->from_key.text);
	else if (err)
		log_error(
			"rename %s: it has its new name, but the old one could not be removed: %s",
			e->from_key.text, strerrordesc_np(-err));
	return err == -ESTALE ? 0 : err;
}

static int rename_remote(struct volume *v, const struct rename *r,
			 struct ends *e)
{
	struct store_stat copied = { 0 };
	struct moving m = { .made = 0 };
	char was[STORE_ETAG_MAX];
	struct object obj;
	int err;

	err = copy_file(v, r, e, &m, &copied);
	if (err)
		return err;
	inode_lock(e->from);
	(void)snprintf(was, sizeof(was), "%s", packed_etag(&e->from->object));
	inode_rewritten(e->from, &copied);
	e->from->checked_ms = clock_ms();
	if (m.rode && e->from->attr_changes == m.change) {
		e->from->attr.ctime = m.attr.ctime;
		e->from->attr.assumed = 0;
		e->from->attr_waits = 0;
	}
	inode_changed(e->from);
	obj = inode_object(e->from);
	inode_unlock(e->from);
	choose_moved(v, r->from_parent, r->to_parent, e->from_key.text, &obj,
		     e->to_key.text);
	hints_news(v, r->to_parent, &e->to_key, 0);
	err = rename_done(v, r, e->from);
	if (!err)
		err = directory_keep(v, r->from_parent);
	return err ? err : remove_old_name(v, e, was);
}

static int rename_file(struct volume *v, const struct request *rq,
		       const struct rename *r, struct ends *e)
{
	int err, remote;

	if (e->from == e->to)
		return 0;
	lock_both(e);
	err = tree_enter_both(r->from_parent, r->to_parent, rq);
	if (err)
		goto unlock;
	err = find_keys(v, r, e);
	inode_lock(e->from);
	remote = e->from->remote;
	inode_unlock(e->from);
	if (!err && remote)
		err = inode_commit_locked(e->from, COMMIT_NOW);
	if (e->to)
		inode_keep_target(e->to, rq);
	if (e->to)
		inode_going(e->to, rq);
	if (!err)
		err = remote ? rename_remote(v, r, e) : rename_local(v, r, e);
	if (e->to)
		inode_went(e->to);
	tree_leave_both(r->from_parent, r->to_parent);
unlock:
	unlock_both(e);
	return err;
}

static int rename_tree(struct volume *v, const struct request *rq,
		       const struct rename *r, struct ends *e)
{
	int err;

	/* As of one that is removed: see volume_rmdir(). */
	if (e->to)
		latch_write(&e->to->commit);
	err = tree_move_begin(e->from, rq);
	if (err)
		goto release;
	err = find_keys(v, r, e);
	if (!err)
		err = rename_directory(v, rq, r, e->from, e->to);
	tree_move_end(e->from);
release:
	if (e->to)
		latch_release(&e->to->commit);
	return err;
}

int volume_rename(struct volume *v, const struct request *rq,
		  const struct rename *r)
{
	struct ends e = { 0 };
	int err;

	if (v->conf.read_only)
		return -EROFS;
	err = name_usable(v, r->from_parent, r->from);
	if (!err)
		err = name_usable(v, r->to_parent, r->to);
	if (!err)
		err = find_ends(v, rq, r, &e);
	if (!err)
		err = e.from->directory ? rename_tree(v, rq, r, &e)
					: rename_file(v, rq, r, &e);
	inode_unpin(e.from);
	inode_unpin(e.to);
	return err;
}
