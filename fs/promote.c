#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/refs.h"
#include "delta/bsdiff.h"
#include "delta/encode.h"
#include "fs/commit.h"
#include "fs/keyname.h"
#include "fs/log.h"
#include "fs/refkey.h"

/*
 * A plain file becomes a reference: its object is copied on the server to the
 * key that its digest gives, and then replaced, if nobody else replaced it
 * meanwhile, by a delta that says "the same as that".  Whatever fails after
 * the copy costs space, never bytes.
 */
static int read_ref(void *arg, void *buf, size_t len, uint64_t off)
{
	return ref_read(arg, buf, len, off);
}

static int read_memory(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

static int describe(const struct commit *c, struct meta *m)
{
	const struct candidate *s = &c->source;
	struct attr attr = { .mode = S_IFREG | 0444, .mtime = s->mtime };
	struct object_facts facts = { .name = "reference.bin",
				      .size = s->len,
				      .digest = s->digest,
				      .sketch = &s->sketch,
				      .attr = &attr };

	attr.atime = attr.ctime = attr.mtime;
	return object_write(&facts, m);
}

/*
 * From the cache, where its digest was checked: for a server whose copy may
 * have taken another version than the one that was meant.
 */
static int upload_reference(struct commit *c, const struct store_head *head)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct reference_source from = { .key = c->source.key,
					 .etag = c->source.etag,
					 .len = c->source.len,
					 .digest = c->source.digest };
	struct store *s = c->v->conf.store;
	struct store_source src = { .len = c->source.len, .read = read_ref };
	struct ref *ref;
	int err = -EBADMSG;

	/* A damaged page of the cache is fetched anew, once. */
	for (int tries = 0; err == -EBADMSG && tries < 2; tries++) {
		err = reference_from(c->v, &call, &from, &ref);
		if (err)
			return err;
		src.arg = ref;
		err = s->ops->put(s, c->ref_key.text, &src, head, &call, NULL);
		ref_put(ref);
	}
	return err;
}

/* Is the plain file still the version that was copied?  Then that was copied. */
static int source_unchanged(struct commit *c)
{
	struct store *s = c->v->conf.store;
	struct store_stat st;

	return c->source.etag[0] &&
	       !s->ops->head(s, c->source.key, &(struct store_call){ 0 },
			     &st) &&
	       !strcmp(st.etag, c->source.etag);
}

/*
 * Copy on the server, even over a reference that is there: that repairs one
 * that is damaged.  What was copied must be proven to be the version whose
 * digest is known: by the server's condition, by its ETag, or by the source
 * being the same afterwards; else it is uploaded from the cache.
 */
static int copy_reference(struct commit *c)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store *s = c->v->conf.store;
	struct store_stat copied = { 0 };
	struct meta meta;
	struct store_head head = { .meta = &meta };
	int err, sure;

	err = describe(c, &meta);
	if (err)
		return err;
	call.if_match = c->source.etag[0] ? c->source.etag : NULL;
	err = s->ops->copy(s, c->source.key, c->ref_key.text, &head, &call,
			   &copied);
	sure = !err &&
	       ((c->v->caps.copy_if_match && c->source.etag[0]) ||
		(copied.etag[0] && !strcmp(copied.etag, c->source.etag)) ||
		source_unchanged(c));
	if ((!err && !sure) || err == -EOPNOTSUPP) {
		err = upload_reference(c, &head);
		/* Nobody must take it for what its name says. */
		if (err && s->ops->remove(s, c->ref_key.text,
					  &(struct store_call){ 0 }))
			log_error("%s may not be what its name says: remove it",
				  c->ref_key.text);
	}
	if (err)
		log_warning("reference %s from %s: %s", c->ref_key.text,
			    c->source.key, reason(err, &error));
	return err;
}

int promote_before(struct commit *c)
{
	int err;

	if (!c->promotes)
		return 0; /* promote_check() looks, when it matters */
	err = copy_reference(c);
	if (!err)
		volume_count(c->v, &c->v->stats.promotions, 1);
	return err;
}

struct presence {
	const struct commit *c;
	int there, condemned;
};

static int look(void *arg, const char *key, const struct store_stat *st,
		int is_prefix)
{
	struct presence *p = arg;
	size_t len = strlen(key);

	(void)is_prefix;
	if (!strcmp(key, p->c->ref_key.text))
		p->there = st && st->len == p->c->source.len;
	else if (len > 10 && !strcmp(key + len - 10, "/condemned"))
		p->condemned = 1;
	return 0;
}

int promote_check(struct commit *c)
{
	struct presence p = { .c = c };
	struct key folder = c->ref_key;
	struct store_list what = { .prefix = folder.text };
	struct store *s = c->v->conf.store;
	char *slash = strrchr(folder.text, '/');
	struct meta meta;
	struct store_head head = { .meta = &meta };
	int err;

	if (slash)
		slash[1] = '\0';
	err = s->ops->list(s, &what, &(struct store_call){ 0 }, look, &p);
	if (err || p.condemned || p.there)
		return err ? err : p.condemned ? -ESTALE : 0;
	log_warning("%s was removed: putting it back", c->ref_key.text);
	err = describe(c, &meta);
	return err ? err : upload_reference(c, &head);
}

static int identity_head(struct commit *c, const struct store_stat *old,
			 uint64_t delta_len, struct meta *m)
{
	struct attr attr;
	struct object_facts facts = { .size = c->source.len,
				      .digest = c->source.digest,
				      .sketch = &c->source.sketch,
				      .codec = c->v->conf.codec,
				      .ref_key = c->ref_key.text,
				      .ref_digest = c->ref_digest,
				      .ref_len = c->source.len,
				      .delta_size = delta_len,
				      .attr = &attr };
	const char *slash = strrchr(c->source.key, '/');
	const char *part = slash ? slash + 1 : c->source.key;
	char created[META_VALUE_MAX], xattr[META_VALUE_MAX];
	char name[NAME_MAX + 1];
	int err;

	facts.name = keyname_decode(name, part, strlen(part)) < 0 ? part : name;
	attr_read(&attr, old, &c->v->conf.defaults, 0);
	if (!meta_get(&old->meta, "xattr", xattr, sizeof(xattr)))
		facts.xattr = xattr;
	err = object_write(&facts, m);
	if (!err &&
	    !meta_get(&old->meta, "dg-created-at", created, sizeof(created)))
		err = meta_set(m, "dg-created-at", created);
	return err;
}

/* The inode of the file that was replaced, if it is in memory, follows. */
static void tell_inode(struct commit *c, struct inode *i,
		       const struct store_stat *st)
{
	struct object obj;

	object_read(&obj, st);
	inode_lock(i);
	if (i->remote && inode_has_etag(i, c->source.etag)) {
		inode_put_object(i, &obj);
		inode_changed(i);
	}
	inode_unlock(i);
}

/* The delta that says "the same as that". */
static int identity_body(const struct commit *c, struct bytes *out)
{
	struct delta_info info = { .target_len = c->source.len,
				   .ref_len = c->source.len };

	if (c->v->conf.codec == CODEC_BSDIFF)
		return bsdiff_identity(c->source.len, out);
	memcpy(info.target_digest, c->ref_digest, DIGEST_LEN);
	memcpy(info.ref_digest, c->ref_digest, DIGEST_LEN);
	memcpy(info.ref_key, c->ref_key.text, sizeof(info.ref_key));
	return delta_identity(&info, out);
}

static int replace_source(struct commit *c, struct inode *i)
{
	struct store_call call = { .if_match = c->source.etag };
	struct store *s = c->v->conf.store;
	struct bytes body = BYTES_INIT;
	struct store_source src = { .read = read_memory, .arg = &body };
	struct store_stat old, st = { 0 };
	struct meta meta;
	struct store_head head = { .meta = &meta };
	int err;

	codec_head(c->v->conf.codec, &head);
	err = identity_body(c, &body);
	src.len = body.len;
	if (!err)
		err = s->ops->head(s, c->source.key, &(struct store_call){ 0 },
				   &old);
	if (!err && strcmp(old.etag, c->source.etag) != 0)
		err = -ESTALE;
	if (!err)
		err = identity_head(c, &old, body.len, &meta);
	if (!err)
		err = s->ops->put(s, c->source.key, &src, &head, &call, &st);
	bytes_clear(&body);
	if (err)
		return err;
	st.meta = meta;
	(void)snprintf(st.content_type, sizeof(st.content_type), "%s",
		       head.content_type);
	if (i)
		tell_inode(c, i, &st);
	return 0;
}

/*
 * One that is just being committed, renamed or changed is left as it is: its
 * lock comes in no order with the one that is held.
 */
static int replace_unless_busy(struct commit *c)
{
	const char *slash = strrchr(c->source.key, '/');
	const char *part = slash ? slash + 1 : c->source.key;
	char name[NAME_MAX + 1];
	struct inode *i = keyname_decode(name, part, strlen(part)) < 0
				  ? NULL
				  : names_find(c->v, c->dir, name);
	int err = -EBUSY;

	if (!i)
		return replace_source(c, NULL);
	if (latch_try_write(&i->commit)) {
		err = replace_source(c, i);
		latch_release(&i->commit);
	}
	inode_unpin(i);
	return err;
}

void promote_after(struct commit *c)
{
	struct candidate ref = c->source;
	int may = c->v->caps.put_if_match || c->v->conf.exclusive;

	ref.is_reference = 1;
	ref.foreign = 0;
	memcpy(ref.key, c->ref_key.text, sizeof(ref.key));
	ref.etag[0] = '\0';
	choose_note(c->v, c->dir, &ref);
	/* Others' objects stay as they are: others may read them. */
	if (!may || c->source.foreign || !c->source.etag[0])
		return;
	if (!replace_unless_busy(c))
		choose_forget(c->dir, c->source.key);
	else
		log_debug("%s stays as it is beside its reference",
			  c->source.key);
}
