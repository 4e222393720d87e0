#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/choose.h"
#include "fs/inode.h"
#include "fs/keyname.h"
#include "fs/log.h"
#include "fs/parallel.h"
#include "fs/unfinished.h"

/*
 * A directory's name is part of every key below it: all are copied on the
 * server, then all old ones removed.  Until the last copy is made every file
 * is readable under its old name; from then on under the new one.
 */
#define THREADS 16

struct moved {
	char *rest; /* of the key, below the directory */
	char etag
		[STORE_ETAG_MAX]; /* as listed: this version is copied, and removed */
	int copied;
	int there; /* an earlier try has copied it */
};

struct keys {
	struct moved *v;
	size_t n, cap;
};

struct move {
	struct volume *v;
	struct inode *dir; /* that is moved */
	struct key from, to; /* with their '/' */
	struct keys keys;
	int again; /* there was an earlier try */
};

static int on_key(void *arg, const char *key, const struct store_stat *st,
		  int is_prefix)
{
	struct move *m = arg;
	const char *rest = key + strlen(m->from.text);
	size_t len = strlen(rest);
	struct moved *one;

	(void)is_prefix;
	if (!strcmp(rest, ".dg/format") ||
	    (len > 11 && !strcmp(rest + len - 11, "/.dg/format")))
		return -EBUSY; /* another mount's prefix: its keys are absolute */
	if (m->keys.n == m->keys.cap) {
		size_t cap = m->keys.cap ? 2 * m->keys.cap : 256;
		struct moved *p = reallocarray(m->keys.v, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		m->keys.v = p;
		m->keys.cap = cap;
	}
	one = &m->keys.v[m->keys.n];
	*one = (struct moved){ .rest = strdup(rest) };
	if (!one->rest)
		return -ENOMEM;
	memcpy(one->etag, st->etag, sizeof(one->etag));
	m->keys.n++;
	return 0;
}

static int join(const struct key *dir, const char *rest, struct key *out)
{
	size_t a = strlen(dir->text), b = strlen(rest);

	if (a + b > STORE_KEY_MAX)
		return -ENAMETOOLONG;
	memcpy(out->text, dir->text, a);
	memcpy(out->text + a, rest, b + 1);
	return 0;
}

/* The inode in memory at that path below `dir`, pinned, or NULL. */
static struct inode *find_path(struct volume *v, struct inode *dir,
			       const char *path)
{
	char *copy = strdup(path), *save = NULL, *part;
	struct inode *i = dir, *next;
	char name[NAME_MAX + 1];

	if (!copy)
		return NULL;
	inode_pin(i);
	for (part = strtok_r(copy, "/", &save); part && i;
	     part = strtok_r(NULL, "/", &save)) {
		next = keyname_decode(name, part, strlen(part)) < 0
			       ? NULL
			       : names_find(v, i, name);
		inode_unpin(i);
		i = next;
	}
	free(copy);
	return i;
}

/* The version is the same; its ETag need not be. */
static void tell_inode(struct move *m, const char *rest,
		       const struct store_stat *st)
{
	struct inode *i = find_path(m->v, m->dir, rest);

	if (!i)
		return;
	inode_lock(i);
	if (i->remote && !i->directory)
		inode_rewritten(i, st);
	inode_unlock(i);
	inode_unpin(i);
}

static int copy_key(void *arg, size_t k)
{
	struct move *m = arg;
	struct store_error error = { 0 };
	const char *etag = m->keys.v[k].etag;
	struct store_call call = { .error = &error };
	struct store *s = m->v->conf.store;
	struct store_stat st = { 0 };
	struct key from, to;
	int err;

	if (m->keys.v[k].there) {
		m->keys.v[k].copied = 1;
		return 0;
	}
	if (m->v->caps.copy_if_match && etag[0])
		call.if_match = etag;
	err = join(&m->from, m->keys.v[k].rest, &from);
	if (!err)
		err = join(&m->to, m->keys.v[k].rest, &to);
	if (!err)
		err = s->ops->copy(s, from.text, to.text, NULL, &call, &st);
	if (err == -ESTALE) {
		/* A newer version: it moves, and also stays where it is. */
		call.if_match = NULL;
		err = s->ops->copy(s, from.text, to.text, NULL, &call, &st);
	}
	if (err == -ENOENT)
		return 0; /* removed by somebody else meanwhile */
	if (err == -EOPNOTSUPP)
		return -EXDEV;
	if (err) {
		log_error("rename %s: %s", m->keys.v[k].rest,
			  reason(err, &error));
		return err;
	}
	m->keys.v[k].copied = 1;
	tell_inode(m, m->keys.v[k].rest, &st);
	return 0;
}

static int remove_key(struct move *m, const struct key *dir, size_t k,
		      const char *etag)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error, .if_match = etag };
	struct key key;
	int err;

	err = join(dir, m->keys.v[k].rest, &key);
	if (!err)
		err = m->v->conf.store->ops->remove(m->v->conf.store, key.text,
						    &call);
	if (err == -ESTALE) {
		log_warning(
			"rename: another version of %s was stored meanwhile and stays",
			key.text);
		return 0;
	}
	if (err)
		log_error("remove %s: %s", key.text, reason(err, &error));
	return err;
}

static int remove_old(void *arg, size_t k)
{
	struct move *m = arg;

	const char *etag = m->keys.v[k].etag;

	if (!m->keys.v[k].copied)
		return 0;
	return remove_key(m, &m->from, k, etag[0] ? etag : NULL);
}

static int remove_new(void *arg, size_t k)
{
	struct move *m = arg;

	if (m->keys.v[k].copied && remove_key(m, &m->to, k, NULL))
		log_warning("%s%s is left over from a rename that failed",
			    m->to.text, m->keys.v[k].rest);
	return 0;
}

/* Keys changed below: what was known by key is not known any more. */
static int forget_catalogues(struct volume *v, struct inode *dir)
{
	struct inode **kids;
	size_t n;
	int err;

	catalogue_free(directory_of(dir)->catalogue);
	directory_of(dir)->catalogue = NULL;
	err = names_children(v, dir, &kids, &n);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (kids[i]->directory && !err)
			err = forget_catalogues(v, kids[i]);
		inode_unpin(kids[i]);
	}
	free((void *)kids);
	return err;
}

static int list_old(struct move *m)
{
	struct store_list what = { .prefix = m->from.text };
	struct store_call call = { 0 };
	struct store *s = m->v->conf.store;

	return s->ops->list(s, &what, &call, on_key, m);
}

/* A marker under both names is two empty directories, which a rename joins. */
static int is_noted(const struct move *m)
{
	return m->keys.n > 1 || (m->keys.n && m->keys.v[0].rest[0]);
}

/* Copy all, or none. */
static int copy_all(struct move *m)
{
	int err;

	if (!m->again && is_noted(m))
		unfinished_note(m->v, &m->from, &m->to);
	err = parallel_for(m->keys.n, THREADS, copy_key, m);
	/* What an earlier try has left may have its only copy there. */
	if (!err || m->again)
		return err;
	if (!parallel_for(m->keys.n, THREADS, remove_new, m) && is_noted(m))
		unfinished_clear(m->v, &m->from, &m->to);
	return err;
}

static int move_all(struct move *m, const struct rename *r)
{
	int err, marker;

	err = copy_all(m);
	if (err)
		return err;
	err = forget_catalogues(m->v, m->dir);
	if (!err)
		err = names_add(m->v, r->to_parent, r->to, m->dir);
	/* Whoever has asked for an old key does not trust that it is gone. */
	atomic_fetch_add(&m->v->moves, 1);
	names_changed(m->v, r->from_parent, r->from);
	directory_touched(r->from_parent);
	directory_touched(r->to_parent);
	inode_lock(m->dir);
	marker = m->dir->marker;
	inode_unlock(m->dir);
	if (!err && !marker)
		err = directory_keep(m->v, m->dir);
	if (!err)
		err = directory_keep(m->v, r->from_parent);
	if (!err)
		err = parallel_for(m->keys.n, THREADS, remove_old, m);
	if (!err && (is_noted(m) || m->again))
		unfinished_clear(m->v, &m->from, &m->to);
	return err;
}

/* What is under the new name already, beside what is to go there. */
struct leftover {
	struct move *m;
	struct timespec since; /* when the earlier try was begun */
	size_t at; /* in m->keys, which has the same order */
};

static int head_of(struct move *m, const struct key *dir, const char *rest,
		   struct object *obj, struct store_stat *st)
{
	struct store_call call = { 0 };
	struct key key;
	int err = join(dir, rest, &key);

	return err ? err : object_head(m->v, &call, key.text, obj, st);
}

/*
 * Has it the same content as the old one?  Then it is there, or copied again
 * where the old one has newer attributes.  All else is somebody's file.
 */
static int is_copy(struct move *m, struct moved *one)
{
	struct store_stat old, new;
	struct object a, b;
	int err;

	err = head_of(m, &m->from, one->rest, &a, &old);
	if (!err)
		err = head_of(m, &m->to, one->rest, &b, &new);
	if (err)
		return err;
	if (a.stored != b.stored ||
	    (a.stored && strcmp(a.etag, b.etag) != 0 &&
	     (!a.has_digest || !b.has_digest ||
	      memcmp(a.digest, b.digest, DIGEST_LEN) != 0)))
		return -ENOTEMPTY;
	one->there = old.mtime.tv_sec <= new.mtime.tv_sec;
	return 0;
}

static int on_leftover(void *arg, const char *key, const struct store_stat *st,
		       int is_prefix)
{
	struct leftover *l = arg;
	struct move *m = l->m;
	const char *rest = key + strlen(m->to.text);

	(void)is_prefix;
	if (*rest && st->mtime.tv_sec < l->since.tv_sec)
		return -ENOTEMPTY; /* it was there before */
	while (l->at < m->keys.n && strcmp(m->keys.v[l->at].rest, rest) < 0)
		l->at++;
	if (l->at < m->keys.n && !strcmp(m->keys.v[l->at].rest, rest))
		m->keys.v[l->at].there = 1;
	return 0;
}

static int look_at_leftover(void *arg, size_t k)
{
	struct move *m = arg;

	return m->keys.v[k].there ? is_copy(m, &m->keys.v[k]) : 0;
}

/*
 * The new name is not empty.  If that is what an earlier try of this rename has
 * left, go on with it: 0.  -ENOTEMPTY if not.
 */
static int go_on(struct move *m)
{
	struct leftover l = { .m = m };
	struct store_list what = { .prefix = m->to.text };
	struct store_call call = { 0 };
	struct store *s = m->v->conf.store;
	int err;

	err = unfinished_find(m->v, &m->from, &m->to, &l.since);
	if (err <= 0)
		return err ? err : -ENOTEMPTY;
	err = s->ops->list(s, &what, &call, on_leftover, &l);
	if (!err)
		err = parallel_for(m->keys.n, THREADS, look_at_leftover, m);
	m->again = 1;
	return err;
}

static int on_any(void *arg, const char *key, const struct store_stat *st,
		  int is_prefix)
{
	struct move *m = arg;

	(void)st;
	(void)is_prefix;
	return strcmp(key, m->to.text) != 0 ? -ENOTEMPTY : 0;
}

/*
 * The new name was not there when it was last looked up.  Another mount may
 * have made it since: what is below it must not be mixed with what comes.
 */
static int nothing_there(struct move *m, const struct request *rq)
{
	struct store_list what = { .prefix = m->to.text, .max = 2 };
	struct store_call call = call_of(rq, NULL);
	struct store *s = m->v->conf.store;
	struct key file = m->to;
	struct store_stat st;
	int err;

	file.text[strlen(file.text) - 1] = '\0';
	err = s->ops->head(s, file.text, &call, &st);
	if (err != -ENOENT)
		return err ? err : -ENOTDIR;
	return s->ops->list(s, &what, &call, on_any, m);
}

int rename_directory(struct volume *v, const struct request *rq,
		     const struct rename *r, struct inode *from,
		     struct inode *to)
{
	struct move m = { .v = v, .dir = from };
	int err;

	if (from == to)
		return 0;
	err = key_of(v, r->from_parent, r->from, &m.from);
	if (!err)
		err = key_of(v, r->to_parent, r->to, &m.to);
	if (!err)
		err = key_slash(&m.from);
	if (!err)
		err = key_slash(&m.to);
	if (!err)
		err = list_old(&m);
	if (!err)
		err = to ? directory_empty(v, rq, to, &m.to)
			 : nothing_there(&m, rq);
	if (err == -ENOTEMPTY)
		err = go_on(&m);
	if (!err)
		err = move_all(&m, r);
	for (size_t i = 0; i < m.keys.n; i++)
		free(m.keys.v[i].rest);
	free(m.keys.v);
	return err;
}
