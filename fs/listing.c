#include "fs/listing.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"
#include "fs/keyname.h"

#define ASKED_MIN   3 /* lookups that are answered one by one */
#define PAGE        1000 /* names a request */
#define PAGES_MIN   4 /* are tried at first */
#define TOO_SLOW_MS 60000 /* before one that took too long is tried again */

struct seen {
	size_t name; /* in text, with its NUL */
	size_t etag; /* the same */
	uint64_t len;
	struct timespec written;
	int directory;
};

struct listing {
	uint64_t since_ms, serial, moves; /* as of when it was begun */
	struct bytes text;
	struct seen *list; /* by name, once it is complete */
	size_t n, cap;
	uint64_t served; /* lookups; under the directory's lock */
};

static const char *text_at(const struct listing *l, size_t at)
{
	return (const char *)l->text.data + at;
}

struct listing *listing_new(struct volume *v)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->since_ms = clock_ms();
	l->serial = atomic_load(&v->change_serial);
	l->moves = atomic_load(&v->moves);
	return l;
}

void listing_free(struct listing *l)
{
	if (!l)
		return;
	bytes_clear(&l->text);
	free(l->list);
	free(l);
}

int listing_add(struct listing *l, const char *name, size_t len,
		const struct store_stat *st)
{
	struct seen *s;
	int err;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct seen *p = reallocarray(l->list, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->list = p;
		l->cap = cap;
	}
	s = &l->list[l->n];
	*s = (struct seen){ .name = l->text.len, .directory = !st };
	err = bytes_append(&l->text, name, len);
	if (!err)
		err = bytes_append(&l->text, "", 1);
	s->etag = l->text.len;
	if (!err)
		err = bytes_append(&l->text, st ? st->etag : "",
				   st ? strlen(st->etag) + 1 : 1);
	if (err)
		return err;
	if (st) {
		s->len = st->len;
		s->written = st->mtime;
	}
	l->n++;
	return 0;
}

/* A file before the directory of the same name. */
static int by_name(const void *a, const void *b, void *arg)
{
	const struct seen *x = a, *y = b;
	int c = strcmp(text_at(arg, x->name), text_at(arg, y->name));

	return c ? c : x->directory - y->directory;
}

static const struct seen *find(const struct listing *l, const char *name)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(text_at(l, l->list[mid].name), name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->n && !strcmp(text_at(l, l->list[low].name), name)
		       ? &l->list[low]
		       : NULL;
}

void listing_offer(struct inode *dir, struct listing *l)
{
	struct listing *old;

	if (l->n)
		qsort_r(l->list, l->n, sizeof(*l->list), by_name, l);
	(void)pthread_mutex_lock(&dir->lock);
	old = dir->listing;
	/* Two at once: the later one knows more. */
	if (!old || old->since_ms <= l->since_ms) {
		dir->listing = l;
		l = old;
	}
	(void)pthread_mutex_unlock(&dir->lock);
	listing_free(l);
}

/* Under the directory's lock: is it true yet? */
static int is_valid(struct volume *v, const struct listing *l)
{
	return l && clock_ms() - l->since_ms < v->conf.attr_timeout_ms &&
	       l->moves == atomic_load(&v->moves);
}

/* Under the directory's lock. */
static enum listing_says answer(struct volume *v, struct inode *dir,
				const char *name, struct listing_entry *out)
{
	struct listing *l = dir->listing;
	const struct seen *s;

	/* Changed here since: in memory, or else to be asked for. */
	if (names_change_serial(v, dir, name) > l->serial)
		return LISTED_UNKNOWN;
	l->served++;
	out->since_ms = l->since_ms;
	s = find(l, name);
	if (!s)
		return LISTED_NOTHING;
	if (s->directory)
		return LISTED_DIRECTORY;
	(void)snprintf(out->etag, sizeof(out->etag), "%s", text_at(l, s->etag));
	out->len = s->len;
	out->written = s->written;
	return LISTED_FILE;
}

/*
 * Under the directory's lock: nothing valid is there, and somebody asks.  The
 * number of pages that are worth it, or 0.
 */
static size_t worth(struct inode *dir)
{
	struct asked *a = &dir->asked;
	uint64_t now = clock_ms();
	int served = dir->listing && dir->listing->served > ASKED_MIN &&
		     dir->listing->served * PAGE > dir->listing->n;

	if (now - a->since_ms >= dir->volume->conf.attr_timeout_ms) {
		a->since_ms = now;
		a->count = 0;
	}
	a->count++;
	if (a->listing || now < a->not_before_ms)
		return 0;
	if (!a->pages)
		a->pages = PAGES_MIN;
	/* It was too much for so many pages once: more must be asked for. */
	if (!served &&
	    a->count <= (a->pages > PAGES_MIN ? a->pages : ASKED_MIN))
		return 0;
	a->listing = 1;
	return a->pages;
}

struct filling {
	struct listing *l;
	size_t prefix, most;
};

static int on_entry(void *arg, const char *key, const struct store_stat *st,
		    int is_prefix)
{
	struct filling *f = arg;
	size_t part = strlen(key + f->prefix);
	char name[NAME_MAX + 1];
	int len;

	if (is_prefix && part)
		part--;
	len = keyname_decode(name, key + f->prefix, part);
	if (len <= 0)
		return 0;
	if (f->l->n >= f->most)
		return 1;
	return listing_add(f->l, name, (size_t)len, is_prefix ? NULL : st);
}

/* 0: offered.  1: there is more than `pages`.  Or -errno. */
static int fill(struct volume *v, const struct request *rq, struct inode *dir,
		size_t pages)
{
	struct store_call call = call_of(rq, NULL);
	struct store_list what = { .shallow = 1 };
	struct filling f = { .most = pages * PAGE };
	struct key key;
	int err;

	err = key_of_inode(v, dir, &key);
	if (err)
		return err;
	what.prefix = key.text;
	f.prefix = strlen(key.text);
	f.l = listing_new(v);
	if (!f.l)
		return -ENOMEM;
	err = v->conf.store->ops->list(v->conf.store, &what, &call, on_entry,
				       &f);
	if (err)
		listing_free(f.l);
	else
		listing_offer(dir, f.l);
	return err;
}

static void list(struct volume *v, const struct request *rq, struct inode *dir,
		 size_t pages)
{
	uint64_t began = clock_ms(), now;
	int err = fill(v, rq, dir, pages);

	now = clock_ms();
	(void)pthread_mutex_lock(&dir->lock);
	dir->asked.listing = 0;
	dir->asked.count = 0;
	if (err > 0)
		dir->asked.pages = 2 * pages;
	/* It would be out of date before it is of use. */
	if (err < 0 || now - began > v->conf.attr_timeout_ms / 2)
		dir->asked.not_before_ms = now + TOO_SLOW_MS;
	(void)pthread_mutex_unlock(&dir->lock);
}

enum listing_says listing_ask(struct volume *v, const struct request *rq,
			      struct inode *dir, const char *name,
			      struct listing_entry *out)
{
	enum listing_says got = LISTED_UNKNOWN;
	size_t pages = 0;

	/* That one is looked into: see name_hidden(). */
	if (!v->conf.attr_timeout_ms || !strcmp(name, ".dg"))
		return LISTED_UNKNOWN;
	(void)pthread_mutex_lock(&dir->lock);
	if (is_valid(v, dir->listing))
		got = answer(v, dir, name, out);
	else
		pages = worth(dir);
	(void)pthread_mutex_unlock(&dir->lock);
	if (!pages)
		return got;
	list(v, rq, dir, pages);
	(void)pthread_mutex_lock(&dir->lock);
	if (is_valid(v, dir->listing))
		got = answer(v, dir, name, out);
	(void)pthread_mutex_unlock(&dir->lock);
	return got;
}
