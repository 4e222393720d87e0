#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"
#include "fs/keyname.h"

/* The keys that inodes stand for. */

/* Under volume.lock: write `i`'s path and a '/' so that it ends at `end`. */
static int path_back(const struct inode *i, char *start, char **end)
{
	char part[KEYNAME_MAX + 1];

	for (; i->parent; i = i->parent) {
		size_t len = keyname_encode(part, i->name);

		if ((size_t)(*end - start) < len + 1)
			return -ENAMETOOLONG;
		*--*end = '/';
		*end -= len;
		memcpy(*end, part, len);
	}
	return i == i->volume->root ? 0 : -ESTALE;
}

int key_of(struct volume *v, struct inode *dir, const char *name,
	   struct key *out)
{
	char buf[STORE_KEY_MAX + 1], *p = buf + sizeof(buf);
	size_t prefix = strlen(v->prefix), path, len;
	char last[KEYNAME_MAX + 1];
	int err;

	(void)pthread_mutex_lock(&v->lock);
	err = path_back(dir, buf, &p);
	(void)pthread_mutex_unlock(&v->lock);
	if (err)
		return err;
	len = keyname_encode(last, name);
	path = (size_t)(buf + sizeof(buf) - p);
	if (prefix + path + len > STORE_KEY_MAX)
		return -ENAMETOOLONG;
	memcpy(out->text, v->prefix, prefix);
	memcpy(out->text + prefix, p, path);
	memcpy(out->text + prefix + path, last, len + 1);
	return 0;
}

char *key_dup_locked(struct volume *v, const struct inode *dir)
{
	char buf[STORE_KEY_MAX + 1], *p = buf + sizeof(buf), *out;
	size_t prefix = strlen(v->prefix), path;

	if (path_back(dir, buf, &p))
		return NULL;
	path = (size_t)(buf + sizeof(buf) - p);
	out = malloc(prefix + path + 1);
	if (!out)
		return NULL;
	memcpy(out, v->prefix, prefix);
	memcpy(out + prefix, p, path);
	out[prefix + path] = '\0';
	return out;
}

size_t key_dir_len(const struct key *k)
{
	const char *slash = strrchr(k->text, '/');

	return slash ? (size_t)(slash - k->text) + 1 : 0;
}

int key_slash(struct key *k)
{
	size_t len = strlen(k->text);

	if (len + 1 > STORE_KEY_MAX)
		return -ENAMETOOLONG;
	k->text[len] = '/';
	k->text[len + 1] = '\0';
	return 0;
}

int key_of_inode(struct volume *v, struct inode *i, struct key *out)
{
	int err;

	err = key_of(v, i, "", out);
	if (!err && !i->directory)
		out->text[strlen(out->text) - 1] = '\0';
	return err;
}

const char *inode_label(struct inode *i, char out[LABEL_MAX])
{
	struct key key;

	if (key_of_inode(i->volume, i, &key))
		(void)snprintf(out, LABEL_MAX, "a removed file (inode %llu)",
			       (unsigned long long)i->number);
	else
		memcpy(out, key.text, sizeof(key.text));
	return out;
}
