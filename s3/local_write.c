/* put, copy and remove of the local store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "s3/error.h"
#include "s3/local_file.h"
#include "s3/local_path.h"
#include "s3/local_private.h"

/* Do the conditions hold?  Called with the lock, so that they still do later. */
static int conditions_check(struct local *l, const char *from, const char *to,
			    const struct store_call *call)
{
	struct store_call absent = { 0 };
	struct store_stat st;
	int fd = -1;
	int rc;

	if (call->if_match != NULL) {
		rc = local_object_open(l, from, call, &fd, &st);
		if (rc != 0)
			return rc;
		close(fd);
	}
	if (call->if_absent) {
		rc = local_object_open(l, to, &absent, &fd, &st);
		if (rc == 0)
			close(fd);
		/* What is damaged may be replaced, but is not absent. */
		if (rc != -ENOENT)
			return rc == 0 || rc == -EIO || rc == -ENOTSUP ? -EEXIST
								       : rc;
	}
	return 0;
}

/* Put the filled `temp` in the place of `to`, if the conditions hold. */
static int publish(struct local *l, struct local_temp *temp, const char *from,
		   const char *to, const struct store_call *call)
{
	char path[LOCAL_PATH_MAX];
	int dir_fd = -1;
	int rc;

	rc = local_path(path, to);
	if (rc != 0)
		return rc;
	rc = local_tree_lock(&l->tree, call);
	if (rc != 0)
		return rc;
	rc = conditions_check(l, from, to, call);
	if (rc == 0)
		rc = local_tree_publish(&l->tree, temp, path, &dir_fd);
	local_tree_unlock(&l->tree);
	/* The lock is not held meanwhile: this is the slow part. */
	return rc != 0 ? rc : local_tree_sync(dir_fd);
}

/* What the object is to say of itself. */
static int stat_fill(struct store_stat *st, const struct store_head *head)
{
	const char *type = head->content_type;
	const char *encoding = head->content_encoding;
	uint8_t version[16];
	int rc;

	if (type == NULL)
		type = "application/octet-stream";
	if (encoding == NULL)
		encoding = "";
	if (strlen(type) >= sizeof(st->content_type) ||
	    strlen(encoding) >= sizeof(st->content_encoding))
		return -EINVAL;
	memcpy(st->content_type, type, strlen(type) + 1);
	memcpy(st->content_encoding, encoding, strlen(encoding) + 1);
	memset(&st->meta, 0, sizeof(st->meta));
	if (head->meta != NULL)
		st->meta = *head->meta;
	rc = aead_random(version, sizeof(version));
	if (rc != 0)
		return rc;
	hex_encode(st->etag, version, sizeof(version));
	return clock_gettime(CLOCK_REALTIME, &st->mtime) == 0 ? 0 : -errno;
}

int local_put(struct store *s, const char *key, const struct store_source *src,
	      const struct store_head *head, const struct store_call *call,
	      struct store_stat *out)
{
	static const struct store_head plain;
	struct local *l = local_of(s);
	struct store_stat st = { .len = src->len };
	struct local_temp temp;
	int rc;

	call = local_call(call);
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	local_count_up(l, &l->count.put, 1);
	rc = stat_fill(&st, head != NULL ? head : &plain);
	if (rc == 0)
		rc = local_temp_open(&l->tree, &temp);
	if (rc != 0)
		return local_fail(l, call, rc, key);
	rc = local_file_fill(temp.fd, src, call);
	if (rc == 0)
		rc = local_file_describe(temp.fd, key, &st);
	if (rc == 0 && fsync(temp.fd) != 0)
		rc = -errno;
	if (rc == 0)
		rc = publish(l, &temp, key, key, call);
	if (rc != 0) {
		local_temp_remove(&l->tree, &temp);
		return local_fail(l, call, rc, key);
	}
	local_temp_close(&temp);
	local_count_up(l, &l->count.bytes_out, src->len);
	if (out != NULL) {
		out->len = st.len;
		memcpy(out->etag, st.etag, sizeof(out->etag));
	}
	return 0;
}

/* The copy's own description: the source's, or `head`. */
static int copy_stat(struct store_stat *st, const struct store_head *head)
{
	struct store_stat was = *st;
	const struct store_head same = { was.content_type, was.content_encoding,
					 &was.meta };

	return stat_fill(st, head != NULL ? head : &same);
}

int local_copy(struct store *s, const char *from, const char *to,
	       const struct store_head *head, const struct store_call *call,
	       struct store_stat *out)
{
	struct local *l = local_of(s);
	struct local_temp temp;
	struct store_stat st;
	int from_fd = -1;
	int rc;

	call = local_call(call);
	rc = store_key_check(call, from);
	if (rc == 0)
		rc = store_key_check(call, to);
	if (rc != 0)
		return rc;
	local_count_up(l, &l->count.copy, 1);
	rc = local_object_open(l, from, call, &from_fd, &st);
	if (rc != 0)
		return local_fail(l, call, rc, from);
	rc = copy_stat(&st, head);
	if (rc == 0)
		rc = local_temp_open(&l->tree, &temp);
	if (rc != 0)
		goto close_from;
	rc = local_file_copy(temp.fd, from_fd, st.len, call);
	if (rc == 0)
		rc = local_file_describe(temp.fd, to, &st);
	if (rc == 0 && fsync(temp.fd) != 0)
		rc = -errno;
	if (rc == 0)
		rc = publish(l, &temp, from, to, call);
	if (rc == 0)
		local_temp_close(&temp);
	else
		local_temp_remove(&l->tree, &temp);
	if (rc == 0 && out != NULL)
		memcpy(out->etag, st.etag, sizeof(out->etag));
close_from:
	close(from_fd);
	return rc == 0 ? 0 : local_fail(l, call, rc, to);
}

int local_remove(struct store *s, const char *key,
		 const struct store_call *call)
{
	struct local *l = local_of(s);
	char path[LOCAL_PATH_MAX];
	struct store_stat st;
	int dir_fd = -1;
	int fd = -1;
	int rc;

	call = local_call(call);
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	local_count_up(l, &l->count.remove, 1);
	rc = local_path(path, key);
	if (rc == 0)
		rc = local_tree_lock(&l->tree, call);
	if (rc != 0)
		return local_fail(l, call, rc, key);
	if (call->if_match != NULL &&
	    faccessat(l->tree.root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		rc = local_object_open(l, key, call, &fd, &st);
		if (rc == 0)
			close(fd);
	}
	if (rc == 0)
		rc = local_tree_unlink(&l->tree, path, &dir_fd);
	local_tree_unlock(&l->tree);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return 0;
	if (rc == 0)
		rc = local_tree_sync(dir_fd);
	return rc == 0 ? 0 : local_fail(l, call, rc, key);
}
