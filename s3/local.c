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
#include "s3/local_private.h"

#define STEP       ((size_t)256 << 10) /* bytes given to a sink at once */
#define OPEN_MAX_S 8 /* a mount that cannot be says so soon */

struct local *local_of(struct store *s)
{
	return (struct local *)(void *)s;
}

const struct store_call *local_call(const struct store_call *call)
{
	return call != NULL ? call : &store_call_none;
}

void local_count_up(struct local *l, uint64_t *what, uint64_t n)
{
	pthread_mutex_lock(&l->count_mutex);
	*what += n;
	pthread_mutex_unlock(&l->count_mutex);
}

int local_fail(struct local *l, const struct store_call *call, int rc,
	       const char *key)
{
	const char *why = store_strerror(rc);

	switch (rc) {
	case -ENOSPC:
		rc = -EDQUOT;
		break;
	case -EPERM:
	case -EROFS:
		rc = -EACCES;
		break;
	case -ETIMEDOUT:
		/* Of the lock, which has said so. */
		if (call->error != NULL && call->error->text[0] != '\0')
			return rc;
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
	if (rc != -ENOENT && rc != -ESTALE && rc != -EEXIST)
		local_count_up(l, &l->count.errors, 1);
	return store_fail(call, rc, "%s: \"%.120s\": %s", l->dir, key, why);
}

int local_object_open(struct local *l, const char *key,
		      const struct store_call *call, int *out,
		      struct store_stat *st)
{
	char path[LOCAL_PATH_MAX];
	struct store_stat found;
	int fd = -1;
	int rc;

	rc = local_path(path, key);
	if (rc != 0)
		return rc;
	fd = openat(l->tree.root_fd, path,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return call->if_match != NULL ? -ESTALE : -ENOENT;
		return errno == ELOOP || errno == ENXIO ? -EIO : store_errno();
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

	call = local_call(call);
	if (faccessat(l->tree.root_fd, ".tmp", R_OK | W_OK | X_OK, 0) != 0)
		return store_fail(call, -EACCES, "cannot write to %s/.tmp: %s",
				  l->dir, store_strerror(errno));
	return 0;
}

static int local_head(struct store *s, const char *key,
		      const struct store_call *call, struct store_stat *out)
{
	struct local *l = local_of(s);
	int fd = -1;
	int rc;

	call = local_call(call);
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	local_count_up(l, &l->count.head, 1);
	rc = local_object_open(l, key, call, &fd, out);
	if (rc != 0)
		return local_fail(l, call, rc, key);
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

/* NOLINTNEXTLINE(readability-function-size): store_ops has eight, too */
static int local_get(struct store *s, const char *key, uint64_t off,
		     uint64_t len, const struct store_call *call,
		     store_sink_fn *sink, void *sink_arg,
		     struct store_stat *out)
{
	struct local *l = local_of(s);
	struct store_stat st = { 0 };
	int fd = -1;
	int rc;

	call = local_call(call);
	if (len == 0)
		return 0;
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	local_count_up(l, &l->count.get, 1);
	rc = local_object_open(l, key, call, &fd, &st);
	if (rc != 0)
		return local_fail(l, call, rc, key);
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
	local_count_up(l, &l->count.bytes_in, len);
	if (out != NULL)
		*out = st;
	return 0;
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

	call = local_call(call);
	local_count_up(l, &l->count.list, 1);
	rc = local_list(l->tree.root_fd, what, call, listing_entry, &listing);
	if (rc == 0 || listing.ended)
		return rc;
	return local_fail(l, call, rc, what->prefix);
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
	*out = (struct store_caps)STORE_CAPS_ALL;
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

int local_new(struct store **out, const char *dir, unsigned timeout_s,
	      struct store_error *error)
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
		rc = store_error_set(error, -rc, "%s", store_strerror(rc));
		goto free_dir;
	}
	l->tree.limit_ms =
		1000 *
		(uint64_t)(timeout_s < OPEN_MAX_S ? timeout_s : OPEN_MAX_S);
	rc = local_tree_open(&l->tree, l->dir, error);
	l->tree.limit_ms = (uint64_t)timeout_s * 1000;
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
