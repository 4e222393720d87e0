#include "s3/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "s3/error.h"
#include "s3/local_file.h"
#include "s3/local_list.h"
#include "s3/local_path.h"
#include "s3/local_tree.h"

#define STEP ((size_t)256 << 10) /* bytes given to a sink at once */

struct local {
	struct store store; /* first: this is what callers hold */
	struct local_tree tree;
	char *dir; /* as given, for messages */
	pthread_mutex_t count_mutex;
	struct store_counters count;
};

static struct local *local_of(struct store *s)
{
	return (struct local *)(void *)s;
}

static const struct store_call *call_of(const struct store_call *call)
{
	return call != NULL ? call : &store_call_none;
}

static void count(struct local *l, uint64_t *what, uint64_t n)
{
	pthread_mutex_lock(&l->count_mutex);
	*what += n;
	pthread_mutex_unlock(&l->count_mutex);
}

/* What the system said, in the words of store.h, with a line about `key`. */
static int fail(struct local *l, const struct store_call *call, int rc,
		const char *key)
{
	const char *why = strerror(-rc);

	switch (rc) {
	case -ENOSPC:
		rc = -EDQUOT;
		break;
	case -EPERM:
	case -EROFS:
		rc = -EACCES;
		break;
	case -ENOENT:
		why = "no such object";
		break;
	case -ESTALE:
		why = "replaced or removed by somebody else";
		break;
	case -EEXIST:
		why = "there is such an object already";
		break;
	case -EIO:
		why = "damaged, or no object of ours";
		break;
	default:
		break;
	}
	count(l, &l->count.errors, 1);
	return store_fail(call, rc, "%s: \"%.120s\": %s", l->dir, key, why);
}

/* The object's file, open, and what it says of itself. */
static int object_open(struct local *l, const char *key,
		       const struct store_call *call, int *out,
		       struct store_stat *st)
{
	char path[LOCAL_PATH_MAX];
	struct store_stat found;
	int fd;
	int rc;

	rc = local_path(path, key);
	if (rc != 0)
		return rc;
	fd = openat(l->tree.root_fd, path,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return call->if_match != NULL ? -ESTALE : -ENOENT;
		return errno == ELOOP || errno == ENXIO ? -EIO : -errno;
	}
	rc = local_file_stat(fd, key, &found);
	if (rc == 0 && call->if_match != NULL &&
	    strcmp(call->if_match, found.etag) != 0)
		rc = -ESTALE;
	if (rc != 0) {
		close(fd);
		return rc;
	}
	*st = found;
	*out = fd;
	return 0;
}

static int local_check(struct store *s, const struct store_call *call)
{
	struct local *l = local_of(s);

	call = call_of(call);
	if (faccessat(l->tree.root_fd, ".tmp", R_OK | W_OK | X_OK, 0) != 0)
		return store_fail(call, -EACCES, "cannot write to %s/.tmp: %s",
				  l->dir, strerror(errno));
	return 0;
}

static int local_head(struct store *s, const char *key,
		      const struct store_call *call, struct store_stat *out)
{
	struct local *l = local_of(s);
	int fd;
	int rc;

	call = call_of(call);
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	count(l, &l->count.head, 1);
	rc = object_open(l, key, call, &fd, out);
	if (rc != 0)
		return fail(l, call, rc, key);
	close(fd);
	return 0;
}

/* Bytes of the file into the sink. */
static int body_send(int fd, uint64_t off, uint64_t len,
		     const struct store_call *call, store_sink_fn *sink,
		     void *sink_arg)
{
	uint64_t done = 0;
	uint8_t *buf;
	int rc = 0;

	buf = malloc(len < STEP ? (size_t)len : STEP);
	if (buf == NULL)
		return -ENOMEM;
	while (rc == 0 && done < len) {
		size_t step = len - done < STEP ? (size_t)(len - done) : STEP;

		if (store_cancelled(call)) {
			rc = -EINTR;
			break;
		}
		rc = local_file_read(fd, buf, step,
				     LOCAL_BODY_OFF + off + done);
		if (rc == 0)
			rc = sink(sink_arg, buf, step);
		done += step;
	}
	free(buf);
	return rc;
}

static int local_get(struct store *s, const char *key, uint64_t off,
		     uint64_t len, const struct store_call *call,
		     store_sink_fn *sink, void *sink_arg,
		     struct store_stat *out)
{
	struct local *l = local_of(s);
	struct store_stat st;
	int fd;
	int rc;

	call = call_of(call);
	if (len == 0)
		return 0;
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	count(l, &l->count.get, 1);
	rc = object_open(l, key, call, &fd, &st);
	if (rc != 0)
		return fail(l, call, rc, key);
	if (off > st.len || len > st.len - off)
		rc = store_fail(call, -EIO,
				"%s: \"%.120s\" has %llu bytes, fewer than "
				"asked for",
				l->dir, key, (unsigned long long)st.len);
	else
		rc = body_send(fd, off, len, call, sink, sink_arg);
	close(fd);
	if (rc != 0)
		return rc;
	count(l, &l->count.bytes_in, len);
	if (out != NULL)
		*out = st;
	return 0;
}

/* Do the conditions hold?  Called with the lock, so that they still do later. */
static int conditions_check(struct local *l, const char *from, const char *to,
			    const struct store_call *call)
{
	struct store_call absent = { 0 };
	struct store_stat st;
	int fd;
	int rc;

	if (call->if_match != NULL) {
		rc = object_open(l, from, call, &fd, &st);
		if (rc != 0)
			return rc;
		close(fd);
	}
	if (call->if_absent) {
		rc = object_open(l, to, &absent, &fd, &st);
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
	int dir_fd;
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

static int local_put(struct store *s, const char *key,
		     const struct store_source *src,
		     const struct store_head *head,
		     const struct store_call *call, struct store_stat *out)
{
	static const struct store_head plain;
	struct local *l = local_of(s);
	struct store_stat st = { .len = src->len };
	struct local_temp temp;
	int rc;

	call = call_of(call);
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	count(l, &l->count.put, 1);
	rc = stat_fill(&st, head != NULL ? head : &plain);
	if (rc == 0)
		rc = local_temp_open(&l->tree, &temp);
	if (rc != 0)
		return fail(l, call, rc, key);
	rc = local_file_fill(temp.fd, src, call);
	if (rc == 0)
		rc = local_file_describe(temp.fd, key, &st);
	if (rc == 0 && fsync(temp.fd) != 0)
		rc = -errno;
	if (rc == 0)
		rc = publish(l, &temp, key, key, call);
	if (rc != 0) {
		local_temp_remove(&l->tree, &temp);
		return fail(l, call, rc, key);
	}
	local_temp_close(&temp);
	count(l, &l->count.bytes_out, src->len);
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

static int local_copy(struct store *s, const char *from, const char *to,
		      const struct store_head *head,
		      const struct store_call *call, struct store_stat *out)
{
	struct local *l = local_of(s);
	struct local_temp temp;
	struct store_stat st;
	int from_fd;
	int rc;

	call = call_of(call);
	rc = store_key_check(call, from);
	if (rc == 0)
		rc = store_key_check(call, to);
	if (rc != 0)
		return rc;
	count(l, &l->count.copy, 1);
	rc = object_open(l, from, call, &from_fd, &st);
	if (rc != 0)
		return fail(l, call, rc, from);
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
	return rc == 0 ? 0 : fail(l, call, rc, to);
}

static int local_remove(struct store *s, const char *key,
			const struct store_call *call)
{
	struct local *l = local_of(s);
	char path[LOCAL_PATH_MAX];
	struct store_stat st;
	int dir_fd;
	int fd;
	int rc;

	call = call_of(call);
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	count(l, &l->count.remove, 1);
	rc = local_path(path, key);
	if (rc == 0)
		rc = local_tree_lock(&l->tree, call);
	if (rc != 0)
		return fail(l, call, rc, key);
	if (call->if_match != NULL &&
	    faccessat(l->tree.root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		rc = object_open(l, key, call, &fd, &st);
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
	return rc == 0 ? 0 : fail(l, call, rc, key);
}

/* Remembers whether the caller's function ended the list: that is no error. */
struct listing {
	store_list_fn *fn;
	void *arg;
	int ended;
};

static int listing_entry(void *arg, const char *key,
			 const struct store_stat *st, int is_prefix)
{
	struct listing *l = arg;
	int rc = l->fn(l->arg, key, st, is_prefix);

	l->ended = rc != 0;
	return rc;
}

static int local_list_op(struct store *s, const struct store_list *what,
			 const struct store_call *call, store_list_fn *fn,
			 void *fn_arg)
{
	struct listing listing = { fn, fn_arg, 0 };
	struct local *l = local_of(s);
	int rc;

	call = call_of(call);
	count(l, &l->count.list, 1);
	rc = local_list(l->tree.root_fd, what, call, listing_entry, &listing);
	if (rc == 0 || listing.ended)
		return rc;
	return fail(l, call, rc, what->prefix);
}

static int local_probe(struct store *s, const char *prefix,
		       const struct store_call *call)
{
	(void)s;
	(void)prefix;
	(void)call;
	return 0; /* nothing to learn: see local_caps() */
}

static void local_caps(struct store *s, struct store_caps *out)
{
	(void)s;
	*out = (struct store_caps){ 1, 1, 1, 1, 1, 1, 1 };
}

static void local_count(struct store *s, struct store_counters *out)
{
	struct local *l = local_of(s);

	pthread_mutex_lock(&l->count_mutex);
	*out = l->count;
	pthread_mutex_unlock(&l->count_mutex);
}

static void local_free(struct store *s)
{
	struct local *l = local_of(s);

	if (s == NULL)
		return;
	local_tree_close(&l->tree);
	pthread_mutex_destroy(&l->count_mutex);
	free(l->dir);
	free(l);
}

int local_new(struct store **out, const char *dir, struct store_error *error)
{
	static const struct store_ops ops = {
		.check = local_check,
		.head = local_head,
		.get = local_get,
		.put = local_put,
		.copy = local_copy,
		.remove = local_remove,
		.list = local_list_op,
		.probe = local_probe,
		.caps = local_caps,
		.count = local_count,
		.free = local_free,
	};
	struct local *l;
	int rc = -ENOMEM;

	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return store_error_set(error, rc, "out of memory");
	l->store.ops = &ops;
	l->dir = strdup(dir);
	if (l->dir == NULL) {
		(void)store_error_set(error, rc, "out of memory");
		goto free_local;
	}
	rc = pthread_mutex_init(&l->count_mutex, NULL);
	if (rc != 0) {
		rc = store_error_set(error, -rc, "%s", strerror(rc));
		goto free_dir;
	}
	rc = local_tree_open(&l->tree, dir, error);
	if (rc != 0)
		goto destroy_mutex;
	*out = &l->store;
	return 0;

destroy_mutex:
	pthread_mutex_destroy(&l->count_mutex);
free_dir:
	free(l->dir);
free_local:
	free(l);
	return rc;
}
