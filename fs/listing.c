#include "fs/listing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "fs/inode.h"
#include "fs/keyname.h"
#include "fs/log.h"

#define ASKED_MIN   3 /* lookups that are answered one by one */
#define ASKED_MAX   1024 /* the same, where listing did not pay */
#define TOO_SLOW_MS 60000 /* before one that took too long is tried again */

/* Behind all that has a prefix: the last character of Unicode. */
#define LAST_CHAR "\xf4\x8f\xbf\xbf"

struct seen {
	uint32_t part, etag; /* in text, each with its NUL */
	uint64_t len;
	struct timespec written;
};

struct listing_page {
	struct listing_page *next; /* of the same directory: an older one */
	uint64_t since_ms, serial, moves; /* as of when it was asked for */
	char *after; /* it begins behind this */
	int last; /* it goes to the end, and not to its last entry */
	struct bytes text;
	struct seen *list; /* in the order of their keys */
	size_t n;
};

/* A directory that has pages, to be rid of when they are out of date. */
struct listed {
	struct listed *next;
	struct inode *dir; /* pinned */
	uint64_t since_ms;
};

static const char *text_at(const struct listing_page *p, size_t at)
{
	return (const char *)p->text.data + at;
}

static struct listing_page *new_page(struct volume *v, const char *after)
{
	struct listing_page *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->since_ms = clock_ms();
	p->serial = atomic_load(&v->change_serial);
	p->moves = atomic_load(&v->moves);
	p->after = strdup(after);
	if (!p->after) {
		free(p);
		return NULL;
	}
	return p;
}

struct listing_page *listing_nothing(struct volume *v)
{
	struct listing_page *p = new_page(v, "");

	if (p)
		p->last = 1;
	return p;
}

void listing_free(struct listing_page *p)
{
	while (p) {
		struct listing_page *next = p->next;

		bytes_clear(&p->text);
		free(p->after);
		free(p->list);
		free(p);
		p = next;
	}
}

size_t listing_count(const struct listing_page *p)
{
	return p->n;
}

const char *listing_part(const struct listing_page *p, size_t at)
{
	return text_at(p, p->list[at].part);
}

int listing_is_last(const struct listing_page *p)
{
	return p->last;
}

static int is_prefix_part(const char *part)
{
	size_t len = strlen(part);

	return len && part[len - 1] == '/';
}

struct reading {
	struct listing_page *p;
	size_t prefix; /* bytes of a key before the part */
	size_t cap;
};

static int on_entry(void *arg, const char *key, const struct store_stat *st,
		    int is_prefix)
{
	struct reading *r = arg;
	struct listing_page *p = r->p;
	struct seen *s;
	int err;

	(void)is_prefix;
	if (p->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 16;
		struct seen *list = reallocarray(p->list, cap, sizeof(*list));

		if (!list)
			return -ENOMEM;
		p->list = list;
		r->cap = cap;
	}
	s = &p->list[p->n];
	*s = (struct seen){ .part = (uint32_t)p->text.len };
	err = bytes_append(&p->text, key + r->prefix,
			   strlen(key + r->prefix) + 1);
	s->etag = (uint32_t)p->text.len;
	if (!err)
		err = bytes_append(&p->text, st ? st->etag : "",
				   st ? strlen(st->etag) + 1 : 1);
	if (err)
		return err;
	if (st) {
		s->len = st->len;
		s->written = st->mtime;
	}
	p->n++;
	return 0;
}

/* The key behind which the page starts. */
static int key_after(const struct key *dir, const char *after, char *out,
		     size_t size)
{
	int n = snprintf(out, size, "%s%s%s", dir->text, after,
			 is_prefix_part(after) ? LAST_CHAR : "");

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int listing_read(struct volume *v, const struct request *rq, struct inode *dir,
		 const char *after, struct listing_page **out)
{
	char behind[STORE_KEY_MAX + sizeof(LAST_CHAR)];
	struct store_error error = { 0 };
	struct store_call call = call_of(rq, &error);
	struct store_list what = { .shallow = 1, .max = LISTING_PAGE };
	struct reading r = { 0 };
	struct key key;
	int err;

	err = key_of_inode(v, dir, &key);
	if (!err)
		err = key_after(&key, after, behind, sizeof(behind));
	if (err)
		return err;
	what.prefix = key.text;
	what.after = after[0] ? behind : NULL;
	r.prefix = strlen(key.text);
	r.p = new_page(v, after);
	if (!r.p)
		return -ENOMEM;
	err = v->conf.store->ops->list(v->conf.store, &what, &call, on_entry,
				       &r);
	if (err) {
		if (err != -EINTR)
			log_error("list \"%s\": %s", key.text,
				  reason(err, &error));
		listing_free(r.p);
		return err;
	}
	r.p->last = r.p->n < LISTING_PAGE;
	*out = r.p;
	return 0;
}

/* Under the directory's lock: is it true yet? */
static int is_valid(struct volume *v, const struct listing_page *p)
{
	return clock_ms() - p->since_ms < v->conf.attr_timeout_ms &&
	       p->moves == atomic_load(&v->moves);
}

/* Under the directory's lock: take out what is out of date. */
static struct listing_page *take_old(struct volume *v, struct inode *dir)
{
	struct listing_page *old = NULL, **at = &directory_of(dir)->listing;

	while (*at) {
		struct listing_page *p = *at;

		if (is_valid(v, p)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->next = old;
		old = p;
	}
	return old;
}

static void drop_old(struct inode *dir)
{
	struct listing_page *old;

	inode_lock(dir);
	old = take_old(dir->volume, dir);
	inode_unlock(dir);
	listing_free(old);
}

/* Which were listed before `before_ms`, at most. */
static struct listed *take_listed(struct volume *v, uint64_t before_ms)
{
	struct listed *old = v->listed.first, **end = &v->listed.first;

	while (*end && (*end)->since_ms < before_ms)
		end = &(*end)->next;
	if (end == &v->listed.first)
		return NULL;
	v->listed.first = *end;
	*end = NULL;
	if (!v->listed.first)
		v->listed.end = &v->listed.first;
	return old;
}

static void drop_listed(struct listed *l)
{
	while (l) {
		struct listed *next = l->next;

		drop_old(l->dir);
		inode_unpin(l->dir);
		free(l);
		l = next;
	}
}

int listing_expire(struct volume *v)
{
	uint64_t now = clock_ms(), keep = v->conf.attr_timeout_ms;
	struct listed *old;
	int more;

	(void)pthread_mutex_lock(&v->listed.lock);
	old = take_listed(v, now > keep ? now - keep : 0);
	more = v->listed.first != NULL;
	(void)pthread_mutex_unlock(&v->listed.lock);
	drop_listed(old);
	return more;
}

void listing_clear(struct volume *v)
{
	struct listed *all;

	(void)pthread_mutex_lock(&v->listed.lock);
	all = take_listed(v, UINT64_MAX);
	(void)pthread_mutex_unlock(&v->listed.lock);
	drop_listed(all);
}

/* Pages of directories that nobody asks for any more would stay for ever. */
static void note_listed(struct inode *dir)
{
	struct volume *v = dir->volume;
	struct listed *l = malloc(sizeof(*l));

	if (!l)
		return; /* they stay until it is listed once more */
	inode_pin(dir);
	*l = (struct listed){ .dir = dir, .since_ms = clock_ms() };
	(void)pthread_mutex_lock(&v->listed.lock);
	*v->listed.end = l;
	v->listed.end = &l->next;
	(void)pthread_mutex_unlock(&v->listed.lock);
	(void)listing_expire(v);
}

void listing_offer(struct inode *dir, struct listing_page *p)
{
	drop_old(dir);
	inode_lock(dir);
	p->next = directory_of(dir)->listing;
	directory_of(dir)->listing = p;
	inode_unlock(dir);
	note_listed(dir);
}

static const struct seen *find(const struct listing_page *p, const char *part)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(text_at(p, p->list[mid].part), part) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->n && !strcmp(text_at(p, p->list[low].part), part)
		       ? &p->list[low]
		       : NULL;
}

/* A part of a key, as that of a file and that of a directory. */
struct wanted {
	char file[KEYNAME_MAX + 1], directory[KEYNAME_MAX + 2];
};

/* Would the page have it, be it a file or a directory? */
static int covers(const struct listing_page *p, const struct wanted *w)
{
	return strcmp(w->file, p->after) > 0 &&
	       (p->last ||
		(p->n && strcmp(w->directory,
				text_at(p, p->list[p->n - 1].part)) <= 0));
}

static enum listing_says look_at_page(const struct listing_page *p,
				      const struct wanted *w,
				      struct listing_entry *out)
{
	const struct seen *s = find(p, w->file);

	out->since_ms = p->since_ms;
	out->among = p->n;
	if (s) {
		(void)snprintf(out->etag, sizeof(out->etag), "%s",
			       text_at(p, s->etag));
		out->len = s->len;
		out->written = s->written;
		return LISTED_FILE;
	}
	if (strcmp(w->file, p->after) > 0 && find(p, w->directory))
		return LISTED_DIRECTORY;
	return covers(p, w) ? LISTED_NOTHING : LISTED_UNKNOWN;
}

/* Under the directory's lock; *changed: they would know, but for a change. */
static enum listing_says answer(struct volume *v, struct inode *dir,
				const char *name, const struct wanted *w,
				struct listing_entry *out, int *changed)
{
	uint64_t serial = names_change_serial(v, dir, name);

	*changed = 0;
	for (struct listing_page *p = directory_of(dir)->listing; p;
	     p = p->next) {
		enum listing_says got;

		if (!is_valid(v, p))
			continue;
		got = look_at_page(p, w, out);
		/* Changed here since: in memory, or else to be asked for. */
		if (got != LISTED_UNKNOWN && serial > p->serial) {
			*changed = 1;
			continue;
		}
		if (got == LISTED_UNKNOWN)
			continue;
		directory_of(dir)->asked.served++;
		return got;
	}
	return LISTED_UNKNOWN;
}

/*
 * Under the directory's lock: nothing valid is there, and somebody asks.  Is a
 * page worth it?
 */
static int is_worth(struct inode *dir)
{
	struct asked *a = &directory_of(dir)->asked;
	uint64_t now = clock_ms();

	if (now - a->since_ms >= dir->volume->conf.attr_timeout_ms) {
		a->since_ms = now;
		a->count = 0;
	}
	a->count++;
	if (a->listing || now < a->not_before_ms)
		return 0;
	/* The last one was of use, and so will be the next. */
	if (a->least < ASKED_MIN || a->served > ASKED_MIN)
		a->least = ASKED_MIN;
	if (a->served <= ASKED_MIN && a->count <= a->least)
		return 0;
	if (a->served <= ASKED_MIN && a->least < ASKED_MAX)
		a->least *= 2;
	a->listing = 1;
	a->count = a->served = 0;
	return 1;
}

/*
 * Where a page starts that has the name: at the beginning, or if that does not
 * go so far, at what its key begins with, less its last character.
 */
static void start_of(struct inode *dir, const struct wanted *w, char *out)
{
	size_t len = strlen(w->file);
	int large;

	inode_lock(dir);
	large = directory_of(dir)->asked.large;
	inode_unlock(dir);
	while (len && (w->file[len - 1] & 0xc0) == 0x80)
		len--;
	len = large && len ? len - 1 : 0;
	memcpy(out, w->file, len);
	out[len] = '\0';
}

static void list(struct volume *v, const struct request *rq, struct inode *dir,
		 const struct wanted *w)
{
	uint64_t began = clock_ms(), now;
	char after[KEYNAME_MAX + 1];
	struct listing_page *p = NULL;
	struct listing_entry e;
	int err, large = 0;

	start_of(dir, w, after);
	err = listing_read(v, rq, dir, after, &p);
	if (!err) {
		/* It goes too far for one page: the next starts further on. */
		large = !after[0] && look_at_page(p, w, &e) == LISTED_UNKNOWN;
		listing_offer(dir, p);
	}
	now = clock_ms();
	inode_lock(dir);
	directory_of(dir)->asked.listing = 0;
	if (large) {
		directory_of(dir)->asked.large = 1;
		directory_of(dir)->asked.least = 0;
	}
	/* It would be out of date before it is of use. */
	if (err || now - began > v->conf.attr_timeout_ms / 2)
		directory_of(dir)->asked.not_before_ms = now + TOO_SLOW_MS;
	inode_unlock(dir);
}

enum listing_says listing_ask(struct volume *v, const struct request *rq,
			      struct inode *dir, const char *name,
			      struct listing_entry *out)
{
	enum listing_says got;
	struct wanted w;
	size_t len;
	int worth = 0, changed;

	/* That one is looked into: see name_hidden(). */
	if (!v->conf.attr_timeout_ms || !strcmp(name, ".dg"))
		return LISTED_UNKNOWN;
	len = keyname_encode(w.file, name);
	memcpy(w.directory, w.file, len);
	memcpy(w.directory + len, "/", 2);
	inode_lock(dir);
	got = answer(v, dir, name, &w, out, &changed);
	if (got == LISTED_UNKNOWN && !changed)
		worth = is_worth(dir);
	inode_unlock(dir);
	if (!worth)
		return got;
	list(v, rq, dir, &w);
	inode_lock(dir);
	got = answer(v, dir, name, &w, out, &changed);
	inode_unlock(dir);
	return got;
}
