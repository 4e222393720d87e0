#include <errno.h>
#include <string.h>

#include "fs/fetch.h"
#include "fs/inode.h"

/* What the bucket has under a name: asked, never remembered. */

int name_hidden(struct volume *v, const struct request *rq, struct inode *dir,
		const char *name)
{
	struct store_call call = call_of(rq, NULL);
	struct store_stat st;
	struct key key;
	int err;

	if (strcmp(name, ".dg") != 0)
		return 0;
	if (dir == v->root)
		return 1;
	/* Another mount's, if it has the marker; else the user's own. */
	err = key_of(v, dir, ".dg/format", &key);
	if (!err)
		err = v->conf.store->ops->head(v->conf.store, key.text, &call,
					       &st);
	if (err == -ENOENT || err == -ENAMETOOLONG)
		return 0;
	return err ? err : 1;
}

int object_head(struct volume *v, const struct store_call *call,
		const char *key, struct object *out, struct store_stat *st)
{
	int err;

	err = v->conf.store->ops->head(v->conf.store, key, call, st);
	if (err)
		return err;
	object_read(out, st);
	if (out->form == OBJECT_DELTA && !out->has_size)
		err = fetch_describe(v, call, key, out);
	return err;
}

static void read_attr(struct volume *v, const struct store_stat *st,
		      struct resolved *out)
{
	attr_read(&out->attr, st, &v->conf.defaults, out->directory);
	if (meta_get(&st->meta, "xattr", out->xattr, sizeof(out->xattr)))
		out->xattr[0] = '\0';
}

int inode_take_attr(struct inode *i, const struct store_stat *st)
{
	struct resolved r = { .directory = i->directory };

	read_attr(i->volume, st, &r);
	i->attr = r.attr;
	return inode_set_xattr(i, r.xattr);
}

struct first {
	char key[STORE_KEY_MAX + 1];
};

static int take_first(void *arg, const char *key, const struct store_stat *st,
		      int is_prefix)
{
	struct first *f = arg;
	size_t len = strlen(key);

	(void)st;
	(void)is_prefix;
	if (len <= STORE_KEY_MAX)
		memcpy(f->key, key, len + 1);
	return 1;
}

/* One that is there because there are keys below it, and nothing else. */
static void without_marker(struct volume *v, struct resolved *out)
{
	struct store_stat nothing = { .mtime = v->started };

	*out = (struct resolved){ .directory = 1 };
	read_attr(v, &nothing, out);
}

/* A directory that is there; its marker may be. */
int resolve_marker(struct volume *v, const struct request *rq,
		   const struct key *slashed, struct resolved *out)
{
	struct store_call call = call_of(rq, NULL);
	struct store_stat st;
	int err;

	err = v->conf.store->ops->head(v->conf.store, slashed->text, &call,
				       &st);
	if (err == -ENOENT) {
		without_marker(v, out);
		return 0;
	}
	if (err)
		return err;
	*out = (struct resolved){ .directory = 1, .marker = 1 };
	read_attr(v, &st, out);
	return 0;
}

/* A directory is a marker object, or any key below it. */
static int resolve_directory(struct volume *v, const struct request *rq,
			     const struct key *file, struct resolved *out)
{
	struct store_call call = call_of(rq, NULL);
	struct store_list what = { .max = 1 };
	struct first first = { { 0 } };
	struct key key = *file;
	int err;

	err = key_slash(&key);
	if (err)
		return -ENOENT;
	what.prefix = key.text;
	err = v->conf.store->ops->list(v->conf.store, &what, &call, take_first,
				       &first);
	if (err < 0)
		return err;
	if (!err)
		return -ENOENT;
	if (!strcmp(first.key, key.text))
		return resolve_marker(v, rq, &key, out);
	without_marker(v, out);
	return 0;
}

int resolve(struct volume *v, const struct request *rq, const struct key *key,
	    struct resolved *out)
{
	struct store_call call = call_of(rq, NULL);
	struct store_stat st;
	struct object obj;
	int err;

	err = object_head(v, &call, key->text, &obj, &st);
	if (err == -ENOENT)
		return resolve_directory(v, rq, key, out);
	if (err)
		return err;
	*out = (struct resolved){ .object = obj };
	read_attr(v, &st, out);
	return 0;
}
