#include "fs/ops_private.h"

#include <errno.h>
#include <string.h>

#include "fs/xattrs.h"

#define LABEL "security.selinux"

/*
 * Access control lists would have to be enforced, which the kernel does for us
 * only where it keeps them itself: there are none.
 */
static int is_acl(const char *name)
{
	return !strncmp(name, "system.", 7);
}

/* Of a namespace that there is, and not all of it.  0 or -errno. */
static int check_name(const char *name)
{
	static const char *const spaces[] = { "user.", "security.",
					      "trusted." };

	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		size_t len = strlen(spaces[i]);

		if (!strncmp(name, spaces[i], len))
			return name[len] ? 0 : -EINVAL;
	}
	return -EOPNOTSUPP;
}

static void reply_xattr(fuse_req_t req, struct bytes *b, int err, size_t size)
{
	if (!err && size && b->len > size)
		err = -ERANGE;
	if (err)
		fail(req, err);
	else if (!size)
		(void)fuse_reply_xattr(req, b->len);
	else
		(void)fuse_reply_buf(req, (const char *)b->data, b->len);
	bytes_clear(b);
}

void xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct request rq = request_begin(req);
	struct bytes b = BYTES_INIT;
	int err;

	if (is_acl(name)) {
		(void)fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	err = control_is(ino) ? -ENODATA
			      : volume_getxattr(volume_of(req), &rq,
						inode_at(req, ino), name, &b);
	/*
	 * ls -l asks every file for its label, which takes as long as all else,
	 * until it hears that there are none.  Where there are any it is the
	 * kernel that answers, not we.
	 */
	if (err == -ENODATA && !strcmp(name, LABEL)) {
		(void)fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	reply_xattr(req, &b, err, size);
}

void xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct request rq = request_begin(req);
	struct bytes b = BYTES_INIT;
	int err = control_is(ino) ? 0
				  : volume_listxattr(volume_of(req), &rq,
						     inode_at(req, ino), &b);

	reply_xattr(req, &b, err, size);
}

static void change(fuse_req_t req, fuse_ino_t ino, const struct xattr_change *c)
{
	struct request rq = request_begin(req);

	int err = is_acl(c->name) ? -EOPNOTSUPP : check_name(c->name);

	if (err)
		(void)fuse_reply_err(req, -err);
	else
		fail(req, control_is(ino)
				  ? -EPERM
				  : volume_setxattr(volume_of(req), &rq,
						    inode_at(req, ino), c));
}

void xattr_set(fuse_req_t req, fuse_ino_t ino, const char *name,
	       const char *value, size_t size, int flags)
{
	change(req, ino,
	       &(struct xattr_change){ .name = name,
				       .value = size ? value : "",
				       .len = size,
				       .flags = flags });
}

void xattr_remove(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	change(req, ino, &(struct xattr_change){ .name = name });
}
