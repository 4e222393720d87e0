#include "fs/choose.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "fs/catalogue.h"
#include "fs/inode.h"
#include "fs/log.h"

/* A reference wins over a plain file that is this much more alike. */
#define REFERENCE_BONUS 200
/* So many of others' files are read, of a size that makes a delta likely. */
#define FOREIGN_TRIES 4
#define FOREIGN_MAX   ((uint64_t)1 << 30)

struct sketching {
	struct sketcher sketcher;
	struct digest *digest;
};

static int sketch_piece(void *arg, const void *data, size_t len)
{
	struct sketching *s = arg;

	sketcher_feed(&s->sketcher, data, len);
	return digest_update(s->digest, data, len);
}

/* What somebody else's object is like can only be learnt by reading it. */
static int sketch_foreign(struct volume *v, struct candidate *c)
{
	struct store_call call = { .if_match = c->etag[0] ? c->etag : NULL,
				   .optional = 1 };
	struct store *s = v->conf.store;
	struct sketching work = { .digest = digest_new() };
	int err;

	if (!work.digest)
		return -ENOMEM;
	err = s->ops->get(s, c->key, 0, c->len, &call, sketch_piece, &work,
			  NULL);
	if (!err)
		err = digest_final(work.digest, c->digest);
	digest_free(work.digest);
	if (err)
		return err;
	sketcher_finish(&work.sketcher, &c->sketch);
	c->sketched = 1;
	return 0;
}

static unsigned rank(const struct candidate *c)
{
	return c->resemblance + (c->is_reference ? REFERENCE_BONUS : 0);
}

/* Keep the best in `out`; of equals the older. */
static void offer(const struct candidate *c, struct candidate out[CHOICES],
		  int *n)
{
	int at = *n;

	while (at && (rank(c) > rank(&out[at - 1]) ||
		      (rank(c) == rank(&out[at - 1]) &&
		       c->mtime.tv_sec < out[at - 1].mtime.tv_sec)))
		at--;
	if (at == CHOICES)
		return;
	if (*n < CHOICES)
		(*n)++;
	for (int i = *n - 1; i > at; i--)
		out[i] = out[i - 1];
	out[at] = *c;
}

static unsigned resemblance(const struct candidate *c, const struct question *q)
{
	if (c->len == q->len && !memcmp(c->digest, q->digest, DIGEST_LEN))
		return 1000;
	return sketch_resemblance(&c->sketch, q->sketch);
}

static void consider(struct candidate *c, const struct question *q,
		     struct candidate out[CHOICES], int *n)
{
	if (!strcmp(c->key, q->key) || !c->sketched)
		return;
	c->resemblance = resemblance(c, q);
	if (c->resemblance >= SKETCH_ALIKE)
		offer(c, out, n);
}

static void consider_foreign(struct volume *v, struct catalogue *cat,
			     const struct question *q,
			     struct candidate out[CHOICES], int *n)
{
	struct candidate c;

	for (size_t at = 0; !*n && catalogue_foreign(cat, &at, &c); at++) {
		if (c.len / 4 > q->len || c.len < q->len / 4 ||
		    c.len > FOREIGN_MAX || !strcmp(c.key, q->key))
			continue;
		if (!catalogue_try(cat, FOREIGN_TRIES))
			return;
		if (sketch_foreign(v, &c)) {
			catalogue_remove(cat, c.key);
			continue;
		}
		catalogue_put(cat, &c);
		consider(&c, q, out, n);
	}
}

static struct catalogue *catalogue_of(struct volume *v, struct inode *dir)
{
	struct catalogue *c, *fresh = NULL;
	struct key key;

	inode_lock(dir);
	c = directory_of(dir)->catalogue;
	inode_unlock(dir);
	if (c)
		return c;
	if (key_of_inode(v, dir, &key) || catalogue_load(&fresh, v, key.text))
		return NULL;
	inode_lock(dir);
	if (!directory_of(dir)->catalogue) {
		directory_of(dir)->catalogue = fresh;
		fresh = NULL;
	}
	c = directory_of(dir)->catalogue;
	inode_unlock(dir);
	catalogue_free(fresh);
	return c;
}

int choose(struct volume *v, struct inode *dir, const struct question *q,
	   struct candidate out[CHOICES])
{
	struct catalogue *cat = catalogue_of(v, dir);
	struct candidate c;
	int n = 0;

	if (!cat)
		return -EIO;
	for (size_t at = 0; catalogue_at(cat, at, &c); at++)
		consider(&c, q, out, &n);
	if (!n)
		consider_foreign(v, cat, q, out, &n);
	return n;
}

void choose_note(struct volume *v, struct inode *dir, const struct candidate *c)
{
	struct catalogue *cat;

	(void)v;
	inode_lock(dir);
	cat = directory_of(dir)->catalogue;
	inode_unlock(dir);
	/* Without one, the first question will find it in the bucket. */
	if (cat)
		catalogue_put(cat, c);
}

void choose_forget(struct inode *dir, const char *key)
{
	struct catalogue *cat;

	inode_lock(dir);
	cat = directory_of(dir)->catalogue;
	inode_unlock(dir);
	if (cat)
		catalogue_remove(cat, key);
}

void choose_moved(struct volume *v, struct inode *from, struct inode *to,
		  const char *old_key, const struct object *obj,
		  const char *new_key)
{
	struct catalogue *cat;
	struct candidate c;
	int known;

	inode_lock(from);
	cat = directory_of(from)->catalogue;
	inode_unlock(from);
	known = cat && catalogue_find(cat, old_key, &c);
	choose_forget(from, old_key);
	choose_forget(to, new_key);
	if (!known)
		return;
	memcpy(c.key, new_key, strlen(new_key) + 1);
	memcpy(c.etag, obj->etag, sizeof(c.etag));
	choose_note(v, to, &c);
}
