#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "fs/hints_private.h"
#include "fs/keyname.h"
#include "fs/log.h"

#define CHANGED_MIN 8 /* hints that are worth an object */

/* Where a hint comes from; the first has the say. */
enum rank { FROM_MEMORY, FROM_KEPT, FROM_FILE };

struct piece {
	const char *name;
	const uint8_t *data;
	size_t len;
	enum rank rank;
	int listed;
};

/* A file in memory, and of when its hint is. */
struct child {
	struct inode *inode; /* pinned */
	uint64_t generation;
	size_t at, len; /* in merge.fresh; len 0: none */
};

struct merge {
	struct volume *v;
	struct hint_table *t;
	struct inode *dir; /* pinned */
	void *kept;
	struct child *children;
	size_t n_children;
	struct bytes fresh, file;
	struct piece *list;
	size_t n, cap;
	int read; /* the table has what the bucket had */
	int wrong; /* something there is to be corrected */
	int stored;
};

static int add(struct merge *m, enum rank rank, const uint8_t *data, size_t len)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 256;
		struct piece *p = reallocarray(m->list, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		m->list = p;
		m->cap = cap;
	}
	m->list[m->n++] = (struct piece){
		.name = hint_name(data), .data = data, .len = len, .rank = rank
	};
	return 0;
}

/* One hint of what memory knows of a file now, if it knows enough. */
static int describe_child(struct merge *m, struct child *c)
{
	struct inode *i = c->inode;
	int err = 0;

	c->at = m->fresh.len;
	(void)pthread_mutex_lock(&m->v->lock);
	inode_lock(i);
	c->generation = i->generation;
	if (i->parent == m->dir && inode_is_known(i))
		err = hint_of_inode(&m->fresh, i);
	inode_unlock(i);
	(void)pthread_mutex_unlock(&m->v->lock);
	c->len = m->fresh.len - c->at;
	return err;
}

static int add_children(struct merge *m)
{
	struct inode **kids;
	size_t n;
	int err;

	err = names_children(m->v, m->dir, &kids, &n);
	if (err)
		return err;
	m->children = calloc(n ? n : 1, sizeof(*m->children));
	for (size_t k = 0; k < n; k++) {
		if (!m->children) {
			inode_unpin(kids[k]);
			continue;
		}
		m->children[k].inode = kids[k];
		m->n_children++;
	}
	free((void *)kids);
	if (!m->children)
		return -ENOMEM;
	for (size_t k = 0; !err && k < n; k++)
		err = describe_child(m, &m->children[k]);
	for (size_t k = 0; !err && k < n; k++)
		if (m->children[k].len)
			err = add(m, FROM_MEMORY,
				  m->fresh.data + m->children[k].at,
				  m->children[k].len);
	return err;
}

struct walk {
	struct merge *m;
	int err;
};

static void add_kept(const void *node, VISIT which, void *arg)
{
	const struct kept_hint *k = *(struct kept_hint *const *)node;
	struct walk *w = arg;

	if (!w->err && (which == postorder || which == leaf))
		w->err = add(w->m, FROM_KEPT, k->data, k->len);
}

/* Nobody else drops what was read as long as we are a user of the table. */
static int add_file(struct merge *m)
{
	const struct hint_table *t = m->t;
	int err = 0;

	for (size_t k = 0; !err && k < t->n; k++) {
		const uint8_t *data = t->file.data + t->index[k];

		err = add(m, FROM_FILE, data, le32_get(data));
	}
	return err;
}

static int by_name_and_rank(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : (int)x->rank - (int)y->rank;
}

static int by_name(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* One of each name; how many of them the file does not have so. */
static size_t unique(struct merge *m)
{
	size_t to = 0, changed = 0;

	if (m->n)
		qsort(m->list, m->n, sizeof(*m->list), by_name_and_rank);
	for (size_t k = 0; k < m->n; k++) {
		struct piece *p = &m->list[k], *last = &m->list[to - 1];

		if (!to || strcmp(last->name, p->name) != 0) {
			m->list[to++] = *p;
			changed += p->rank != FROM_FILE;
			continue;
		}
		/* What is there already is no news. */
		if (p->rank == FROM_FILE && last->len == p->len &&
		    !memcmp(last->data, p->data, p->len))
			changed--;
	}
	m->n = to;
	return changed;
}

static void mark_listed(struct merge *m, const char *part)
{
	char name[NAME_MAX + 1];
	struct piece want = { .name = name }, *p;

	if (keyname_decode(name, part, strlen(part)) <= 0)
		return;
	p = bsearch(&want, m->list, m->n, sizeof(want), by_name);
	if (p)
		p->listed = 1;
}

/* What is not in memory may not be in the bucket either. */
static void drop_what_is_gone(struct merge *m)
{
	char *after = strdup("");
	size_t to = 0;
	int last = 0;

	for (size_t k = 0; k < m->n; k++)
		to += m->list[k].rank == FROM_MEMORY;
	if (to == m->n)
		last = 1; /* all of them are */
	while (after && !last) {
		struct listing_page *p;
		size_t n;

		if (listing_read(m->v, NULL, m->dir, after, &p))
			break;
		n = listing_count(p);
		for (size_t k = 0; k < n; k++)
			mark_listed(m, listing_part(p, k));
		last = listing_is_last(p);
		free(after);
		after = last ? NULL : strdup(listing_part(p, n - 1));
		listing_free(p);
	}
	free(after);
	if (!last || to == m->n)
		return;
	to = 0;
	for (size_t k = 0; k < m->n; k++)
		if (m->list[k].rank == FROM_MEMORY || m->list[k].listed)
			m->list[to++] = m->list[k];
	m->n = to;
}

static int read_memory(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

static int put(struct merge *m)
{
	struct store_source src = { .read = read_memory, .arg = &m->file };
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store *s = m->v->conf.store;
	struct key key;
	int err;

	err = hint_file_begin(&m->file, m->t->dir + strlen(m->v->prefix));
	for (size_t k = 0; !err && k < m->n; k++)
		err = bytes_append(&m->file, m->list[k].data, m->list[k].len);
	if (!err)
		err = hint_file_end(&m->file);
	if (!err)
		err = hint_key(m->v, m->t->dir, &key);
	if (err)
		return err;
	src.len = m->file.len;
	err = s->ops->put(s, key.text, &src, &(struct store_head){ 0 }, &call,
			  NULL);
	if (err)
		log_warning("%s: hints of %s could not be stored: %s", key.text,
			    m->t->dir[0] ? m->t->dir : "/",
			    reason(err, &error));
	return err;
}

static void mark_hinted(struct merge *m)
{
	for (size_t k = 0; k < m->n_children; k++) {
		struct child *c = &m->children[k];

		inode_lock(c->inode);
		if (c->len && c->inode->generation == c->generation)
			c->inode->hinted = 1;
		inode_unlock(c->inode);
	}
}

static void merge_and_put(struct merge *m)
{
	struct walk w = { .m = m };
	size_t changed;
	int err;

	err = add_children(m);
	twalk_r(m->kept, add_kept, &w);
	if (!err)
		err = w.err;
	if (!err && m->read)
		err = add_file(m);
	changed = unique(m);
	if (!err && (changed >= CHANGED_MIN || m->wrong)) {
		drop_what_is_gone(m);
		err = put(m);
		m->stored = !err;
		if (m->stored)
			mark_hinted(m);
	}
}

/* Under hints.lock: what is news goes from the table to us. */
static void take_news(struct merge *m)
{
	struct hint_table *t = m->t;

	m->dir = t->news_of;
	m->wrong = t->wrong;
	t->wrong = 0;
	m->kept = t->kept;
	t->kept = NULL;
	t->n_kept = 0;
	t->news_of = NULL;
	t->news = 0;
}

static int is_still_there(struct merge *m)
{
	struct key key;

	return !key_of_inode(m->v, m->dir, &key) &&
	       !strcmp(key.text, m->t->dir);
}

void hint_table_write(struct volume *v, struct hint_table *t)
{
	struct merge m = { .v = v, .t = t };
	struct hint_table rest = { .dir = t->dir };
	struct hints *h = &v->hints;
	int made_here, there;

	(void)pthread_mutex_lock(&h->lock);
	take_news(&m);
	(void)pthread_mutex_unlock(&h->lock);
	if (!m.dir)
		return;
	there = is_still_there(&m);
	inode_lock(m.dir);
	made_here = directory_of(m.dir)->made_here;
	inode_unlock(m.dir);
	if (there) {
		(void)pthread_mutex_lock(&h->lock);
		m.read = !made_here || t->known;
		if (m.read)
			hint_table_read(v, NULL, t);
		(void)pthread_mutex_unlock(&h->lock);
		merge_and_put(&m);
	}
	(void)pthread_mutex_lock(&h->lock);
	if (m.stored) {
		h->written++;
		hint_table_drop_file(h, t);
		t->absent = 0;
		t->misses = 0;
		t->known = m.n;
	}
	rest.kept = m.kept;
	hint_table_drop_kept(h, &rest);
	(void)pthread_mutex_unlock(&h->lock);
	for (size_t k = 0; k < m.n_children; k++)
		inode_unpin(m.children[k].inode);
	free(m.children);
	free(m.list);
	bytes_clear(&m.fresh);
	bytes_clear(&m.file);
	inode_unpin(m.dir);
}
