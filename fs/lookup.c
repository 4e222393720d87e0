#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "fs/fetch.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/xattrs.h"
#include "s3/errand.h"

/* A change of the name while the bucket was asked makes the answer old. */
#define TRIES 8

int name_usable(struct volume *v, struct inode *dir, const char *name)
{
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	return dir == v->root && !strcmp(name, ".dg") ? -EPERM : 0;
}

/* Is `b` the file that `a` was, be it in another form? */
static int same_content(const struct object *a, const struct object *b)
{
	if (a->has_digest && b->has_digest)
		return a->size == b->size &&
		       !memcmp(a->digest, b->digest, DIGEST_LEN);
	return a->etag[0] && !strcmp(a->etag, b->etag) &&
	       a->stored == b->stored;
}

enum verdict {
	KEPT, /* it is what it was, or what we know is newer than the answer */
	TAKEN, /* nobody holds it open: it is the new version from now on */
	ANOTHER /* it has become another file under a handle's feet */
};

/* The bucket was asked when the inode was of that generation, and said `r`. */
static enum verdict adopt(struct inode *i, const struct resolved *r,
			  uint64_t generation)
{
	enum verdict verdict = KEPT;
	struct object known;
	unsigned opens;
	int same, corrected;

	if (i->directory != r->directory)
		return ANOTHER;
	/* Both: who opens it now reads what it is made here, all of it. */
	(void)pthread_mutex_lock(&i->volume->lock);
	inode_lock(i);
	opens = i->opens;
	if (i->generation + atomic_load(&i->volume->moves) != generation)
		goto unlock;
	known = inode_object(i);
	same = i->directory || (i->remote && same_content(&known, &r->object));
	/* Of one version two lengths were told: that was the answer's fault. */
	corrected = !same && !i->spooled && i->remote && known.etag[0] &&
		    !strcmp(known.etag, r->object.etag);
	if (!same && !corrected && (opens || i->spooled)) {
		verdict = ANOTHER;
		goto unlock;
	}
	if (corrected)
		i->sniffed = 0;
	if (!same) {
		i->attr_waits = 0; /* they were another version's */
		free(inode_swap_attempt(i, NULL));
	}
	if (!i->attr_waits && inode_set_xattr(i, r->xattr))
		goto unlock; /* no memory: it is asked again */
	if (!i->attr_waits)
		i->attr = r->attr;
	i->attr_unseen = 0;
	i->marker = r->marker;
	i->checked_ms = clock_ms();
	inode_changed(i);
	/* What looking into it told stays true of the same version. */
	if (!i->directory &&
	    !(i->sniffed && inode_has_etag(i, r->object.etag))) {
		inode_set_object(i, &r->object);
		i->sniffed = 0;
	}
	if (r->since_ms)
		i->checked_ms = r->since_ms;
	if (!i->attr_waits)
		i->hinted = r->hinted;
	if (!same) {
		inode_replaced(i);
		verdict = TAKEN;
	}
unlock:
	inode_unlock(i);
	(void)pthread_mutex_unlock(&i->volume->lock);
	return verdict;
}

int inode_of(struct volume *v, struct inode *dir, const char *name,
	     const struct resolved *r, struct inode **out)
{
	struct inode *i, *had;
	int err;

	err = inode_new(v, r->directory, &i);
	if (err)
		return err;
	i->attr = r->attr;
	i->marker = r->marker;
	i->checked_ms = clock_ms();
	if (!r->directory)
		inode_set_object(i, &r->object);
	if (r->since_ms)
		i->checked_ms = r->since_ms;
	i->hinted = r->hinted;
	had = NULL;
	err = inode_set_xattr(i, r->xattr);
	if (!err)
		err = names_claim(v, dir, name, i, &had);
	if (err || had)
		inode_forget(v, i, 1);
	if (err)
		return err;
	if (had) {
		inode_hold(had);
		inode_unpin(had);
		i = had;
	}
	*out = i;
	return 0;
}

/* What the bucket says of an inode that is known; -EAGAIN: ask once more. */
static int settle_known(struct volume *v, struct inode *i, int err,
			const struct resolved *r, uint64_t generation)
{
	if (err && err != -ENOENT)
		return err;
	if (inode_local(i) || inode_generation(i) != generation)
		return 0;
	if (!err && adopt(i, r, generation) != ANOTHER)
		return 0;
	if (!names_supersede(v, i, generation))
		return 0;
	return err ? err : -EAGAIN;
}

/* Of a version that is in memory, says a listing that it is there yet? */
static int is_listed(struct inode *i, const struct listing_entry *e)
{
	struct object o;
	int is;

	inode_lock(i);
	is = !i->directory && i->remote && !i->attr_unseen && e->etag[0] &&
	     inode_has_etag(i, e->etag);
	if (is && !i->volume->caps.etag_of_write) {
		o = inode_object(i);
		is = object_is_listed(&o, e->etag, e->len, &e->written);
		if (is)
			inode_put_object(i, &o);
	}
	if (is && i->checked_ms < e->since_ms)
		i->checked_ms = e->since_ms;
	inode_unlock(i);
	return is;
}

/* Did the bucket's hints have other attributes of that very version? */
static int contradicts(struct inode *i, const struct resolved *r)
{
	int does;

	inode_lock(i);
	does = i->hinted && inode_has_etag(i, r->object.etag) &&
	       (i->attr.mode != r->attr.mode || i->attr.uid != r->attr.uid ||
		i->attr.gid != r->attr.gid ||
		!attr_time_equal(&i->attr.mtime, &r->attr.mtime) ||
		!xattrs_equal(i->xattr, r->xattr));
	inode_unlock(i);
	return does;
}

/*
 * What the bucket has under the name, by what a listing told if there is one.
 * `i`, or NULL, is what is known of it: 1 if it is that yet.
 */
static int resolve_name(struct volume *v, const struct request *rq,
			struct inode *dir, const char *name, struct inode *i,
			struct resolved *out)
{
	struct listing_entry e;
	enum listing_says says;
	struct key key;
	int err;

	err = key_of(v, dir, name, &key);
	if (err)
		return err == -ESTALE ? -ENOENT : err;
	says = listing_ask(v, rq, dir, name, &e);
	if (says == LISTED_NOTHING)
		return -ENOENT;
	if (says == LISTED_FILE && i && is_listed(i, &e))
		return 1;
	if (says == LISTED_FILE && hints_find(v, rq, &key, &e, name, out))
		return 0;
	if (rq && rq->known_only)
		return -EREMOTE;
	if (says != LISTED_DIRECTORY) {
		err = resolve(v, rq, &key, out);
		if (!err && !out->directory)
			hints_news(v, dir, &key, i && contradicts(i, out));
		return err;
	}
	err = key_slash(&key);
	return err ? err : resolve_marker(v, rq, &key, out);
}

/* One try; -EAGAIN if the name changed meanwhile. */
static int lookup_once(struct volume *v, const struct request *rq,
		       struct inode *dir, const char *name, struct inode **out)
{
	struct inode *i = names_find(v, dir, name);
	uint64_t count = names_change_count(v, dir, name), generation = 0;
	struct resolved r;
	int err = 0;

	if (i && inode_fresh(i))
		goto found;
	if (i)
		generation = inode_generation(i);
	err = resolve_name(v, rq, dir, name, i, &r);
	if (err > 0) {
		err = 0;
		goto found;
	}
	if (!err && r.directory) {
		err = name_hidden(v, rq, dir, name);
		if (err > 0)
			err = -ENOENT;
	}
	if (i) {
		err = settle_known(v, i, err, &r, generation);
		goto found;
	}
	if (names_change_count(v, dir, name) != count)
		return -EAGAIN;
	return err ? err : inode_of(v, dir, name, &r, out);

found:
	if (!err) {
		inode_hold(i);
		*out = i;
	}
	inode_unpin(i);
	return err;
}

int volume_lookup(struct volume *v, const struct request *rq,
		  struct inode *parent, const char *name, struct inode **out,
		  struct stat *st)
{
	int err;

	err = name_usable(v, parent, name);
	if (err)
		return err == -EPERM ? -ENOENT : err;
	err = -EAGAIN;
	for (int i = 0; i < TRIES && err == -EAGAIN; i++)
		err = lookup_once(v, rq, parent, name, out);
	if (!err && st)
		inode_stat(*out, st);
	return err == -EAGAIN ? -EBUSY : err;
}

int lookup_pinned(struct volume *v, const struct request *rq,
		  struct inode *parent, const char *name, struct inode **out)
{
	struct inode *i;
	int err;

	err = volume_lookup(v, rq, parent, name, &i, NULL);
	if (err)
		return err;
	inode_pin(i);
	inode_forget(v, i, 1);
	*out = i;
	return 0;
}

/* By its name, as it is now.  -ESTALE if it has none. */
static int resolve_inode(struct inode *i, const struct request *rq,
			 struct resolved *out)
{
	struct inode *dir;
	char *name;
	int err;

	err = names_where(i->volume, i, &dir, &name);
	if (err)
		return err;
	err = resolve_name(i->volume, rq, dir, name, i, out);
	free(name);
	inode_unpin(dir);
	return err;
}

int inode_sniff(struct inode *i, const struct request *rq)
{
	struct store_call call = call_of(rq, NULL);
	struct object obj;
	struct key key;
	int err, look;

	inode_lock(i);
	obj = inode_object(i);
	look = !i->directory && i->remote && !i->unsaved && !i->sniffed &&
	       obj.form == OBJECT_FOREIGN && S_ISREG(i->attr.mode);
	inode_unlock(i);
	if (!look || !obj.etag[0])
		return 0;
	err = key_of_inode(i->volume, i, &key);
	if (err == -ESTALE)
		return 0; /* without a name it is what its handles opened */
	if (!err)
		err = fetch_is_container(i->volume, &call, key.text, &obj);
	if (err > 0) {
		obj.form = OBJECT_DELTA;
		obj.has_size = 0;
		err = fetch_describe(i->volume, &call, key.text, &obj);
	}
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	inode_lock(i);
	if (inode_has_etag(i, obj.etag) && !i->sniffed) {
		i->sniffed = 1;
		if (obj.form == OBJECT_DELTA) {
			inode_set_object(i, &obj);
			i->pages_valid = 0;
			err = -ESTALE; /* its size is another: the kernel asks */
		}
	}
	inode_unlock(i);
	return err;
}

int inode_refresh(struct inode *i, const struct request *rq)
{
	struct volume *v = i->volume;
	struct resolved r;
	uint64_t generation;
	unsigned opens;
	int err;

	if (inode_fresh(i))
		return 0;
	generation = inode_generation(i);
	err = resolve_inode(i, rq, &r);
	if (err == -ESTALE)
		return 0; /* without a name it is what its handles opened */
	if (err > 0)
		return 0;
	err = settle_known(v, i, err, &r, generation);
	if (err != -ENOENT && err != -EAGAIN)
		return err;
	/* Another file, or none: its handles go on with what they opened. */
	(void)pthread_mutex_lock(&v->lock);
	opens = i->opens;
	(void)pthread_mutex_unlock(&v->lock);
	if (opens)
		return 0;
	return err == -ENOENT ? err
			      : -ESTALE; /* the kernel looks it up again */
}

#define ROOT_MS 1000 /* then what is known of the root has to do */

static int is_unreachable(int err)
{
	return err == -ETIMEDOUT || err == -EHOSTUNREACH || err == -EIO;
}

int volume_getattr(struct volume *v, const struct request *rq, struct inode *i,
		   struct stat *out)
{
	int err;

	if (i == v->root)
		errand_hurry(ROOT_MS);
	err = inode_refresh(i, rq);
	/* df(1) asks for it, who must not hang where the server does. */
	if (i == v->root && is_unreachable(err))
		err = 0;
	if (!err)
		inode_stat(i, out);
	return err;
}
