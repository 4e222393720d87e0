#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/choose.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/tree.h"

int directory_keep(struct volume *v, struct inode *dir)
{
	struct attr a;
	struct key key;
	int err, has;

	inode_lock(dir);
	has = dir->marker || dir == v->root;
	a = dir->attr;
	inode_unlock(dir);
	if (has)
		return 0;
	err = key_of_inode(v, dir, &key);
	if (!err)
		err = directory_mark(v, &key, &a);
	if (err && err != -EEXIST)
		return err;
	inode_lock(dir);
	dir->marker = 1;
	inode_unlock(dir);
	return 0;
}

static int take_link(void *arg, const void *data, size_t len)
{
	struct bytes *out = arg;

	return bytes_append(out, data, len);
}

/* What the bucket has. */
static int read_target(struct inode *i, const struct request *rq,
		       const struct object *obj, struct bytes *out)
{
	struct store_call call = call_of(rq, NULL);
	struct store *s = i->volume->conf.store;
	char *target;
	struct key key;
	int err;

	if (obj->stored >= PATH_MAX)
		return -EIO;
	call.if_match = obj->etag[0] ? obj->etag : NULL;
	err = key_of_inode(i->volume, i, &key);
	if (!err)
		err = s->ops->get(s, key.text, 0, obj->stored, &call, take_link,
				  out, NULL);
	if (err || memchr(out->data, 0, out->len))
		return err ? err : -EIO;
	target = strndup((const char *)out->data, out->len);
	inode_lock(i);
	if (target && inode_has_etag(i, obj->etag))
		target = inode_swap_target(i, target);
	inode_unlock(i);
	free(target);
	return 0;
}

int volume_readlink(struct volume *v, const struct request *rq, struct inode *i,
		    struct bytes *out)
{
	struct object obj;
	int err, known;

	(void)v;
	inode_lock(i);
	obj = inode_object(i);
	err = S_ISLNK(i->attr.mode) ? 0 : -EINVAL;
	known = !err && i->has_target;
	if (known)
		err = bytes_append_str(out, i->target);
	inode_unlock(i);
	return err || known ? err : read_target(i, rq, &obj, out);
}

void inode_keep_target(struct inode *i, const struct request *rq)
{
	struct bytes target = BYTES_INIT;
	int is_link;

	inode_lock(i);
	is_link = S_ISLNK(i->attr.mode) && !i->has_target && i->remote;
	inode_unlock(i);
	if (is_link && volume_readlink(i->volume, rq, i, &target))
		log_debug("%s", "a link that goes could not be read");
	bytes_clear(&target);
}

void inode_going(struct inode *i, const struct request *rq)
{
	struct volume *v = i->volume;
	char label[LABEL_MAX];
	unsigned opens;
	int err = 0;

	(void)pthread_mutex_lock(&v->lock);
	i->going = 1;
	opens = i->opens;
	(void)pthread_mutex_unlock(&v->lock);
	if (opens)
		err = inode_copy_up(i, rq);
	/* Better a reader with ESTALE than a disk that stays full. */
	if (err)
		log_warning(
			"%s goes while it is open and could not be kept for its readers: %s",
			inode_label(i, label), strerrordesc_np(-err));
}

void inode_went(struct inode *i)
{
	struct volume *v = i->volume;

	(void)pthread_mutex_lock(&v->lock);
	i->going = 0;
	(void)pthread_cond_broadcast(&v->tree_changed);
	(void)pthread_mutex_unlock(&v->lock);
}

static int remove_object(struct volume *v, const struct key *key)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	int err;

	err = v->conf.store->ops->remove(v->conf.store, key->text, &call);
	if (err)
		log_error("remove %s: %s", key->text, error.text);
	return err;
}

static int unlink_locked(struct volume *v, const struct request *rq,
			 struct inode *parent, const char *name,
			 struct inode *i)
{
	struct key key;
	int err, remote;

	err = key_of(v, parent, name, &key);
	if (err)
		return err == -ESTALE ? -ENOENT : err;
	inode_lock(i);
	remote = i->remote;
	inode_unlock(i);
	inode_going(i, rq);
	if (remote) {
		err = directory_keep(v, parent);
		if (!err)
			err = remove_object(v, &key);
	}
	if (!err) {
		choose_forget(parent, key.text);
		names_remove(v, i);
		names_changed(v, parent, name);
		directory_touched(parent);
	}
	inode_went(i);
	return err;
}

int volume_unlink(struct volume *v, const struct request *rq,
		  struct inode *parent, const char *name)
{
	struct inode *i;
	int err;

	if (v->conf.read_only)
		return -EROFS;
	err = name_usable(v, parent, name);
	if (!err)
		err = lookup_pinned(v, rq, parent, name, &i);
	if (err)
		return err;
	latch_write(&i->commit);
	err = tree_enter(parent, rq);
	if (!err) {
		err = i->directory ? -EISDIR
				   : unlink_locked(v, rq, parent, name, i);
		tree_leave(parent);
	}
	latch_release(&i->commit);
	inode_unpin(i);
	return err;
}

struct emptiness {
	const char *prefix; /* with its '/' */
	int others; /* keys besides the marker */
	int ours; /* keys below .dg/ */
};

static int count_key(void *arg, const char *key, const struct store_stat *st,
		     int is_prefix)
{
	struct emptiness *e = arg;
	size_t n = strlen(e->prefix);

	(void)st;
	(void)is_prefix;
	if (!strcmp(key, e->prefix))
		return 0;
	if (!strncmp(key + n, ".dg/", 4))
		e->ours = 1;
	else
		e->others = 1;
	return e->others;
}

int directory_empty(struct volume *v, const struct request *rq,
		    struct inode *dir, const struct key *key)
{
	struct emptiness e = { .prefix = key->text };
	struct store_list what = { .prefix = key->text, .shallow = 1 };
	struct store_call call = call_of(rq, NULL);
	struct inode **kids;
	size_t n;
	int err, local = 0;

	err = names_children(v, dir, &kids, &n);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		local |= inode_local(kids[i]);
		inode_unpin(kids[i]);
	}
	free((void *)kids);
	if (local)
		return -ENOTEMPTY;
	err = v->conf.store->ops->list(v->conf.store, &what, &call, count_key,
				       &e);
	if (err < 0)
		return err;
	if (e.others)
		return -ENOTEMPTY;
	if (!e.ours)
		return 0;
	err = name_hidden(v, rq, dir, ".dg");
	if (err < 0)
		return err;
	return err ? -EBUSY : -ENOTEMPTY;
}

int volume_rmdir(struct volume *v, const struct request *rq,
		 struct inode *parent, const char *name)
{
	struct inode *i;
	struct key key;
	int err;

	if (v->conf.read_only)
		return -EROFS;
	err = name_usable(v, parent, name);
	if (!err)
		err = lookup_pinned(v, rq, parent, name, &i);
	if (err)
		return err;
	/* New attributes of it must not be sent when it is gone. */
	latch_write(&i->commit);
	err = tree_enter(parent, rq);
	if (err)
		goto release;
	err = i->directory ? key_of(v, parent, name, &key) : -ENOTDIR;
	if (!err)
		err = key_slash(&key);
	if (!err)
		err = directory_empty(v, rq, i, &key);
	if (!err)
		err = directory_keep(v, parent);
	if (!err)
		err = remove_object(v, &key);
	if (!err)
		hints_removed(v, &key);
	if (!err) {
		names_remove(v, i);
		names_changed(v, parent, name);
		directory_touched(parent);
	}
	tree_leave(parent);
release:
	latch_release(&i->commit);
	inode_unpin(i);
	return err;
}
