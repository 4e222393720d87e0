#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delta/container.h"
#include "fs/fetch.h"
#include "fs/inode.h"
#include "fs/xattrs.h"

#define PREFIX "user.deltaglider."

/* How the file is stored; read only.  In the order of listxattr(2). */
static const char *const names[] = { "storage",     "codec", "size",
				     "stored_size", "ratio", "sha256",
				     "reference" };

static int reference(struct inode *i, const struct request *rq,
		     const struct object *obj, struct bytes *out)
{
	struct store_call call = call_of(rq, NULL);
	struct delta_info info;
	struct fetch *f;
	struct key key;
	int err;

	if (!object_is_delta(obj))
		return -ENODATA;
	err = key_of_inode(i->volume, i, &key);
	if (!err)
		err = fetch_new(&f, i->volume, key.text, obj);
	if (err)
		return err;
	err = fetch_reference(f, &call, &info);
	fetch_free(f);
	return err ? err : bytes_append_str(out, info.ref_key);
}

static int value(const struct object *obj, const char *name, struct bytes *out)
{
	int delta = object_is_delta(obj);
	enum codec codec =
		obj->form == OBJECT_BSDIFF ? CODEC_BSDIFF : CODEC_NATIVE;
	char hex[DIGEST_HEX];

	if (!strcmp(name, "storage"))
		return bytes_append_str(out, delta ? "delta" : "plain");
	if (!strcmp(name, "codec"))
		return bytes_append_str(out,
					delta ? codec_name(codec) : "none");
	if (!strcmp(name, "size"))
		return bytes_printf(out, "%llu", (unsigned long long)obj->size);
	if (!strcmp(name, "stored_size"))
		return bytes_printf(out, "%llu",
				    (unsigned long long)obj->stored);
	if (!strcmp(name, "ratio"))
		return bytes_printf(out, "%.6f",
				    obj->size ? (double)obj->stored /
							(double)obj->size
					      : 1.0);
	if (strcmp(name, "sha256") != 0 || !obj->has_digest)
		return -ENODATA;
	hex_encode(hex, obj->digest, DIGEST_LEN);
	return bytes_append_str(out, hex);
}

/* One that was set. */
static int kept_value(struct inode *i, const char *name, struct bytes *out)
{
	char *text;
	int err = inode_copy_xattr(i, &text);

	if (!err)
		err = xattrs_get(text, name, out);
	free(text);
	return err;
}

int xattr_is_ours(const char *name)
{
	return !strncmp(name, PREFIX, sizeof(PREFIX) - 1);
}

int volume_getxattr(struct volume *v, const struct request *rq, struct inode *i,
		    const char *name, struct bytes *out)
{
	struct object obj;
	int err, has;

	(void)v; /* an inode knows its own */
	err = inode_refresh(i, rq);
	if (err)
		return err;
	if (!xattr_is_ours(name))
		return kept_value(i, name, out);
	if (i->directory)
		return -ENODATA;
	name += sizeof(PREFIX) - 1;
	inode_lock(i);
	obj = inode_object(i);
	has = i->remote && !i->unsaved;
	inode_unlock(i);
	/* What is not stored yet is not stored in any way. */
	if (!err && !has)
		err = -ENODATA;
	if (!err)
		err = strcmp(name, "reference") != 0
			      ? value(&obj, name, out)
			      : reference(i, rq, &obj, out);
	return err;
}

/* The names of those that were set. */
static int kept_names(struct inode *i, struct bytes *out)
{
	char *text;
	int err = inode_copy_xattr(i, &text);

	if (!err)
		err = xattrs_list(text, out);
	free(text);
	return err;
}

int volume_listxattr(struct volume *v, const struct request *rq,
		     struct inode *i, struct bytes *out)
{
	struct object obj;
	int err, has;

	(void)v;
	err = inode_refresh(i, rq);
	if (!err)
		err = kept_names(i, out);
	if (err)
		return err;
	inode_lock(i);
	obj = inode_object(i);
	has = i->remote && !i->unsaved && !i->directory;
	inode_unlock(i);
	for (size_t k = 0; has && !err && k < sizeof(names) / sizeof(*names);
	     k++) {
		if (!strcmp(names[k], "sha256") && !obj.has_digest)
			continue;
		if (!strcmp(names[k], "reference") && !object_is_delta(&obj))
			continue;
		err = bytes_append_str(out, PREFIX);
		if (!err)
			err = bytes_append(out, names[k], strlen(names[k]) + 1);
	}
	return err;
}
