#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"
#include "fs/log.h"
#include "fs/tree.h"

#define MARKER_TYPE "application/x-directory"

/* What is made with a single call: all but files with bytes. */
static int read_bytes(void *arg, void *buf, size_t len, uint64_t off)
{
	const char *text = arg;

	memcpy(buf, text + off, len);
	return 0;
}

int directory_mark(struct volume *v, const struct key *key,
		   const struct attr *a)
{
	struct store_source src = { .read = read_bytes, .arg = (void *)"" };
	struct store_error error = { 0 };
	struct store_call call = { .if_absent = 1, .error = &error };
	struct meta meta = { 0 };
	struct store_head head = { .content_type = MARKER_TYPE, .meta = &meta };
	int err;

	err = attr_write(a, &meta);
	if (err)
		return err;
	err = v->conf.store->ops->put(v->conf.store, key->text, &src, &head,
				      &call, NULL);
	if (err && err != -EEXIST)
		log_error("directory %s: %s", key->text, error.text);
	return err;
}

struct attr attr_for_new(struct inode *parent, const struct request *rq,
			 mode_t mode)
{
	struct timespec now = attr_now();
	gid_t gid = rq->gid;

	/* A directory with the bit gives its group to what is made in it. */
	inode_lock(parent);
	if (parent->attr.mode & S_ISGID) {
		gid = parent->attr.gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
	}
	inode_unlock(parent);
	return (struct attr){ .mode = mode,
			      .uid = rq->uid,
			      .gid = gid,
			      .atime = now,
			      .mtime = now,
			      .ctime = now };
}

static int may_make(struct volume *v, struct inode *parent, const char *name,
		    struct key *key)
{
	int err;

	if (v->conf.read_only)
		return -EROFS;
	err = name_usable(v, parent, name);
	if (!err)
		err = key_of(v, parent, name, key);
	return err == -ESTALE ? -ENOENT : err;
}

int volume_mkdir(struct volume *v, const struct request *rq,
		 struct inode *parent, const char *name, mode_t mode,
		 struct inode **out)
{
	struct resolved r = { .directory = 1, .marker = 1 };
	struct listing_page *nothing;
	struct key key;
	int err = tree_enter(parent, rq);

	if (err)
		return err;
	nothing = listing_nothing(v);
	err = may_make(v, parent, name, &key);
	if (!err)
		err = key_slash(&key);
	if (err)
		goto leave;
	r.attr = attr_for_new(parent, rq, S_IFDIR | (mode & 07777));
	err = directory_mark(v, &key, &r.attr);
	if (err)
		goto leave;
	names_changed(v, parent, name);
	directory_touched(parent);
	err = inode_of(v, parent, name, &r, out);
	/* It was just looked up and not there: so there is nothing in it. */
	if (!err) {
		inode_lock((*out));
		directory_of(*out)->made_here = 1;
		inode_unlock((*out));
	}
	if (!err && nothing) {
		listing_offer(*out, nothing);
		nothing = NULL;
	}
leave:
	listing_free(nothing);
	tree_leave(parent);
	return err;
}

/* A small object that is all there is to know of it. */
static int make_small(struct volume *v, struct inode *parent, const char *name,
		      const char *content, struct resolved *r)
{
	struct store_source src = { .len = strlen(content),
				    .read = read_bytes,
				    .arg = (void *)content };
	struct store_error error = { 0 };
	struct store_call call = { .if_absent = 1, .error = &error };
	uint8_t digest[DIGEST_LEN];
	struct object_facts facts = { .name = name,
				      .size = src.len,
				      .digest = digest,
				      .attr = &r->attr };
	struct meta meta;
	struct store_head head = { .meta = &meta };
	struct store_stat st = { 0 };
	struct key key;
	int err;

	err = may_make(v, parent, name, &key);
	if (!err)
		err = digest_buffer(content, src.len, digest);
	if (!err)
		err = object_write(&facts, &meta);
	if (err)
		return err;
	err = v->conf.store->ops->put(v->conf.store, key.text, &src, &head,
				      &call, &st);
	if (err && err != -EEXIST)
		log_error("%s: %s", key.text, reason(err, &error));
	if (err)
		return err;
	st.meta = meta;
	object_read(&r->object, &st);
	names_changed(v, parent, name);
	directory_touched(parent);
	return 0;
}

static int make_node(struct inode *parent, const struct request *rq,
		     const char *name, const char *content, struct resolved *r,
		     struct inode **out)
{
	struct volume *v = parent->volume;
	int err = tree_enter(parent, rq);

	if (err)
		return err;
	err = make_small(v, parent, name, content, r);
	if (!err)
		err = inode_of(v, parent, name, r, out);
	tree_leave(parent);
	return err;
}

int volume_symlink(struct volume *v, const struct request *rq,
		   struct inode *parent, const char *name, const char *target,
		   struct inode **out)
{
	struct resolved r = { .attr = attr_for_new(parent, rq,
						   S_IFLNK | 0777) };
	char *copy = strdup(target);
	int err = copy ? make_node(parent, rq, name, target, &r, out) : -ENOMEM;

	(void)v; /* an inode knows its own */
	if (!err) {
		inode_lock(*out);
		copy = inode_swap_target(*out, copy);
		inode_unlock(*out);
	}
	free(copy);
	return err;
}

int volume_mknod(struct volume *v, const struct request *rq,
		 const struct mknod *m, struct inode **out)
{
	struct resolved r = { .attr = attr_for_new(m->parent, rq, m->mode) };

	(void)v; /* an inode knows its own */
	if (!S_ISFIFO(m->mode) && !S_ISSOCK(m->mode) && !S_ISCHR(m->mode) &&
	    !S_ISBLK(m->mode))
		return -EINVAL;
	r.attr.rdev = m->rdev;
	return make_node(m->parent, rq, m->name, "", &r, out);
}
