#include "fs/content.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "fs/fetch.h"
#include "fs/inode.h"
#include "fs/log.h"

#define COPY_PIECE ((size_t)1 << 20)

int inode_new_spool(struct inode *i, struct pagefile **out)
{
	const struct volume_conf *c = &i->volume->conf;
	int err = pagefile_create(out, c->spool_dirfd, c->key, c->spool);

	if (!err || err == -ENOMEM)
		return err;
	log_error(
		"nothing can be written: no file can be made in cache_dir: %s%s",
		strerrordesc_np(-err),
		err == -EPERM || err == -ENOENT
			? ": was it removed? unmount and mount again"
			: "");
	return err == -ENOSPC || err == -EMFILE ? err : -EIO;
}

void content_clear(struct content *c)
{
	fetch_free(c->fetch);
	c->fetch = NULL;
}

/* A fetch for what the inode is now, under the key it has now. */
static int content_open(struct content *c, struct inode *i)
{
	struct object obj;
	struct key key;
	int err;

	inode_lock(i);
	obj = inode_object(i);
	err = i->remote ? 0 : -ESTALE;
	inode_unlock(i);
	if (!err && c->fetch && !strcmp(c->etag, obj.etag))
		return 0;
	content_clear(c);
	if (!err)
		err = key_of_inode(i->volume, i, &key);
	if (!err)
		err = fetch_new(&c->fetch, i->volume, key.text, &obj);
	if (!err)
		memcpy(c->etag, obj.etag, sizeof(c->etag));
	return err;
}

/*
 * The object is not the version that was opened.  It may be the same file in
 * another form (made a delta, moved, its attributes changed): go on with that.
 */
static int content_follow(struct inode *i, const struct store_call *call)
{
	struct store_stat st;
	struct object now, known;
	struct key key;
	int err;

	err = key_of_inode(i->volume, i, &key);
	if (!err)
		err = object_head(i->volume, call, key.text, &now, &st);
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	inode_lock(i);
	known = inode_object(i);
	if (i->remote && now.has_digest && known.has_digest &&
	    now.size == known.size &&
	    !memcmp(now.digest, known.digest, DIGEST_LEN)) {
		inode_set_object(i, &now);
		i->attr_unseen = 1;
		i->checked_ms = 0;
	} else {
		err = strcmp(now.etag, known.etag) != 0 ? -ESTALE : 0;
	}
	inode_unlock(i);
	return err;
}

int content_read(struct content *c, struct inode *i, const struct request *rq,
		 struct span span)
{
	struct store_error error = { 0 };
	struct store_call call = call_of(rq, &error);
	char label[LABEL_MAX];
	int err;

	for (int tries = 0;; tries++) {
		err = content_open(c, i);
		if (!err)
			err = fetch_read(c->fetch, &call, span.buf, span.len,
					 span.off);
		if ((err != -ESTALE && err != -ENOENT) || tries == 3)
			break;
		content_clear(c);
		err = content_follow(i, &call);
		if (err)
			break;
	}
	if (err == -ENOENT)
		err = -ESTALE;
	if (err == -EIO) {
		/* The kernel must not show what it has of it to the next. */
		inode_lock(i);
		i->pages_valid = 0;
		inode_unlock(i);
	}
	if (err && err != -EINTR)
		log_error("read %s at %llu: %s", inode_label(i, label),
			  (unsigned long long)span.off, reason(err, &error));
	return err;
}

/* The first `len` bytes of what the bucket has, in a new spool. */
static int copy_to(struct inode *i, const struct request *rq, uint64_t len,
		   struct pagefile *spool)
{
	struct content c = { 0 };
	uint8_t *buf = malloc(COPY_PIECE);
	int err = 0;

	if (!buf)
		return -ENOMEM;
	for (uint64_t off = 0; !err && off < len;) {
		size_t n = len - off < COPY_PIECE ? (size_t)(len - off)
						  : COPY_PIECE;
		struct span span = { buf, n, off };

		err = content_read(&c, i, rq, span);
		if (!err)
			err = pagefile_pwrite(spool, buf, n, off);
		off += n;
	}
	content_clear(&c);
	bytes_wipe(buf, COPY_PIECE);
	free(buf);
	return err;
}

int inode_spool_upto(struct inode *i, const struct request *rq, uint64_t len)
{
	struct pagefile *spool;
	uint64_t size;
	int err, have;

	latch_read(&i->data);
	have = i->spool != NULL;
	latch_release(&i->data);
	if (have)
		return 0;
	inode_lock(i);
	size = i->remote ? i->object.size : 0;
	inode_unlock(i);
	err = inode_new_spool(i, &spool);
	if (!err) {
		err = copy_to(i, rq, size < len ? size : len, spool);
		if (err)
			pagefile_close(spool);
	}
	if (err)
		return err;
	latch_write(&i->data);
	i->spool = spool;
	inode_lock(i);
	i->spooled = 1;
	inode_changed(i);
	inode_unlock(i);
	latch_release(&i->data);
	return 0;
}

int inode_copy_up(struct inode *i, const struct request *rq)
{
	return inode_spool_upto(i, rq, UINT64_MAX);
}

void inode_touched(struct inode *i, uint64_t size)
{
	struct timespec now = attr_now();

	inode_lock(i);
	i->size = size;
	i->attr.mtime = i->attr.ctime = now;
	i->unsaved = 1;
	inode_changed(i);
	inode_unlock(i);
}

int inode_resize(struct inode *i, const struct request *rq, uint64_t len)
{
	int err;

	err = inode_spool_upto(i, rq, len);
	if (err)
		return err;
	latch_write(&i->data);
	err = pagefile_truncate(i->spool, len);
	if (!err) {
		if (len <= i->torn_off)
			i->torn = 0; /* what is missing is not wanted */
		i->dirty = 1;
		inode_touched(i, len);
	}
	latch_release(&i->data);
	return err;
}
