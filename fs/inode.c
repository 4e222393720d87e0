#include "fs/inode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "crypto/clock.h"
#include "fs/choose.h"
#include "fs/xattrs.h"

void volume_count(struct volume *v, uint64_t *counter, uint64_t n)
{
	(void)pthread_mutex_lock(&v->stats_lock);
	*counter += n;
	(void)pthread_mutex_unlock(&v->stats_lock);
}

static size_t slot_of(const struct inode *dir, const char *name)
{
	uint64_t h = 0xcbf29ce484222325u ^ dir->number * 0x9e3779b97f4a7c15u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3u;
	return (size_t)((h ^ (h >> 32)) % NAME_SLOTS);
}

int inode_new(struct volume *v, int directory, struct inode **out)
{
	struct inode *i = calloc(1, directory ? sizeof(struct directory)
					      : sizeof(struct inode));

	if (!i)
		return -ENOMEM;
	i->volume = v;
	i->directory = !!directory;
	i->number = atomic_fetch_add(&v->next_number, 1);
	i->lookups = 1;
	(void)pthread_mutex_lock(&v->lock);
	v->n_inodes++;
	(void)pthread_mutex_unlock(&v->lock);
	*out = i;
	return 0;
}

/* Under volume.lock, with its name. */
static void unhash(struct inode *i)
{
	struct inode **link = &i->volume->names[slot_of(i->parent, i->name)];

	while (*link != i)
		link = &(*link)->hash_next;
	*link = i->hash_next;
	/* A sibling knows what points to it: there may be very many. */
	*i->sibling_link = i->sibling;
	if (i->sibling)
		i->sibling->sibling_link = i->sibling_link;
	i->hash_next = i->sibling = NULL;
	i->sibling_link = NULL;
}

/* Under volume.lock: give up the hold on `i`, and on whom it held in turn. */
static struct inode *drop_pin(struct inode *i)
{
	struct volume *v = i->volume;
	struct inode *dead = NULL;

	i->pins--;
	while (i && !i->pins && !i->lookups) {
		struct inode *parent = i->parent;

		i->dir_key = NULL; /* it waits for nothing any more */
		if (parent && atomic_load(&v->hints.running) &&
		    inode_is_news(i))
			i->dir_key = key_dup_locked(v, parent);
		if (parent)
			unhash(i);
		v->n_inodes--;
		i->hash_next = dead; /* chain what is to be freed */
		dead = i;
		i = parent;
		if (i)
			i->pins--;
	}
	return dead;
}

static void destroy(struct inode *dead)
{
	while (dead) {
		struct inode *next = dead->hash_next;

		if (dead->dir_key)
			hints_keep(dead->volume, dead->dir_key, dead);
		free(dead->dir_key);
		pagefile_close(dead->spool);
		if (dead->directory) {
			catalogue_free(directory_of(dead)->catalogue);
			listing_free(directory_of(dead)->listing);
		}
		packed_clear(&dead->object);
		free(dead->attempt);
		free(dead->name);
		free(dead->xattr);
		free(dead);
		dead = next;
	}
}

void inode_pin(struct inode *i)
{
	(void)pthread_mutex_lock(&i->volume->lock);
	i->pins++;
	(void)pthread_mutex_unlock(&i->volume->lock);
}

void inode_hold(struct inode *i)
{
	(void)pthread_mutex_lock(&i->volume->lock);
	i->lookups++;
	(void)pthread_mutex_unlock(&i->volume->lock);
}

void inode_unpin(struct inode *i)
{
	struct inode *dead;
	struct volume *v;

	if (!i)
		return;
	v = i->volume;
	(void)pthread_mutex_lock(&v->lock);
	dead = drop_pin(i);
	(void)pthread_mutex_unlock(&v->lock);
	destroy(dead);
}

void inode_forget(struct volume *v, struct inode *i, uint64_t n)
{
	struct inode *dead;

	(void)pthread_mutex_lock(&v->lock);
	i->lookups -= n < i->lookups ? n : i->lookups;
	i->pins++;
	dead = drop_pin(i);
	(void)pthread_mutex_unlock(&v->lock);
	destroy(dead);
}

/* Under volume.lock. */
static struct inode *find(struct volume *v, const struct inode *dir,
			  const char *name)
{
	struct inode *i = v->names[slot_of(dir, name)];

	while (i && (i->parent != dir || strcmp(i->name, name) != 0))
		i = i->hash_next;
	return i;
}

struct inode *names_find(struct volume *v, struct inode *dir, const char *name)
{
	struct inode *i;

	(void)pthread_mutex_lock(&v->lock);
	i = find(v, dir, name);
	if (i)
		i->pins++;
	(void)pthread_mutex_unlock(&v->lock);
	return i;
}

/* Under volume.lock; the hold on the parent is for the caller to drop. */
static struct inode *detach(struct volume *v, struct inode *i)
{
	struct inode *parent = i->parent;

	if (!parent)
		return NULL;
	unhash(i);
	for (struct inode *up = parent; up; up = up->parent)
		up->busy -= i->busy; /* what goes on below is not theirs now */
	if (i->busy)
		(void)pthread_cond_broadcast(&v->tree_changed);
	free(i->name);
	i->name = NULL;
	i->parent = NULL;
	i->gone = 1;
	return parent;
}

void names_remove(struct volume *v, struct inode *i)
{
	struct inode *parent, *dead = NULL;

	(void)pthread_mutex_lock(&v->lock);
	parent = detach(v, i);
	if (parent)
		dead = drop_pin(parent);
	(void)pthread_mutex_unlock(&v->lock);
	destroy(dead);
}

/* Under volume.lock. */
static void attach(struct volume *v, struct inode *dir, char *name,
		   struct inode *i)
{
	size_t slot = slot_of(dir, name);

	dir->busy += i->busy;
	for (struct inode *up = dir->parent; up; up = up->parent)
		up->busy += i->busy;
	i->name = name;
	i->parent = dir;
	i->gone = i->superseded = 0;
	dir->pins++;
	i->hash_next = v->names[slot];
	v->names[slot] = i;
	i->sibling = directory_of(dir)->child;
	i->sibling_link = &directory_of(dir)->child;
	if (i->sibling)
		i->sibling->sibling_link = &i->sibling;
	directory_of(dir)->child = i;
}

int names_add(struct volume *v, struct inode *dir, const char *name,
	      struct inode *i)
{
	char *copy = strdup(name);
	struct inode *old, *parent, *dead = NULL, *dead_old = NULL;

	if (!copy)
		return -ENOMEM;
	(void)pthread_mutex_lock(&v->lock);
	old = find(v, dir, name);
	if (old) {
		old->pins++;
		dir->pins++; /* outlives what `old` held of it */
		parent = detach(v, old);
		(void)drop_pin(parent);
		dead_old = drop_pin(old);
	}
	parent = i->parent ? detach(v, i) : NULL;
	attach(v, dir, copy, i);
	if (old)
		dir->pins--;
	if (parent)
		dead = drop_pin(parent);
	(void)pthread_mutex_unlock(&v->lock);
	destroy(dead);
	destroy(dead_old);
	names_changed(v, dir, name);
	return 0;
}

int names_claim(struct volume *v, struct inode *dir, const char *name,
		struct inode *i, struct inode **had)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	(void)pthread_mutex_lock(&v->lock);
	*had = find(v, dir, name);
	if (*had)
		(*had)->pins++;
	else
		attach(v, dir, copy, i);
	(void)pthread_mutex_unlock(&v->lock);
	if (*had)
		free(copy);
	return 0;
}

int names_children(struct volume *v, struct inode *dir, struct inode ***out,
		   size_t *n)
{
	struct inode **list, *i;
	size_t count = 0;

	(void)pthread_mutex_lock(&v->lock);
	for (i = directory_of(dir)->child; i; i = i->sibling)
		count++;
	list = calloc(count ? count : 1, sizeof(struct inode *));
	if (list) {
		count = 0;
		for (i = directory_of(dir)->child; i; i = i->sibling) {
			i->pins++;
			list[count++] = i;
		}
	}
	(void)pthread_mutex_unlock(&v->lock);
	if (!list)
		return -ENOMEM;
	*out = list;
	*n = count;
	return 0;
}

int names_where(struct volume *v, struct inode *i, struct inode **parent,
		char **name)
{
	int err = 0;

	(void)pthread_mutex_lock(&v->lock);
	if (!i->parent) {
		err = -ESTALE;
	} else {
		*name = strdup(i->name);
		if (!*name)
			err = -ENOMEM;
		else
			*parent = i->parent;
		if (!err)
			i->parent->pins++;
	}
	(void)pthread_mutex_unlock(&v->lock);
	return err;
}

int names_supersede(struct volume *v, struct inode *i, uint64_t generation)
{
	struct inode *parent = NULL, *dead = NULL;
	int same;

	(void)pthread_mutex_lock(&v->lock);
	inode_lock(i);
	same = i->generation + atomic_load(&v->moves) == generation;
	inode_unlock(i);
	if (same)
		parent = detach(v, i);
	if (parent) {
		i->gone = 0;
		i->superseded = 1;
		dead = drop_pin(parent);
	}
	(void)pthread_mutex_unlock(&v->lock);
	destroy(dead);
	return same;
}

int names_is_gone(struct volume *v, struct inode *i)
{
	int gone;

	(void)pthread_mutex_lock(&v->lock);
	gone = i->gone || i->superseded;
	(void)pthread_mutex_unlock(&v->lock);
	return gone;
}

int names_is_superseded(struct volume *v, struct inode *i)
{
	int superseded;

	(void)pthread_mutex_lock(&v->lock);
	superseded = i->superseded;
	(void)pthread_mutex_unlock(&v->lock);
	return superseded;
}

void names_changed(struct volume *v, struct inode *dir, const char *name)
{
	uint64_t now = atomic_fetch_add(&v->change_serial, 1) + 1, had;
	atomic_uint_fast64_t *slot = &v->changes[slot_of(dir, name)];

	had = atomic_load(slot);
	while (had < now && !atomic_compare_exchange_weak(slot, &had, now))
		;
}

uint64_t names_change_serial(struct volume *v, struct inode *dir,
			     const char *name)
{
	return atomic_load(&v->changes[slot_of(dir, name)]);
}

uint64_t names_change_count(struct volume *v, struct inode *dir,
			    const char *name)
{
	return atomic_load(&v->changes[slot_of(dir, name)]) +
	       atomic_load(&v->moves);
}

uint64_t inode_generation(struct inode *i)
{
	uint64_t generation;

	inode_lock(i);
	generation = i->generation + atomic_load(&i->volume->moves);
	inode_unlock(i);
	return generation;
}

void inode_replaced(struct inode *i)
{
	i->pages_valid = 0;
	if (i->volume->on_replaced)
		i->volume->on_replaced(i->volume->on_replaced_arg, i);
}

void inode_set_object(struct inode *i, const struct object *obj)
{
	inode_changed(i);
	packed_set(&i->object, obj);
	i->remote = 1;
	i->size = obj->size;
	i->checked_ms = clock_ms();
}

int inode_set_xattr(struct inode *i, const char *text)
{
	char *copy = NULL;

	if (xattrs_equal(i->xattr, text))
		return 0;
	if (text[0]) {
		copy = strdup(text);
		if (!copy)
			return -ENOMEM;
	}
	free(i->xattr);
	i->xattr = copy;
	return 0;
}

int inode_copy_xattr(struct inode *i, char **out)
{
	int err = 0;

	*out = NULL;
	inode_lock(i);
	if (i->xattr) {
		*out = strdup(i->xattr);
		err = *out ? 0 : -ENOMEM;
	}
	inode_unlock(i);
	return err;
}

int inode_local(struct inode *i)
{
	int local;

	inode_lock(i);
	local = i->unsaved || (!i->directory && !i->remote);
	inode_unlock(i);
	return local;
}

uint64_t inode_fresh_ms(struct inode *i)
{
	uint64_t now = clock_ms(), ttl = i->volume->conf.attr_timeout_ms, left;

	inode_lock(i);
	if (i->unsaved || (!i->directory && !i->remote) || i == i->volume->root)
		left = ttl;
	else if (!i->checked_ms || now - i->checked_ms >= ttl)
		left = 0;
	else
		left = ttl - (now - i->checked_ms);
	inode_unlock(i);
	return left;
}

int inode_fresh(struct inode *i)
{
	uint64_t now = clock_ms();
	int fresh;

	inode_lock(i);
	fresh = i->unsaved || (!i->directory && !i->remote) ||
		(i->checked_ms &&
		 now - i->checked_ms < i->volume->conf.attr_timeout_ms);
	inode_unlock(i);
	return fresh || i == i->volume->root;
}

void inode_stat(struct inode *i, struct stat *out)
{
	*out = (struct stat){ 0 };
	inode_lock(i);
	out->st_ino = i->number;
	out->st_mode = i->attr.mode;
	out->st_nlink = i->directory ? 2 : 1;
	out->st_uid = i->attr.uid;
	out->st_gid = i->attr.gid;
	out->st_rdev = i->attr.rdev;
	out->st_size = (off_t)i->size;
	out->st_blksize = 128 << 10;
	out->st_blocks = (blkcnt_t)((i->size + 511) / 512);
	out->st_atim = i->attr.atime;
	out->st_mtim = i->attr.mtime;
	out->st_ctim = i->attr.ctime;
	inode_unlock(i);
	if (!i->directory && names_is_gone(i->volume, i))
		out->st_nlink = 0;
}
