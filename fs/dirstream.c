#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"
#include "fs/keyname.h"
#include "fs/page_ahead.h"
#include "fs/parallel.h"

#define BATCH   256 /* entries looked up ahead */
#define THREADS 64 /* requests for what has to be asked for */

struct entry {
	size_t name; /* in names, with its NUL */
	int directory;
};

struct dirstream {
	struct volume *v;
	struct inode *dir; /* pinned */
	struct bytes names;
	struct entry *list;
	size_t n, cap;
	size_t locals; /* those at the beginning, by name: not stored yet */
	char *after; /* where the next page of the bucket's begins */
	struct page_ahead ahead; /* the one that begins there */
	int complete; /* there is none */
	int was_read;
	int unread; /* the bucket has not been asked yet */
	/* Files, the last of which may yet turn up as directories: see over. */
	size_t *over;
	size_t n_over, cap_over;
	struct inode *warm[BATCH]; /* held: looked up ahead */
	size_t warm_from, warm_to;
};

static const char *name_at(const struct dirstream *d, size_t at)
{
	return (const char *)d->names.data + d->list[at].name;
}

static int add(struct dirstream *d, const char *name, int directory)
{
	struct entry *e;
	size_t at = d->names.len;
	int err;

	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 64;
		struct entry *p = reallocarray(d->list, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->list = p;
		d->cap = cap;
	}
	err = bytes_append(&d->names, name, strlen(name) + 1);
	if (err)
		return err;
	e = &d->list[d->n++];
	*e = (struct entry){ .name = at, .directory = directory };
	return 0;
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct dirstream *d = arg;
	const struct entry *x = a, *y = b;

	return strcmp((const char *)d->names.data + x->name,
		      (const char *)d->names.data + y->name);
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
				err = add(d, name, kids[i]->directory);
			free(name);
			inode_unpin(parent);
		}
		inode_unpin(kids[i]);
	}
	free((void *)kids);
	d->locals = d->n;
	if (d->n)
		qsort_r(d->list, d->n, sizeof(*d->list), by_name, d);
	return err;
}

static int is_local(const struct dirstream *d, const char *name)
{
	size_t low = 0, high = d->locals;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(name_at(d, mid), name);

		if (!c)
			return 1;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

/*
 * A file hides the directory of its name, but in the order of their keys others
 * may come between the two: those that begin with that name.  So the files that
 * may have a directory to come are those that the present name begins with.
 */
static int is_hidden(struct dirstream *d, const char *name)
{
	while (d->n_over) {
		const char *over = name_at(d, d->over[d->n_over - 1]);
		size_t len = strlen(over);

		if (!strncmp(over, name, len))
			return !name[len];
		d->n_over--;
	}
	return 0;
}

static int may_hide(struct dirstream *d, size_t at)
{
	if (d->n_over == d->cap_over) {
		size_t cap = d->cap_over ? 2 * d->cap_over : 8;
		size_t *p = reallocarray(d->over, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->over = p;
		d->cap_over = cap;
	}
	d->over[d->n_over++] = at;
	return 0;
}

/* Keys that no path can name are left out: see README, "What it does not". */
static int is_usable(const char *name, int len)
{
	return len > 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* What a key adds to the directory's. */
static int take_part(struct dirstream *d, const struct request *rq,
		     const char *part)
{
	size_t len = strlen(part);
	char name[NAME_MAX + 1] = { 0 };
	int directory, hidden, err;

	directory = len && part[len - 1] == '/';
	if (directory)
		len--;
	if (!is_usable(name, keyname_decode(name, part, len)))
		return 0;
	hidden = is_hidden(d, name);
	if (hidden || is_local(d, name))
		return 0;
	hidden = directory ? name_hidden(d->v, rq, d->dir, name) : 0;
	if (hidden)
		return hidden < 0 ? hidden : 0;
	err = add(d, name, directory);
	return err || directory ? err : may_hide(d, d->n - 1);
}

static int next_page(struct dirstream *d, const struct request *rq)
{
	struct listing_page *p;
	size_t count, had = d->n;
	char *last = NULL;
	int err;

	err = page_ahead_take(&d->ahead, rq, &p);
	if (err > 0)
		err = listing_read(d->v, rq, d->dir, d->after ? d->after : "",
				   &p);
	if (err == -ESTALE) {
		d->complete = 1; /* removed: empty */
		return 0;
	}
	if (err)
		return err;
	count = listing_count(p);
	for (size_t i = 0; !err && i < count; i++)
		err = take_part(d, rq, listing_part(p, i));
	if (!err && !listing_is_last(p)) {
		last = strdup(listing_part(p, count - 1));
		err = last ? 0 : -ENOMEM;
	}
	if (err) {
		/* What came of it comes again. */
		d->n = had;
		while (d->n_over && d->over[d->n_over - 1] >= had)
			d->n_over--;
		listing_free(p);
		return err;
	}
	d->complete = listing_is_last(p);
	free(d->after);
	d->after = last;
	if (last)
		page_ahead_start(&d->ahead, d->v, d->dir, last);
	listing_offer(d->dir, p);
	return 0;
}

static void cool(struct dirstream *d)
{
	for (size_t i = 0; i < d->warm_to - d->warm_from; i++)
		if (d->warm[i])
			inode_forget(d->v, d->warm[i], 1);
	d->warm_from = d->warm_to = 0;
}

static int rewind_it(struct dirstream *d, const struct request *rq)
{
	int err;

	cool(d);
	page_ahead_stop(&d->ahead);
	d->was_read = 0;
	d->names.len = 0;
	d->n = d->n_over = d->locals = 0;
	free(d->after);
	d->after = NULL;
	d->complete = 0;
	/* First: one that is stored meanwhile may be too late for the list. */
	err = add_local(d);
	if (!err)
		err = next_page(d, rq);
	d->unread = err != 0;
	return err;
}

int dirstream_start(struct dirstream *d, const struct request *rq)
{
	return d->was_read || d->unread ? rewind_it(d, rq) : 0;
}

int dirstream_open(struct volume *v, struct inode *dir, struct dirstream **out)
{
	struct dirstream *d;

	if (!dir->directory)
		return -ENOTDIR;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->v = v;
	d->dir = dir;
	/* The bucket is asked when names are: df(1) opens the root, too. */
	d->unread = 1;
	inode_pin(dir);
	*out = d;
	return 0;
}

struct inode *dirstream_inode(const struct dirstream *d)
{
	return d->dir;
}

int dirstream_get(struct dirstream *d, const struct request *rq, size_t at,
		  struct dirent_view *out)
{
	int err;

	if (d->unread) {
		err = rewind_it(d, rq);
		if (err)
			return err;
	}
	d->was_read = 1;
	while (at >= d->n && !d->complete) {
		err = next_page(d, rq);
		if (err)
			return err;
	}
	if (at >= d->n)
		return 0;
	out->name = name_at(d, at);
	out->type = d->list[at].directory ? S_IFDIR : 0;
	return 1;
}

struct ahead {
	struct dirstream *d;
	const struct request *rq;
	size_t missing[BATCH], n;
};

static int look(void *arg, size_t k)
{
	struct ahead *a = arg;
	struct dirstream *d = a->d;
	size_t at = a->missing[k];

	/* What fails here fails again, and is told, where it is asked for. */
	if (volume_lookup(d->v, a->rq, d->dir, name_at(d, d->warm_from + at),
			  &d->warm[at], NULL))
		d->warm[at] = NULL;
	return 0;
}

/* First what is known without asking for each, which needs no threads. */
void dirstream_prefetch(struct dirstream *d, const struct request *rq,
			size_t at)
{
	struct request known = *rq;
	struct ahead a = { .d = d, .rq = rq };

	if (at >= d->warm_from && at < d->warm_to)
		return;
	cool(d);
	known.known_only = 1;
	d->warm_from = at;
	d->warm_to = d->n - at < BATCH ? d->n : at + BATCH;
	for (size_t k = 0; k < d->warm_to - at; k++) {
		int err = volume_lookup(d->v, &known, d->dir,
					name_at(d, at + k), &d->warm[k], NULL);

		if (err)
			d->warm[k] = NULL;
		if (err == -EREMOTE)
			a.missing[a.n++] = k;
	}
	(void)parallel_for(a.n, THREADS, look, &a);
}

void dirstream_close(struct dirstream *d)
{
	cool(d);
	page_ahead_stop(&d->ahead);
	bytes_clear(&d->names);
	free(d->list);
	free(d->after);
	free(d->over);
	inode_unpin(d->dir);
	free(d);
}
