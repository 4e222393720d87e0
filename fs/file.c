#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "crypto/clock.h"
#include "fs/content.h"
#include "fs/inode.h"
#include "fs/log.h"

struct handle {
	struct inode *inode; /* pinned, and counted in opens */
	int flags;
	pthread_mutex_t lock; /* all below */
	struct content content;
	uint64_t failed_ms; /* when a read last did; clock_ms() */
	int failed_err;
};

static int handle_new(struct inode *i, int flags, struct handle **out)
{
	struct handle *h = calloc(1, sizeof(*h));
	int went;

	if (!h)
		return -ENOMEM;
	h->inode = i;
	h->flags = flags;
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_mutex_lock(&i->volume->lock);
	while (i->going)
		(void)pthread_cond_wait(&i->volume->tree_changed,
					&i->volume->lock);
	/* Gone, and nobody kept its bytes: the name may have others by now. */
	inode_lock(i);
	went = i->gone && !i->spooled;
	inode_unlock(i);
	if (!went) {
		i->pins++;
		i->opens++;
	}
	(void)pthread_mutex_unlock(&i->volume->lock);
	if (went) {
		(void)pthread_mutex_destroy(&h->lock);
		free(h);
		return -ESTALE; /* the kernel looks the name up again */
	}
	*out = h;
	return 0;
}

static void handle_free(struct handle *h)
{
	content_clear(&h->content);
	(void)pthread_mutex_destroy(&h->lock);
	inode_unpin(h->inode);
	free(h);
}

static unsigned drop_open(struct inode *i)
{
	unsigned left;

	(void)pthread_mutex_lock(&i->volume->lock);
	left = --i->opens;
	(void)pthread_mutex_unlock(&i->volume->lock);
	return left;
}

/* Who is not root takes its privileges from a file whose content he changes. */
static void drop_privileges(struct inode *i)
{
	inode_lock(i);
	i->attr.mode &= ~(mode_t)S_ISUID;
	if (i->attr.mode & S_IXGRP)
		i->attr.mode &= ~(mode_t)S_ISGID;
	inode_unlock(i);
}

static int open_existing(struct inode *i, const struct request *rq, int flags,
			 struct handle **out)
{
	int err;

	if (i->directory)
		return -EISDIR;
	err = handle_new(i, flags, out);
	if (err || !(flags & O_TRUNC))
		return err;
	latch_write(&i->commit);
	err = inode_resize(i, rq, 0);
	latch_release(&i->commit);
	if (!err && rq->uid)
		drop_privileges(i);
	if (err) {
		(void)drop_open(i);
		handle_free(*out);
	}
	return err;
}

static uint64_t size_of(struct inode *i)
{
	uint64_t size;

	inode_lock(i);
	size = i->size;
	inode_unlock(i);
	return size;
}

int volume_open(struct volume *v, const struct request *rq, struct inode *i,
		int flags, struct handle **out, int *same)
{
	int err, writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
	uint64_t before;

	if (writes && v->conf.read_only)
		return -EROFS;
	before = size_of(i);
	err = inode_refresh(i, rq);
	/* The kernel would read the new version up to the old one's end. */
	if (!err && size_of(i) != before)
		err = -ESTALE;
	if (!err)
		err = inode_sniff(i, rq);
	if (!err && names_is_superseded(v, i))
		err = -ESTALE; /* the kernel looks the name up again */
	if (!err)
		err = open_existing(i, rq, flags, out);
	if (err)
		return err;
	inode_lock(i);
	*same = i->pages_valid;
	i->pages_valid = 1;
	inode_unlock(i);
	return 0;
}

static int new_file(struct volume *v, const struct request *rq,
		    const struct create *c, struct inode **out)
{
	struct inode *i;
	int err;

	err = inode_new(v, 0, &i);
	if (err)
		return err;
	i->attr = attr_for_new(c->parent, rq, S_IFREG | (c->mode & 07777));
	i->dirty = i->unsaved = i->spooled = i->pages_valid = 1;
	i->exclusive = !!(c->flags & O_EXCL);
	err = inode_new_spool(i, &i->spool);
	if (err) {
		inode_forget(v, i, 1);
		return err;
	}
	*out = i;
	return 0;
}

int volume_create(struct volume *v, const struct request *rq,
		  const struct create *c, struct inode **out, struct handle **h)
{
	struct inode *i, *had = NULL;
	struct key key;
	int err;

	if (v->conf.read_only)
		return -EROFS;
	err = name_usable(v, c->parent, c->name);
	if (!err)
		err = key_of(v, c->parent, c->name, &key);
	if (err)
		return err == -ESTALE ? -ENOENT : err;
	err = new_file(v, rq, c, &i);
	if (err)
		return err;
	err = names_claim(v, c->parent, c->name, i, &had);
	if (!err && had && c->flags & O_EXCL)
		err = -EEXIST;
	if (!err && had)
		err = open_existing(had, rq, c->flags, h);
	else if (!err)
		err = handle_new(i, c->flags, h);
	names_changed(v, c->parent, c->name);
	if (!err && had) {
		inode_hold(had);
		*out = had;
	} else if (!err) {
		*out = i;
		directory_touched(c->parent);
	} else if (!had) {
		names_remove(v, i);
	}
	if (err || had)
		inode_forget(v, i, 1);
	inode_unpin(had);
	return err;
}

ssize_t handle_read(struct handle *h, const struct request *rq, void *buf,
		    size_t len, uint64_t off)
{
	struct inode *i = h->inode;
	char label[LABEL_MAX];
	uint64_t size, start = clock_ms();
	ssize_t n = -1;
	int err;

	latch_read(&i->data);
	if (i->spool)
		n = pagefile_pread(i->spool, buf, len, off);
	inode_lock(i);
	size = i->size;
	inode_unlock(i);
	err = i->spool != NULL;
	latch_release(&i->data);
	if (err) {
		if (n == -EBADMSG) {
			log_error(
				"%s: its unsaved bytes on the local disk were damaged",
				inode_label(i, label));
			n = -EIO;
		}
		return n;
	}
	if (off >= size)
		return 0;
	if (len > size - off)
		len = (size_t)(size - off);
	(void)pthread_mutex_lock(&h->lock);
	/* Who has waited while another one's time ran out has no more. */
	if (h->failed_ms > start)
		err = h->failed_err;
	else
		err = content_read(&h->content, i, rq,
				   (struct span){ buf, len, off });
	if (err == -ETIMEDOUT || err == -EHOSTUNREACH) {
		h->failed_ms = clock_ms();
		h->failed_err = err;
	}
	(void)pthread_mutex_unlock(&h->lock);
	return err ? err : (ssize_t)len;
}

int inode_lock_spool(struct inode *i, const struct request *rq)
{
	for (;;) {
		int err;

		latch_write(&i->data);
		if (i->spool)
			return 0;
		latch_release(&i->data);
		latch_write(&i->commit);
		err = inode_copy_up(i, rq);
		latch_release(&i->commit);
		if (err)
			return err;
	}
}

/* With the spool locked, which is let go of. */
static ssize_t write_and_unlock(struct inode *i, const void *buf, size_t len,
				uint64_t off)
{
	int err;

	err = pagefile_pwrite(i->spool, buf, len, off);
	if (err && (!i->torn || off < i->torn_off)) {
		i->torn = err;
		i->torn_off = off;
	} else if (!err && off <= i->torn_off && i->torn_off - off < len) {
		i->torn = 0; /* done over, and this time it was */
	}
	/* Also after an error: some of it may have been written. */
	i->dirty = 1;
	inode_touched(i, pagefile_length(i->spool));
	latch_release(&i->data);
	return err ? err : (ssize_t)len;
}

ssize_t handle_write(struct handle *h, const struct request *rq,
		     const void *buf, size_t len, uint64_t off)
{
	int err = inode_lock_spool(h->inode, rq);

	return err ? err : write_and_unlock(h->inode, buf, len, off);
}

ssize_t handle_append(struct handle *h, const struct request *rq,
		      const void *buf, size_t len)
{
	struct inode *i = h->inode;
	int err = inode_lock_spool(i, rq);

	if (err)
		return err;
	return write_and_unlock(i, buf, len, pagefile_length(i->spool));
}

struct inode *handle_inode(struct handle *h)
{
	return h->inode;
}

int handle_flush(struct handle *h)
{
	/* Not because a reader comes and goes while somebody writes. */
	if ((h->flags & O_ACCMODE) == O_RDONLY)
		return 0;
	return inode_commit(h->inode, COMMIT_UNLESS_EMPTY);
}

int handle_fsync(struct handle *h)
{
	int err = inode_commit(h->inode, COMMIT_NOW);

	return err ? err : inode_sync_attr(h->inode);
}

void inode_settle(struct inode *i)
{
	struct volume *v = i->volume;
	struct pagefile *spool = NULL;
	char label[LABEL_MAX];
	int lost = 0, never;

	latch_write(&i->commit);
	latch_write(&i->data);
	(void)pthread_mutex_lock(&v->lock);
	inode_lock(i);
	if (!i->opens) {
		spool = i->spool;
		i->spool = NULL;
		lost = i->dirty && !i->gone; /* unlinked here: meant to go */
		i->dirty = 0;
		i->torn = 0;
	}
	never = lost && !i->remote;
	if (spool) {
		i->spooled = 0;
		inode_changed(i);
	}
	if (spool && i->unsaved) {
		i->unsaved = 0;
		i->checked_ms = 0;
		i->size = i->remote ? i->object.size : 0;
		inode_replaced(i);
	}
	inode_unlock(i);
	(void)pthread_mutex_unlock(&v->lock);
	latch_release(&i->data);
	latch_release(&i->commit);
	pagefile_close(spool);
	if (!lost)
		return;
	volume_count(v, &v->stats.lost_at_release, 1);
	log_error(
		"%s: what close could not store is dropped with its last descriptor; the bucket keeps what it has",
		inode_label(i, label));
	if (never)
		names_remove(v, i);
}

void handle_release(struct handle *h)
{
	struct inode *i = h->inode;
	char label[LABEL_MAX];

	if (!drop_open(i)) {
		int err = inode_commit(i, COMMIT_NOW);

		if (err)
			log_error("%s: store at the last close: %s",
				  inode_label(i, label), strerrordesc_np(-err));
		inode_settle(i);
	}
	handle_free(h);
}
