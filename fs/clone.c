#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "fs/content.h"
#include "fs/inode.h"
#include "fs/resend.h"
#include "fs/tree.h"

/* A file that was just made and gets all of another's content: on the server. */
struct clone {
	struct volume *v;
	struct inode *from, *to;
	struct object source;
	struct key from_key, to_key;
	struct inode *dir; /* of `to`; pinned */
	char *name; /* owned */
	struct attr attr;
	struct store_stat st; /* what the new object is stored with */
};

/* Is there one whole version of ours to copy, whose digest is known? */
static int has_source(struct clone *c)
{
	int has;

	inode_lock(c->from);
	c->source = inode_object(c->from);
	has = c->from->remote && !c->from->unsaved && !c->from->directory &&
	      S_ISREG(c->from->attr.mode);
	inode_unlock(c->from);
	return has && c->source.form != OBJECT_FOREIGN &&
	       c->source.has_digest && c->source.etag[0] && c->source.size;
}

/* Nothing of it is in the bucket, and nothing was written. */
static int is_fresh(struct inode *to)
{
	int fresh;

	inode_lock(to);
	fresh = !to->remote && !to->size && !to->attempt;
	inode_unlock(to);
	return fresh && !to->torn;
}

/* Its bytes and how they are stored are the source's, all else its own. */
static int redescribe(struct clone *c)
{
	char name[META_VALUE_MAX];
	int err = 0;

	c->st.len = c->source.stored;
	inode_lock(c->to);
	c->attr = c->to->attr;
	inode_unlock(c->to);
	c->attr.mtime = c->attr.ctime = attr_now();
	meta_remove(&c->st.meta, "dg-original-name");
	if (!meta_encode(name, sizeof(name), c->name, strlen(c->name)))
		err = meta_set(&c->st.meta, "dg-original-name", name);
	return err ? err : inode_describe(c->to, &c->attr, &c->st);
}

static int describe(struct clone *c)
{
	struct store_call call = { 0 };
	struct store *s = c->v->conf.store;
	int err = 0;

	if (!inode_kept_meta(c->from, c->source.etag, &c->st))
		err = s->ops->head(s, c->from_key.text, &call, &c->st);
	if (!err && strcmp(c->st.etag, c->source.etag) != 0)
		err = -ESTALE;
	if (err)
		return err;
	inode_keep_meta(c->from, &c->st);
	return redescribe(c);
}

/* The copy has to be of that version, and the new name nobody's yet. */
static int copy(struct clone *c, struct store_stat *copied)
{
	const struct store_caps *caps = &c->v->caps;
	struct store_call call = { .if_absent = 1, .if_match = c->source.etag };
	struct store *s = c->v->conf.store;
	struct resend r = { .source = c->source };
	struct store_head head;
	int err;

	if (caps->copy_if_match && caps->copy_if_absent) {
		err = describe(c);
		if (err)
			return err;
		store_head_of(&c->st, &head);
		return s->ops->copy(s, c->from_key.text, c->to_key.text, &head,
				    &call, copied);
	}
	if (!caps->put_if_absent || !resend_can(&c->source))
		return -EOPNOTSUPP;
	call.if_match = NULL;
	err = resend_fetch(c->v, &c->from_key, &r);
	c->st = r.st;
	if (!err)
		err = redescribe(c);
	r.st = c->st;
	if (!err)
		err = resend_store(c->v, &c->to_key, &r, &call, copied);
	resend_clear(&r);
	return err;
}

/* inode.data of `to` held for writing. */
static void take_over(struct clone *c, const struct store_stat *copied)
{
	struct inode *to = c->to;
	struct pagefile *spool = to->spool;
	struct object obj;

	memcpy(c->st.etag, copied->etag, sizeof(c->st.etag));
	c->st.date_s = copied->date_s;
	c->st.mtime = (struct timespec){ 0 };
	object_read(&obj, &c->st);
	obj.size = c->source.size;
	to->spool = NULL;
	to->dirty = 0;
	inode_lock(to);
	inode_set_object(to, &obj);
	to->attr.mtime = c->attr.mtime;
	to->attr.ctime = c->attr.ctime;
	to->unsaved = to->spooled = to->exclusive = to->attr_waits = 0;
	to->pages_valid = 0;
	inode_unlock(to);
	pagefile_close(spool);
	names_changed(c->v, c->dir, c->name);
	inode_keep_meta(to, &c->st);
	hints_news(c->v, c->dir, &c->to_key, 0);
	(void)pthread_mutex_lock(&c->v->stats_lock);
	if (object_is_delta(&obj))
		c->v->stats.files_delta++;
	else
		c->v->stats.files_plain++;
	c->v->stats.logical_bytes += obj.size;
	c->v->stats.stored_bytes += obj.stored;
	(void)pthread_mutex_unlock(&c->v->stats_lock);
}

/* With the locks of `to` that a commit has, but inode.data for writing. */
static int clone_locked(struct clone *c)
{
	struct store_stat copied = { 0 };
	int err;

	if (!is_fresh(c->to))
		return -EINVAL;
	err = names_where(c->v, c->to, &c->dir, &c->name);
	if (err)
		return err;
	err = key_of_inode(c->v, c->from, &c->from_key);
	if (!err)
		err = key_of(c->v, c->dir, c->name, &c->to_key);
	if (!err)
		err = copy(c, &copied);
	if (!err)
		take_over(c, &copied);
	free(c->name);
	inode_unpin(c->dir);
	return err;
}

int64_t inode_clone(struct inode *from, struct inode *to, uint64_t len)
{
	struct clone c = { .v = from->volume, .from = from, .to = to };
	struct inode *dir;
	int err;

	if (from == to || !has_source(&c) || c.source.size > len ||
	    c.source.size > INT64_MAX)
		return 0;
	latch_write(&to->commit);
	dir = inode_enter(to);
	latch_write(&to->data);
	err = clone_locked(&c);
	latch_release(&to->data);
	inode_leave(dir);
	latch_release(&to->commit);
	return err ? 0 : (int64_t)c.source.size;
}
