#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "fs/choose.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/resend.h"
#include "fs/xattrs.h"

#define TRIES 4

/* New attributes of what is stored. */

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
	hints_news(i->volume, dir, key, 0);
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
 * Where the server does not look at the condition of a copy, is the file sent
 * once more instead, with one?
 */
static int is_sent_again(struct inode *i, struct object *obj)
{
	const struct store_caps *caps = &i->volume->caps;

	inode_lock(i);
	*obj = inode_object(i);
	inode_unlock(i);
	return !i->directory && !caps->copy_if_match && caps->put_if_match &&
	       resend_can(obj);
}

/* -ESTALE: it is not the version that we know. */
static int send_again(struct inode *i, const struct key *key,
		      const struct object *obj, const struct attr *a,
		      struct store_stat *st, struct store_stat *written)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error, .if_match = obj->etag };
	struct resend r = { .source = *obj };
	int err;

	err = resend_fetch(i->volume, key, &r);
	if (!err)
		err = inode_describe(i, a, &r.st);
	if (!err)
		err = resend_store(i->volume, key, &r, &call, written);
	if (!err)
		*st = r.st;
	resend_clear(&r);
	return err;
}

/*
 * Is what is there what the attributes were set on, be it in another form?  The
 * attributes of a version that is gone are not those of its successor, whose
 * writer gave it its own.
 */
static int is_meant(struct inode *i, const struct store_stat *st)
{
	struct object now, known;

	if (i->directory)
		return 1;
	object_read(&now, st);
	inode_lock(i);
	known = inode_object(i);
	inode_unlock(i);
	if (!known.etag[0] || !strcmp(known.etag, st->etag))
		return 1;
	return known.has_digest && now.has_digest && known.size == now.size &&
	       !memcmp(known.digest, now.digest, DIGEST_LEN);
}

/* Copied onto itself, with a condition where the server keeps one. */
static int copy_again(struct inode *i, const struct key *key,
		      const struct attr *a, const struct store_call *call,
		      struct store_stat *st, struct store_stat *copied)
{
	struct volume *v = i->volume;
	struct store *s = v->conf.store;
	struct store_call copying = *call;
	struct store_head head;
	int err;

	err = what_is_there(i, key, call, st);
	if (!err && !is_meant(i, st))
		err = -ESTALE;
	if (!err)
		err = inode_describe(i, a, st);
	if (err)
		return err;
	store_head_of(st, &head);
	/* Else it was looked at just now, which is all that could be done. */
	if (v->caps.copy_if_match && st->etag[0])
		copying.if_match = st->etag;
	return i->directory ? put_marker(v, key, &head, copied)
			    : s->ops->copy(s, key->text, key->text, &head,
					   &copying, copied);
}

/*
 * One that changed its form under us (another mount made it a delta) is looked
 * at once more.
 */
static int store_attr(struct inode *i, const struct key *key,
		      const struct attr *a, const struct store_call *call,
		      struct store_stat *st, struct store_stat *copied)
{
	struct object obj;
	struct store_stat now;
	int err = -ESTALE;

	for (int tries = 0; err == -ESTALE && tries < TRIES; tries++) {
		if (!is_sent_again(i, &obj))
			return copy_again(i, key, a, call, st, copied);
		err = send_again(i, key, &obj, a, st, copied);
		if (err == -EOPNOTSUPP)
			return copy_again(i, key, a, call, st, copied);
		if (err != -ESTALE)
			break;
		err = object_head(i->volume, call, key->text, &obj, &now);
		if (err || !is_meant(i, &now))
			return err ? err : -ESTALE;
		inode_lock(i);
		inode_set_object(i, &obj);
		inode_unlock(i);
		err = -ESTALE;
	}
	return err;
}

/*
 * New metadata are a copy of the object onto itself.  Where the server does
 * not look at the condition of a copy, what is not large is sent again on
 * condition; of a large one, another writer's version that arrives in between
 * gets these metadata.
 */
int inode_commit_attr(struct inode *i, const struct attr *a)
{
	struct volume *v = i->volume;
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store_stat st = { 0 }, copied = { 0 };
	struct object now;
	struct key key;
	int err;

	err = key_of_inode(v, i, &key);
	if (err == -ESTALE)
		return 0; /* it has no name: nothing to keep them with */
	if (!err)
		err = store_attr(i, &key, a, &call, &st, &copied);
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
	if (err == -ESTALE)
		log_warning(
			"%s: another version was stored since its attributes were set: it keeps its own",
			key.text);
	else if (err)
		log_error(
			"%s: its new attributes (mode %04o, owner %u:%u) are not stored: %s: set them again",
			key.text, (unsigned)(a->mode & 07777), (unsigned)a->uid,
			(unsigned)a->gid, reason(err, &error));
	return err;
}
