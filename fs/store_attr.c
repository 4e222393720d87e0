#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/choose.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/xattrs.h"

#define SMALL ((uint64_t)64 << 10) /* bytes that are sent again as they are */

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

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int read_taken(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

/*
 * Is a small file sent once more, with a condition, rather than copied without?
 * Only what can be verified: a flipped bit on the way must not become the file.
 */
static int is_sent_again(struct inode *i, struct object *obj)
{
	const struct store_caps *caps = &i->volume->caps;

	inode_lock(i);
	*obj = inode_object(i);
	inode_unlock(i);
	return !i->directory && !caps->copy_if_match && caps->put_if_match &&
	       obj->form == OBJECT_PLAIN && obj->has_digest && obj->etag[0] &&
	       obj->stored && obj->stored <= SMALL;
}

/* -ESTALE: it is not the version that we know, or not its bytes. */
static int send_again(struct inode *i, const struct key *key,
		      const struct object *obj, const struct attr *a,
		      struct store_stat *st, struct store_stat *written)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error, .if_match = obj->etag };
	struct store *s = i->volume->conf.store;
	struct bytes body = BYTES_INIT;
	struct store_source src = { .len = obj->stored,
				    .read = read_taken,
				    .arg = &body };
	uint8_t digest[DIGEST_LEN];
	struct store_head head;
	int err;

	err = s->ops->get(s, key->text, 0, obj->stored, &call, take, &body, st);
	if (!err)
		err = digest_buffer(body.data, body.len, digest);
	if (!err && (body.len != obj->stored || st->len != obj->stored ||
		     memcmp(digest, obj->digest, DIGEST_LEN) != 0))
		err = -ESTALE;
	if (!err)
		err = inode_describe(i, a, st);
	if (!err) {
		store_head_of(st, &head);
		err = s->ops->put(s, key->text, &src, &head, &call, written);
	}
	bytes_clear(&body);
	return err;
}

/*
 * New metadata are a copy of the object onto itself.  Where the server does
 * not look at the condition of a copy, a small file is sent again on condition;
 * of a larger one another writer's version that arrives in between gets these
 * attributes.
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
	if (!err && is_sent_again(i, &now)) {
		err = send_again(i, &key, &now, a, &st, &copied);
		if (!err)
			goto stored;
		if (err == -ESTALE || err == -ENOENT)
			err = 0; /* see what is there instead */
		st = copied = (struct store_stat){ 0 };
	}
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
stored:
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
