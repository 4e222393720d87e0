#include "fs/tree.h"

/* All under volume.lock. */
static int moving(const struct inode *i)
{
	for (; i; i = i->parent)
		if (i->moving)
			return 1;
	return 0;
}

static void count(struct inode *i, int by)
{
	for (; i; i = i->parent)
		i->busy += (unsigned)by;
}

void tree_enter_both(struct inode *a, struct inode *b)
{
	struct volume *v = a->volume;

	(void)pthread_mutex_lock(&v->lock);
	while (moving(a) || moving(b))
		(void)pthread_cond_wait(&v->tree_changed, &v->lock);
	count(a, 1);
	count(b, 1);
	(void)pthread_mutex_unlock(&v->lock);
}

void tree_leave_both(struct inode *a, struct inode *b)
{
	struct volume *v = a->volume;

	(void)pthread_mutex_lock(&v->lock);
	/* The way up is the one that was counted: nothing on it could move. */
	count(a, -1);
	count(b, -1);
	(void)pthread_cond_broadcast(&v->tree_changed);
	(void)pthread_mutex_unlock(&v->lock);
}

void tree_enter(struct inode *dir)
{
	tree_enter_both(dir, NULL);
}

void tree_leave(struct inode *dir)
{
	tree_leave_both(dir, NULL);
}

void tree_move_begin(struct inode *dir)
{
	struct volume *v = dir->volume;

	(void)pthread_mutex_lock(&v->lock);
	while (v->move_under_way)
		(void)pthread_cond_wait(&v->tree_changed, &v->lock);
	v->move_under_way = 1;
	dir->moving = 1;
	while (dir->busy)
		(void)pthread_cond_wait(&v->tree_changed, &v->lock);
	(void)pthread_mutex_unlock(&v->lock);
}

void tree_move_end(struct inode *dir)
{
	struct volume *v = dir->volume;

	(void)pthread_mutex_lock(&v->lock);
	dir->moving = 0;
	v->move_under_way = 0;
	/* Answers about keys that were asked for before are old now. */
	atomic_fetch_add(&v->moves, 1);
	(void)pthread_cond_broadcast(&v->tree_changed);
	(void)pthread_mutex_unlock(&v->lock);
}

struct inode *inode_enter(struct inode *i)
{
	struct inode *dir = i;

	if (!i->directory) {
		(void)pthread_mutex_lock(&i->volume->lock);
		dir = i->parent;
		if (dir)
			dir->pins++;
		(void)pthread_mutex_unlock(&i->volume->lock);
	} else {
		inode_pin(dir);
	}
	if (dir)
		tree_enter(dir);
	return dir;
}

void inode_leave(struct inode *dir)
{
	if (!dir)
		return;
	tree_leave(dir);
	inode_unpin(dir);
}
