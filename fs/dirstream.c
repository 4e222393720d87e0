#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"
#include "fs/keyname.h"
#include "fs/log.h"
#include "fs/parallel.h"

#define BATCH   64 /* entries looked up ahead */
#define THREADS 16

struct entry {
	char *name;
	int directory;
};

struct dirstream {
	struct volume *v;
	struct inode *dir; /* pinned */
	struct entry *list;
	size_t n, cap;
	size_t prefix; /* bytes of a key before the name */
	struct listing *listing; /* while it is filled */
	struct inode *warm[BATCH]; /* held: looked up ahead */
	size_t warm_from, warm_to;
};

static int add(struct dirstream *d, const char *name, size_t len, int directory)
{
	struct entry *e;

	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 64;
		struct entry *p = reallocarray(d->list, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->list = p;
		d->cap = cap;
	}
	e = &d->list[d->n];
	e->name = strndup(name, len);
	if (!e->name)
		return -ENOMEM;
	e->directory = directory;
	d->n++;
	return 0;
}

/* Keys that no path can name are left out: see README, "What it does not". */
static int usable(const char *name, size_t len)
{
	return len && len <= NAME_MAX && !(len == 1 && *name == '.') &&
	       !(len == 2 && !memcmp(name, "..", 2));
}

static int on_entry(void *arg, const char *key, const struct store_stat *st,
		    int is_prefix)
{
	struct dirstream *d = arg;
	size_t part = strlen(key + d->prefix), len;
	char name[NAME_MAX + 1];
	int err;

	if (is_prefix && part)
		part--;
	err = keyname_decode(name, key + d->prefix, part);
	if (err < 0 || !usable(name, (size_t)err))
		return 0;
	len = (size_t)err;
	err = add(d, name, len, is_prefix);
	if (!err && d->listing)
		err = listing_add(d->listing, name, len, is_prefix ? NULL : st);
	return err;
}

/* By name; a file before the directory of the same name, which it hides. */
static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : x->directory - y->directory;
}

static void unique(struct dirstream *d)
{
	size_t to = 0;

	if (d->n)
		qsort(d->list, d->n, sizeof(*d->list), by_name);
	for (size_t i = 0; i < d->n; i++) {
		if (to && !strcmp(d->list[to - 1].name, d->list[i].name))
			free(d->list[i].name);
		else
			d->list[to++] = d->list[i];
	}
	d->n = to;
}

/* Files that the bucket does not have yet. */
static int add_local(struct dirstream *d)
{
	struct inode **kids, *parent;
	char *name;
	size_t n;
	int err;

	err = names_children(d->v, d->dir, &kids, &n);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (!err && inode_local(kids[i]) &&
		    !names_where(d->v, kids[i], &parent, &name)) {
			if (parent == d->dir)
				err = add(d, name, strlen(name),
					  kids[i]->directory);
			free(name);
			inode_unpin(parent);
		}
		inode_unpin(kids[i]);
	}
	free((void *)kids);
	return err;
}

static int hide_ours(struct dirstream *d, const struct request *rq)
{
	struct entry want = { .name = (char *)".dg", .directory = 1 };
	struct entry *e = NULL;
	int hidden;

	if (d->n)
		e = bsearch(&want, d->list, d->n, sizeof(want), by_name);
	if (!e)
		return 0;
	hidden = name_hidden(d->v, rq, d->dir, ".dg");
	if (hidden <= 0)
		return hidden;
	free(e->name);
	memmove(e, e + 1, (size_t)(d->list + d->n - e - 1) * sizeof(*e));
	d->n--;
	return 0;
}

static int fill(struct dirstream *d, const struct request *rq)
{
	struct store_error error = { 0 };
	struct store_call call = call_of(rq, &error);
	struct store_list what = { .shallow = 1 };
	struct key key;
	int err;

	err = key_of_inode(d->v, d->dir, &key);
	if (err)
		return err == -ESTALE ? 0 : err; /* removed: empty */
	what.prefix = key.text;
	d->prefix = strlen(key.text);
	/* First: one that is stored meanwhile may be too late for the list. */
	err = add_local(d);
	if (err)
		return err;
	d->listing = listing_new(d->v); /* without it, it does without */
	err = d->v->conf.store->ops->list(d->v->conf.store, &what, &call,
					  on_entry, d);
	if (err)
		log_error("list %s: %s", key.text, reason(err, &error));
	if (err)
		return err;
	if (d->listing)
		listing_offer(d->dir, d->listing);
	d->listing = NULL;
	unique(d);
	return hide_ours(d, rq);
}

int dirstream_open(struct volume *v, const struct request *rq,
		   struct inode *dir, struct dirstream **out)
{
	struct dirstream *d;
	int err;

	if (!dir->directory)
		return -ENOTDIR;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->v = v;
	d->dir = dir;
	inode_pin(dir);
	err = fill(d, rq);
	if (err) {
		dirstream_close(d);
		return err;
	}
	*out = d;
	return 0;
}

struct inode *dirstream_inode(const struct dirstream *d)
{
	return d->dir;
}

size_t dirstream_count(const struct dirstream *d)
{
	return d->n;
}

void dirstream_get(const struct dirstream *d, size_t at,
		   struct dirent_view *out)
{
	out->name = d->list[at].name;
	out->type = d->list[at].directory ? S_IFDIR : 0;
}

static void cool(struct dirstream *d)
{
	for (size_t i = 0; i < d->warm_to - d->warm_from; i++)
		if (d->warm[i])
			inode_forget(d->v, d->warm[i], 1);
	d->warm_from = d->warm_to = 0;
}

struct ahead {
	struct dirstream *d;
	const struct request *rq;
};

static int look(void *arg, size_t k)
{
	struct ahead *a = arg;
	struct dirstream *d = a->d;

	/* What fails here fails again, and is told, where it is asked for. */
	if (volume_lookup(d->v, a->rq, d->dir, d->list[d->warm_from + k].name,
			  &d->warm[k], NULL))
		d->warm[k] = NULL;
	return 0;
}

void dirstream_prefetch(struct dirstream *d, const struct request *rq,
			size_t at)
{
	struct ahead a = { d, rq };

	if (at >= d->warm_from && at < d->warm_to)
		return;
	cool(d);
	d->warm_from = at;
	d->warm_to = d->n - at < BATCH ? d->n : at + BATCH;
	(void)parallel_for(d->warm_to - d->warm_from, THREADS, look, &a);
}

void dirstream_close(struct dirstream *d)
{
	cool(d);
	for (size_t i = 0; i < d->n; i++)
		free(d->list[i].name);
	free(d->list);
	listing_free(d->listing);
	inode_unpin(d->dir);
	free(d);
}
