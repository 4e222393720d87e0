#include "fs/tree.h"

#include <errno.h>

#include "crypto/clock.h"

#define LOOK_MS 100 /* between looks at `cancel` */

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

/* Wait for a change; dropped meanwhile.  0 or -EINTR. */
static int wait_change(struct volume *v, const struct request *rq)
{
	int cancelled;

	clock_cond_wait(&v->tree_changed, &v->lock, LOOK_MS);
	if (!rq || !rq->cancel)
		return 0;
	/* Unlocked, as it is the caller's own code. */
	(void)pthread_mutex_unlock(&v->lock);
	cancelled = rq->cancel(rq->cancel_arg);
	(void)pthread_mutex_lock(&v->lock);
	return cancelled ? -EINTR : 0;
}

int tree_enter_both(struct inode *a, struct inode *b, const struct request *rq)
{
	struct volume *v = a->volume;
	int err = 0;

	(void)pthread_mutex_lock(&v->lock);
	while (!err && (moving(a) || moving(b)))
		err = wait_change(v, rq);
	if (!err) {
		count(a, 1);
		count(b, 1);
	}
	(void)pthread_mutex_unlock(&v->lock);
	return err;
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

int tree_enter(struct inode *dir, const struct request *rq)
{
	return tree_enter_both(dir, NULL, rq);
}

void tree_leave(struct inode *dir)
{
	tree_leave_both(dir, NULL);
}

int tree_move_begin(struct inode *dir, const struct request *rq)
{
	struct volume *v = dir->volume;
	int err = 0;

	(void)pthread_mutex_lock(&v->lock);
	while (!err && v->move_under_way)
		err = wait_change(v, rq);
	if (err)
		goto unlock;
	v->move_under_way = 1;
	dir->moving = 1;
	while (!err && dir->busy)
		err = wait_change(v, rq);
	if (err) {
		dir->moving = 0;
		v->move_under_way = 0;
		(void)pthread_cond_broadcast(&v->tree_changed);
	}
unlock:
	(void)pthread_mutex_unlock(&v->lock);
	return err;
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
	/* Nobody to be interrupted: it cannot fail. */
	if (dir)
		(void)!tree_enter(dir, NULL);
	return dir;
}

void inode_leave(struct inode *dir)
{
	if (!dir)
		return;
	tree_leave(dir);
	inode_unpin(dir);
}
