#include "fs/ops_private.h"

#include <fcntl.h>
#include <stdlib.h>

#define DIR_ID   2
#define FIRST_ID 3
/* Outside of what the volume numbers its inodes with. */
#define NUMBER(ino) (UINT64_MAX - (ino))

int control_is(fuse_ino_t ino)
{
	return ino >= DIR_ID && ino < FIRST_ID + control_files_len;
}

static struct stat stat_of(const struct ops_context *c, fuse_ino_t ino)
{
	struct stat st = { .st_ino = NUMBER(ino),
			   .st_uid = c->owner,
			   .st_gid = c->group,
			   .st_nlink = 1 };

	st.st_mode = ino == DIR_ID
			     ? S_IFDIR | 0555
			     : S_IFREG | control_files[ino - FIRST_ID].mode;
	st.st_atim.tv_sec = st.st_mtim.tv_sec = st.st_ctim.tv_sec =
		(time_t)c->started;
	return st;
}

void control_lookup(fuse_req_t req, const struct ops_context *c,
		    fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .entry_timeout = 60 };

	if (parent == FUSE_ROOT_ID)
		e.ino = DIR_ID;
	for (size_t k = 0; parent == DIR_ID && k < control_files_len; k++)
		if (!strcmp(control_files[k].name, name))
			e.ino = FIRST_ID + k;
	if (!e.ino) {
		(void)fuse_reply_err(req, ENOENT);
		return;
	}
	e.attr = stat_of(c, e.ino);
	(void)fuse_reply_entry(req, &e);
}

void control_getattr(fuse_req_t req, const struct ops_context *c,
		     fuse_ino_t ino)
{
	struct stat st = stat_of(c, ino);

	(void)fuse_reply_attr(req, &st, 0);
}

/* What is read is a snapshot made at opening. */
void control_open(fuse_req_t req, const struct ops_context *c, fuse_ino_t ino,
		  struct fuse_file_info *fi)
{
	const struct control *file = &control_files[ino - FIRST_ID];
	int writes = (fi->flags & O_ACCMODE) != O_RDONLY;
	struct bytes *b;
	int err = 0;

	if (writes && !file->store) {
		(void)fuse_reply_err(req, EACCES);
		return;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		err = -ENOMEM;
	else if (file->show)
		err = file->show(&c->control, b);
	if (err) {
		if (b)
			bytes_clear(b);
		free(b);
		fail(req, err);
		return;
	}
	fi->fh = (uintptr_t)b;
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi))
		control_release(fi);
}

static struct bytes *bytes_at(const struct fuse_file_info *fi)
{
	return pointer_of(fi->fh);
}

void control_read(fuse_req_t req, size_t size, off_t off,
		  const struct fuse_file_info *fi)
{
	const struct bytes *b = bytes_at(fi);
	size_t at = (size_t)off < b->len ? (size_t)off : b->len;
	size_t n = b->len - at < size ? b->len - at : size;
	/* Once it is answered, the reader may close and free the snapshot. */
	char *copy = malloc(n ? n : 1);

	if (!copy) {
		fail(req, -ENOMEM);
		return;
	}
	if (n)
		memcpy(copy, b->data + at, n);
	(void)fuse_reply_buf(req, copy, n);
	free(copy);
}

void control_write(fuse_req_t req, const struct ops_context *c, fuse_ino_t ino,
		   const char *buf, size_t size)
{
	const struct control *file = &control_files[ino - FIRST_ID];
	char line[CONTROL_LINE_MAX];
	size_t len = size;
	int err;

	if (len && buf[len - 1] == '\n')
		len--;
	if (len >= sizeof(line) || memchr(buf, '\n', len) ||
	    memchr(buf, 0, len)) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	memcpy(line, buf, len);
	line[len] = '\0';
	err = file->store(&c->control, line);
	if (err)
		fail(req, err);
	else
		(void)fuse_reply_write(req, size);
}

void control_release(const struct fuse_file_info *fi)
{
	struct bytes *b = bytes_at(fi);

	bytes_clear(b);
	free(b);
}

static size_t put(fuse_req_t req, char *buf, size_t room, const char *name,
		  off_t next, int plus)
{
	/* Without a node id the kernel looks the name up when it is used. */
	struct fuse_entry_param e = { .attr.st_ino = 0xffffffff };

	if (plus)
		return fuse_add_direntry_plus(req, buf, room, name, &e, next);
	return fuse_add_direntry(req, buf, room, name, &e.attr, next);
}

void control_readdir(fuse_req_t req, char *buf, size_t size, off_t off,
		     int plus)
{
	size_t used = 0;

	for (size_t k = (size_t)off; k < control_files_len + 2; k++) {
		const char *name = k == 0   ? "."
				   : k == 1 ? ".."
					    : control_files[k - 2].name;
		size_t n = put(req, buf + used, size - used, name, (off_t)k + 1,
			       plus);

		if (n > size - used)
			break;
		used += n;
	}
	(void)fuse_reply_buf(req, buf, used);
}
