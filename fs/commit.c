#include "fs/commit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "fs/log.h"
#include "fs/refkey.h"
#include "fs/sums.h"
#include "fs/tree.h"
#include "fs/xattrs.h"

#define PIECE     ((size_t)256 << 10)
#define PUT_TRIES 4

static int read_exact(struct pagefile *f, void *buf, size_t len, uint64_t off)
{
	ssize_t n = pagefile_pread(f, buf, len, off);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

static int read_source(void *arg, void *buf, size_t len, uint64_t off)
{
	return read_exact(arg, buf, len, off);
}

static int read_memory(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

struct scan {
	struct digest *digest;
	struct sketcher sketcher;
	struct sums_maker *sums; /* or NULL */
};

static int scan_piece(struct scan *s, const uint8_t *p, size_t n)
{
	int err;

	err = digest_update(s->digest, p, n);
	if (!err && s->sums)
		err = sums_maker_feed(s->sums, p, n);
	sketcher_feed(&s->sketcher, p, n);
	return err;
}

/* One pass over the bytes: all that has to be known of them. */
static int scan(struct commit *c)
{
	struct pagefile *f = c->inode->spool;
	struct scan s = { .digest = digest_new() };
	uint8_t *buf = malloc(PIECE);
	int err = s.digest && buf ? 0 : -ENOMEM;

	c->size = pagefile_length(f);
	if (!err && c->size > SUMS_MIN)
		err = sums_maker_new(&s.sums, c->size);
	for (uint64_t off = 0; !err && off < c->size;) {
		size_t n =
			c->size - off < PIECE ? (size_t)(c->size - off) : PIECE;

		err = read_exact(f, buf, n, off);
		if (!err)
			err = scan_piece(&s, buf, n);
		off += n;
	}
	if (!err)
		err = digest_final(s.digest, c->digest);
	if (!err && s.sums)
		err = sums_maker_finish(s.sums, &c->sums);
	sketcher_finish(&s.sketcher, &c->sketch);
	sums_maker_free(s.sums);
	digest_free(s.digest);
	if (buf)
		bytes_wipe(buf, PIECE);
	free(buf);
	return err;
}

static int put_sums(struct commit *c, uint8_t digest[DIGEST_LEN])
{
	struct store_source src = { .len = c->sums.len,
				    .read = read_memory,
				    .arg = &c->sums };
	struct store_error error = { 0 };
	struct store_call call = { .if_absent = 1, .error = &error };
	struct store *s = c->v->conf.store;
	struct key key;
	int err;

	err = digest_buffer(c->sums.data, c->sums.len, digest);
	if (!err)
		err = sums_key(c->v, c->digest, &key);
	if (!err)
		err = s->ops->put(s, key.text, &src, &(struct store_head){ 0 },
				  &call, NULL);
	if (err == -EEXIST)
		return 0;
	if (err)
		log_error("store %s: %s", key.text, error.text);
	return err;
}

static void created_of(const struct meta *m, char out[40])
{
	if (meta_get(m, "dg-created-at", out, 40))
		out[0] = '\0';
}

static void attempt_of(struct attempt *a, const struct commit *c,
		       const struct meta *m)
{
	memcpy(a->digest, c->digest, DIGEST_LEN);
	created_of(m, a->created);
}

/* The answer is lost: the next try must know what this one may have done. */
static void remember_attempt(struct commit *c, const struct meta *m)
{
	struct attempt *a = malloc(sizeof(*a));
	void *had;

	if (!a)
		return; /* the next try may take its own bytes for another's */
	attempt_of(a, c, m);
	inode_lock(c->inode);
	had = inode_swap_attempt(c->inode, a);
	inode_unlock(c->inode);
	free(had);
}

static int is_attempt(const struct attempt *a, const struct object *there,
		      const struct meta *m)
{
	char created[40];

	created_of(m, created);
	return a && there->has_digest &&
	       !memcmp(a->digest, there->digest, DIGEST_LEN) &&
	       !strcmp(a->created, created);
}

static int same_digest(const struct object *there, uint64_t size,
		       const uint8_t digest[DIGEST_LEN])
{
	return there->has_digest && there->size == size &&
	       !memcmp(there->digest, digest, DIGEST_LEN);
}

enum conflict {
	CONFLICT_OURS, /* an earlier try of this very commit */
	CONFLICT_SAME, /* the same bytes, as somebody else stored them */
	CONFLICT_AGAIN,
	CONFLICT_LOST
};

/*
 * The condition did not hold.  It may be our own bytes that are there, from
 * a try whose answer was lost; or the very file that this one replaces, in
 * another form or with other attributes, or an earlier try: then that is what
 * is replaced.  All else is somebody else's.
 */
static enum conflict look_at_conflict(struct commit *c, const struct meta *ours,
				      struct store_stat *st)
{
	struct inode *i = c->inode;
	enum conflict verdict = CONFLICT_LOST;
	struct attempt now;
	struct object there, known;
	int earlier;

	if (object_head(c->v, &(struct store_call){ 0 }, c->key.text, &there,
			st))
		return CONFLICT_LOST;
	attempt_of(&now, c, ours);
	inode_lock(i);
	known = inode_object(i);
	earlier = !i->has_target && is_attempt(i->attempt, &there, &st->meta);
	/* Without O_EXCL it does not matter who wrote these very bytes. */
	if (object_is_whole(&there, st) && is_attempt(&now, &there, &st->meta))
		verdict = CONFLICT_OURS;
	else if (object_is_whole(&there, st) && !i->exclusive &&
		 same_digest(&there, c->size, c->digest))
		verdict = CONFLICT_SAME;
	else if (earlier || (i->remote && known.has_digest &&
			     same_digest(&there, known.size, known.digest)))
		verdict = CONFLICT_AGAIN;
	if (earlier)
		i->exclusive = 0;
	if (verdict == CONFLICT_AGAIN) {
		inode_put_object(i, &there);
		i->remote = 1;
		inode_changed(i);
	}
	inode_unlock(i);
	return verdict;
}

/* One conditional PUT of what `head` and `src` say. */
static int put_once(struct commit *c, const struct store_source *src,
		    const struct store_head *head, struct store_stat *st)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct object base;
	int err, remote;

	inode_lock(c->inode);
	base = inode_object(c->inode);
	remote = c->inode->remote;
	inode_unlock(c->inode);
	/* Without an ETag it is not known what is there: no condition holds. */
	if (c->replaces_all)
		call.if_match = NULL;
	else if (remote && base.etag[0])
		call.if_match = base.etag;
	else if (remote)
		call.if_match = c->v->caps.put_if_match ? "unknown" : NULL;
	else
		call.if_absent = 1;
	err = c->v->conf.store->ops->put(c->v->conf.store, c->key.text, src,
					 head, &call, st);
	if (!err || err == -EEXIST || err == -ESTALE)
		return err;
	if (err == -EIO && error.etag[0]) {
		/* It is there, and damaged: the next try is to replace it. */
		inode_lock(c->inode);
		base = inode_object(c->inode);
		memcpy(base.etag, error.etag, sizeof(base.etag));
		inode_put_object(c->inode, &base);
		c->inode->remote = 1;
		inode_changed(c->inode);
		inode_unlock(c->inode);
	} else {
		remember_attempt(c, head->meta);
	}
	log_error("store %s: %s", c->key.text, reason(err, &error));
	return err;
}

static int put_until_settled(struct commit *c, const struct store_source *src,
			     const struct store_head *head,
			     struct store_stat *st)
{
	int err = -ESTALE, exclusive;

	for (int tries = 0; tries < PUT_TRIES; tries++) {
		err = put_once(c, src, head, st);
		if (err != -EEXIST && err != -ESTALE)
			return err;
		switch (look_at_conflict(c, head->meta, st)) {
		case CONFLICT_OURS:
			return 0;
		case CONFLICT_SAME:
			c->found = 1;
			return 0;
		case CONFLICT_AGAIN:
			continue;
		default:
			break;
		}
		break;
	}
	inode_lock(c->inode);
	exclusive = c->inode->exclusive;
	inode_unlock(c->inode);
	volume_count(c->v, &c->v->stats.conflicts, 1);
	if (c->v->conf.last_wins && !exclusive) {
		log_warning(
			"%s: somebody else stored another version since it was opened: replaced, as conflict=last-wins says",
			c->key.text);
		c->replaces_all = 1;
		return put_once(c, src, head, st);
	}
	log_error(
		"%s: somebody else stored another version since it was opened: not replaced",
		c->key.text);
	return err == -EEXIST && exclusive ? -EEXIST : -ESTALE;
}

int commit_describe(const struct commit *c, const uint8_t *sums_digest,
		    struct meta *m)
{
	struct object_facts facts = { .name = c->name,
				      .size = c->size,
				      .digest = c->digest,
				      .sums_digest = sums_digest,
				      .attr = &c->attr,
				      .xattr = c->xattr };

	if (c->size >= CANDIDATE_MIN)
		facts.sketch = &c->sketch;
	if (c->delta) {
		facts.codec = c->v->conf.codec;
		facts.ref_key = c->ref_key.text;
		facts.ref_digest = c->ref_digest;
		facts.ref_len = c->source.len;
		facts.delta_size = c->delta_len;
	}
	return object_write(&facts, m);
}

static int put_file(struct commit *c, struct store_stat *st)
{
	struct store_source src = { .len = c->delta ? c->delta_len : c->size,
				    .read = read_source,
				    .arg = c->delta ? c->delta
						    : c->inode->spool };
	uint8_t digest[DIGEST_LEN], *sums_digest = NULL;
	struct meta meta;
	struct store_head head = { .meta = &meta };
	int err = 0;

	c->found = 0;
	if (c->delta) {
		codec_head(c->v->conf.codec, &head);
	} else if (c->sums.len) {
		sums_digest = digest;
		err = put_sums(c, sums_digest);
	}
	if (!err)
		err = commit_describe(c, sums_digest, &meta);
	if (!err)
		err = put_until_settled(c, &src, &head, st);
	if (err || c->found)
		return err;
	if (!st->len)
		st->len = src.len;
	st->meta = meta;
	(void)snprintf(st->content_type, sizeof(st->content_type), "%s",
		       head.content_type ? head.content_type : "");
	(void)snprintf(st->content_encoding, sizeof(st->content_encoding), "%s",
		       head.content_encoding ? head.content_encoding : "");
	return 0;
}

static void count(struct commit *c, const struct store_stat *st)
{
	struct volume *v = c->v;

	if (c->found)
		return; /* nothing of ours was stored */
	(void)pthread_mutex_lock(&v->stats_lock);
	if (c->delta)
		v->stats.files_delta++;
	else
		v->stats.files_plain++;
	v->stats.logical_bytes += c->size;
	v->stats.stored_bytes += st->len;
	(void)pthread_mutex_unlock(&v->stats_lock);
}

static void remember(struct commit *c, const struct store_stat *st)
{
	struct candidate note = { .sketched = 1,
				  .len = c->size,
				  .sketch = c->sketch,
				  .mtime = attr_now() };

	choose_forget(c->dir, c->key.text);
	if (c->delta || c->found || c->size < CANDIDATE_MIN)
		return;
	memcpy(note.key, c->key.text, sizeof(note.key));
	memcpy(note.etag, st->etag, sizeof(note.etag));
	memcpy(note.digest, c->digest, DIGEST_LEN);
	choose_note(c->v, c->dir, &note);
}

/* The bucket has it: say so in the inode. */
static int stored(struct commit *c, const struct store_stat *st)
{
	struct inode *i = c->inode;
	struct object obj;
	void *attempt;
	struct attr now;
	int changed;

	object_read(&obj, st);
	if (!c->found) {
		obj.stored = st->len;
		obj.size = c->size;
	}
	i->dirty = 0;
	inode_lock(i);
	inode_set_object(i, &obj);
	i->unsaved = 0;
	i->exclusive = 0;
	attempt = inode_swap_attempt(i, NULL);
	i->pages_valid = 1;
	i->attr_waits = 0;
	i->attr.assumed = 0;
	now = i->attr;
	changed = !xattrs_equal(i->xattr, c->xattr);
	inode_unlock(i);
	free(attempt);
	if (!st->etag[0]) /* what became of it the next commit finds out */
		remember_attempt(c, &st->meta);
	names_changed(c->v, c->dir, c->name);
	count(c, st);
	remember(c, st);
	inode_keep_meta(i, st);
	hints_news(c->v, c->dir, &c->key, 0);
	if (c->promotes && !c->found)
		promote_after(c);
	/* chmod and the like that came during the upload; or somebody else's. */
	changed = changed || c->found || now.mode != c->attr.mode ||
		  now.uid != c->attr.uid || now.gid != c->attr.gid ||
		  !attr_time_equal(&now.mtime, &c->attr.mtime) ||
		  !attr_time_equal(&now.atime, &c->attr.atime);
	if (changed && i->volume->conf.attr_delay_ms)
		inode_defer_attr(i);
	else if (changed)
		return inode_commit_attr(i, &now);
	return 0;
}

static void drop_delta(struct commit *c)
{
	pagefile_close(c->delta);
	c->delta = NULL;
	c->promotes = 0;
}

/* Store the delta, and be sure of its reference; or the file as it is. */
static int put_safely(struct commit *c, struct store_stat *st)
{
	struct inode *i = c->inode;
	struct object obj;
	int err;

	err = put_file(c, st);
	/* What was there already names a reference of its own, if any. */
	if (err || !c->delta || c->found || !promote_check(c))
		return err;
	log_warning("%s: its reference is going away: stored as it is",
		    c->key.text);
	choose_forget(c->dir, c->ref_key.text);
	object_read(&obj, st);
	inode_lock(i);
	inode_set_object(i, &obj); /* which is what is replaced now */
	i->size = c->size;
	inode_unlock(i);
	drop_delta(c);
	*st = (struct store_stat){ 0 };
	return put_file(c, st);
}

static int run(struct commit *c)
{
	struct store_stat st = { 0 };
	int err;

	inode_lock(c->inode);
	c->attr = c->inode->attr;
	inode_unlock(c->inode);
	err = inode_copy_xattr(c->inode, &c->xattr);
	if (!err)
		err = key_of(c->v, c->dir, c->name, &c->key);
	if (!err)
		err = scan(c);
	if (err)
		return err;
	if (c->v->conf.delta && c->size >= CANDIDATE_MIN)
		commit_encode(c);
	if (c->delta && promote_before(c))
		drop_delta(c); /* as it is, then: that needs nobody else */
	err = put_safely(c, &st);
	if (!err)
		err = stored(c, &st);
	return err;
}

/*
 * Unlinked here, it lives for its handles only.  But where somebody else took
 * its name away, who writes must hear that it is stored nowhere.
 */
static int nameless(struct inode *i, int err)
{
	if (err != -ESTALE)
		return err;
	if (!names_is_superseded(i->volume, i))
		return 0;
	volume_count(i->volume, &i->volume->stats.conflicts, 1);
	return -ESTALE;
}

int inode_commit_locked(struct inode *i, enum commit_when when)
{
	struct commit c = { .v = i->volume, .inode = i };
	int err = 0;

	latch_read(&i->data);
	if (!i->dirty ||
	    (when == COMMIT_UNLESS_EMPTY && !pagefile_length(i->spool)))
		goto unlock;
	if (i->torn) {
		/* Half of what was meant must not replace what is there. */
		volume_count(c.v, &c.v->stats.commit_errors, 1);
		err = i->torn;
		goto unlock;
	}
	err = names_where(c.v, i, &c.dir, &c.name);
	if (err) {
		err = nameless(i, err);
		goto unlock;
	}
	err = run(&c);
	if (err)
		volume_count(c.v, &c.v->stats.commit_errors, 1);
	pagefile_close(c.delta);
	bytes_clear(&c.sums);
	free(c.xattr);
	free(c.name);
	inode_unpin(c.dir);
unlock:
	latch_release(&i->data);
	return err;
}

int inode_commit(struct inode *i, enum commit_when when)
{
	struct inode *dir;
	int err;

	latch_write(&i->commit);
	dir = inode_enter(i);
	err = inode_commit_locked(i, when);
	inode_leave(dir);
	latch_release(&i->commit);
	return err;
}
