#include "fs/catalogue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/choose.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/parallel.h"
#include "fs/refkey.h"

#define ASK_MAX     128 /* files asked for their metadata, half old half new */
#define ASK_THREADS 16
#define ENTRIES_MAX 512

struct catalogue {
	pthread_mutex_t lock;
	struct candidate *v;
	size_t n, cap;
	unsigned tries;
};

void catalogue_free(struct catalogue *c)
{
	if (!c)
		return;
	(void)pthread_mutex_destroy(&c->lock);
	free(c->v);
	free(c);
}

/* Under the lock. */
static struct candidate *find(struct catalogue *c, const char *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->v[i].key, key))
			return &c->v[i];
	return NULL;
}

/* Under the lock: the place of a plain file that may go, or of the first. */
static struct candidate *victim(struct catalogue *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (!c->v[i].is_reference)
			return &c->v[i];
	return c->v;
}

void catalogue_put(struct catalogue *c, const struct candidate *one)
{
	struct candidate *to;

	(void)pthread_mutex_lock(&c->lock);
	to = find(c, one->key);
	if (!to && c->n < ENTRIES_MAX) {
		if (c->n == c->cap) {
			size_t cap = c->cap ? 2 * c->cap : 16;
			struct candidate *v =
				reallocarray(c->v, cap, sizeof(*v));

			if (!v)
				goto unlock; /* a candidate less */
			c->v = v;
			c->cap = cap;
		}
		to = &c->v[c->n++];
	} else if (!to) {
		to = victim(c);
	}
	*to = *one;
unlock:
	(void)pthread_mutex_unlock(&c->lock);
}

void catalogue_remove(struct catalogue *c, const char *key)
{
	struct candidate *one;

	(void)pthread_mutex_lock(&c->lock);
	one = find(c, key);
	if (one)
		*one = c->v[--c->n];
	(void)pthread_mutex_unlock(&c->lock);
}

int catalogue_find(struct catalogue *c, const char *key, struct candidate *out)
{
	const struct candidate *one;

	(void)pthread_mutex_lock(&c->lock);
	one = find(c, key);
	if (one)
		*out = *one;
	(void)pthread_mutex_unlock(&c->lock);
	return one != NULL;
}

int catalogue_at(struct catalogue *c, size_t at, struct candidate *out)
{
	int found;

	(void)pthread_mutex_lock(&c->lock);
	found = at < c->n;
	if (found)
		*out = c->v[at];
	(void)pthread_mutex_unlock(&c->lock);
	return found;
}

int catalogue_foreign(struct catalogue *c, size_t *at, struct candidate *out)
{
	while (catalogue_at(c, *at, out)) {
		if (out->foreign && !out->sketched)
			return 1;
		++*at;
	}
	return 0;
}

int catalogue_try(struct catalogue *c, unsigned max)
{
	int may;

	(void)pthread_mutex_lock(&c->lock);
	may = c->tries < max;
	c->tries += may ? 1 : 0;
	(void)pthread_mutex_unlock(&c->lock);
	return may;
}

/* What a listing gave: keys with the time they were stored. */
struct listed {
	char *key;
	struct timespec mtime;
};

struct loading {
	struct volume *v;
	struct catalogue *cat;
	struct listed *list;
	size_t n, cap;
};

static int on_entry(void *arg, const char *key, const struct store_stat *st,
		    int is_prefix)
{
	struct loading *l = arg;
	size_t len = strlen(key);

	if (is_prefix || (len && key[len - 1] == '/'))
		return 0;
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct listed *p = reallocarray(l->list, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->list = p;
		l->cap = cap;
	}
	l->list[l->n].key = strdup(key);
	if (!l->list[l->n].key)
		return -ENOMEM;
	l->list[l->n++].mtime = st->mtime;
	return 0;
}

static int older(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->mtime.tv_sec != y->mtime.tv_sec)
		return x->mtime.tv_sec < y->mtime.tv_sec ? -1 : 1;
	if (x->mtime.tv_nsec != y->mtime.tv_nsec)
		return x->mtime.tv_nsec < y->mtime.tv_nsec ? -1 : 1;
	return strcmp(x->key, y->key);
}

/* The reference that a delta in the directory uses. */
static void add_reference(struct loading *l, const struct store_stat *st)
{
	struct candidate c = { .is_reference = 1, .sketched = 1 };
	char text[META_VALUE_MAX];
	struct store_stat ref;
	struct object obj;
	int n;

	if (object_digest(&st->meta, "dg-ref-sha256", c.digest) ||
	    meta_get(&st->meta, "dg-ref-key", text, sizeof(text)))
		return;
	n = meta_decode(c.key, sizeof(c.key), text);
	if (n <= 0 || (size_t)n != strlen(c.key))
		return;
	(void)pthread_mutex_lock(&l->cat->lock);
	n = find(l->cat, c.key) != NULL;
	(void)pthread_mutex_unlock(&l->cat->lock);
	if (n || l->v->conf.store->ops->head(
			 l->v->conf.store, c.key,
			 &(struct store_call){ .optional = 1 }, &ref))
		return;
	object_read(&obj, &ref);
	c.len = ref.len;
	c.mtime = ref.mtime;
	if (!object_sketch(&ref.meta, &c.sketch))
		catalogue_put(l->cat, &c);
}

static int ask(void *arg, size_t k)
{
	struct loading *l = arg;
	struct store *s = l->v->conf.store;
	struct candidate c = { 0 };
	struct store_stat st;
	struct object obj;
	struct attr attr;

	/* Oldest first, then the newest. */
	if (k >= ASK_MAX / 2 && l->n > ASK_MAX)
		k = l->n - ASK_MAX + k;
	/* A file that cannot be asked is a candidate less. */
	if (s->ops->head(s, l->list[k].key,
			 &(struct store_call){ .optional = 1 }, &st))
		return 0;
	object_read(&obj, &st);
	attr_read(&attr, &st, &l->v->conf.defaults, 0);
	if (!S_ISREG(attr.mode))
		return 0;
	if (object_is_delta(&obj)) {
		add_reference(l, &st);
		return 0;
	}
	c.foreign = obj.form == OBJECT_FOREIGN;
	c.len = obj.size;
	c.mtime = st.mtime;
	memcpy(c.etag, st.etag, sizeof(c.etag));
	memcpy(c.key, l->list[k].key, strlen(l->list[k].key) + 1);
	memcpy(c.digest, obj.digest, DIGEST_LEN);
	c.sketched = obj.has_digest && !object_sketch(&st.meta, &c.sketch);
	if (c.len >= CANDIDATE_MIN && (c.sketched || c.foreign))
		catalogue_put(l->cat, &c);
	return 0;
}

int catalogue_load(struct catalogue **out, struct volume *v, const char *prefix)
{
	struct store_list what = { .prefix = prefix, .shallow = 1 };
	struct store_error error = { 0 };
	struct store_call call = { .error = &error, .optional = 1 };
	struct loading l = { .v = v, .cat = calloc(1, sizeof(*l.cat)) };
	int err;

	if (!l.cat)
		return -ENOMEM;
	(void)pthread_mutex_init(&l.cat->lock, NULL);
	err = v->conf.store->ops->list(v->conf.store, &what, &call, on_entry,
				       &l);
	if (!err && l.n) {
		qsort(l.list, l.n, sizeof(*l.list), older);
		err = parallel_for(l.n < ASK_MAX ? l.n : ASK_MAX, ASK_THREADS,
				   ask, &l);
	}
	if (err)
		log_warning("references in %s: %s", prefix,
			    reason(err, &error));
	for (size_t i = 0; i < l.n; i++)
		free(l.list[i].key);
	free(l.list);
	if (err) {
		catalogue_free(l.cat);
		return err;
	}
	*out = l.cat;
	return 0;
}
