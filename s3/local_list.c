#include "s3/local_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3/error.h"
#include "s3/local_file.h"
#include "s3/local_path.h"

/* What ends a walk early that only asks whether there is any object. */
#define FOUND 1

/*
 * Where we are.  `path` and `key` always say the same place, in the words of
 * the disk and of the store; each step down appends, and cuts off again.
 */
struct walk {
	int root_fd;
	const struct store_list *what;
	size_t prefix_len;
	const struct store_call *call;
	store_list_fn *fn; /* NULL: end with FOUND at the first object */
	void *fn_arg;
	unsigned given;
	char path[LOCAL_PATH_MAX];
	char key[STORE_KEY_MAX + LOCAL_NAME_MAX];
};

struct entry {
	enum local_kind kind;
	char *name; /* on disk */
	char *part; /* what it adds to the key; same allocation as `name` */
};

struct entries {
	struct entry *list;
	size_t len, cap;
};

static int walk_dir(struct walk *w);

static void entries_clear(struct entries *es)
{
	size_t i;

	for (i = 0; i < es->len; i++)
		free(es->list[i].name);
	free(es->list);
}

static int entries_add(struct entries *es, const char *name)
{
	char part[LOCAL_NAME_MAX];
	enum local_kind kind = local_name_decode(part, name);
	size_t name_len = strlen(name) + 1;
	size_t part_len;
	struct entry *e;
	char *text;

	if (kind == LOCAL_ALIEN)
		return 0;
	part_len = strlen(part) + 1;
	if (es->len == es->cap) {
		size_t cap = es->cap ? 2 * es->cap : 32;
		struct entry *grown;

		grown = realloc(es->list, cap * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		es->list = grown;
		es->cap = cap;
	}
	text = malloc(name_len + part_len);
	if (text == NULL)
		return -ENOMEM;
	memcpy(text, name, name_len);
	memcpy(text + name_len, part, part_len);
	e = &es->list[es->len++];
	e->kind = kind;
	e->name = text;
	e->part = text + name_len;
	return 0;
}

/* No part begins another but for an object's: LOCAL.md says why. */
static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;

	return strcmp(x->part, y->part);
}

/* All that may be ours in `path`, in the order of the keys. */
static int entries_read(struct walk *w, struct entries *es)
{
	struct dirent *e;
	DIR *d;
	int fd;
	int rc = 0;

	fd = openat(w->root_fd, w->path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		/* Gone since we saw it, or none of ours. */
		if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
			return 0;
		if (errno == EACCES && strcmp(w->path, "lost+found") == 0)
			return 0;
		return -errno;
	}
	d = fdopendir(fd);
	if (d == NULL) {
		rc = -errno;
		close(fd);
		return rc;
	}
	errno = 0;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
	while (rc == 0 && (e = readdir(d)) != NULL) {
		rc = entries_add(es, e->d_name);
		errno = 0;
	}
	if (rc == 0 && errno != 0)
		rc = -errno;
	closedir(d);
	if (rc == 0 && es->len > 0)
		qsort(es->list, es->len, sizeof(*es->list), entry_cmp);
	return rc;
}

/* Non-zero if the key as it is now, or what it begins, is asked for. */
static int is_wanted(const struct walk *w, int whole)
{
	size_t len = strlen(w->key);
	size_t n = len < w->prefix_len ? len : w->prefix_len;
	const char *after = w->what->after;

	if (memcmp(w->key, w->what->prefix, n) != 0)
		return 0;
	if (whole && len < w->prefix_len)
		return 0;
	if (after == NULL || w->fn == NULL || strcmp(w->key, after) > 0)
		return 1;
	/* Something below it may still lie behind `after`. */
	return !whole && strncmp(after, w->key, len) == 0;
}

static int give(struct walk *w, const struct store_stat *st)
{
	int rc;

	if (w->fn == NULL)
		return FOUND;
	rc = w->fn(w->fn_arg, w->key, st, st == NULL);
	w->given++;
	return rc;
}

static int walk_object(struct walk *w)
{
	struct store_stat st;
	int fd;
	int rc;

	if (!is_wanted(w, 1))
		return 0;
	fd = openat(w->root_fd, w->path,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO
			       ? 0
			       : -errno;
	rc = local_file_stat(fd, w->key, &st);
	close(fd);
	if (rc == -EIO || rc == -ENOTSUP)
		return 0;
	return rc != 0 ? rc : give(w, &st);
}

/* A directory shows as a prefix if there is any object below it. */
static int walk_prefix(struct walk *w)
{
	store_list_fn *fn = w->fn;
	int rc;

	if (!is_wanted(w, 1))
		return 0;
	w->fn = NULL;
	rc = walk_dir(w);
	w->fn = fn;
	return rc == FOUND ? give(w, NULL) : rc;
}

static int walk_entry(struct walk *w, const struct entry *e)
{
	if (e->kind == LOCAL_OBJECT)
		return walk_object(w);
	if (!is_wanted(w, 0))
		return 0;
	if (e->kind == LOCAL_DIR && w->what->shallow && w->fn != NULL &&
	    strlen(w->key) > w->prefix_len)
		return walk_prefix(w);
	return walk_dir(w);
}

/* Step down to each entry, and up again. */
static int walk_dir(struct walk *w)
{
	struct entries es = { NULL, 0, 0 };
	size_t path_len = strlen(w->path);
	size_t key_len = strlen(w->key);
	int root = strcmp(w->path, ".") == 0;
	size_t i;
	int rc;

	rc = entries_read(w, &es);
	for (i = 0; i < es.len && rc == 0; i++) {
		const struct entry *e = &es.list[i];
		size_t part_len = strlen(e->part);
		size_t name_at = root ? 0 : path_len + 1;
		size_t name_len = strlen(e->name);

		if (w->what->max != 0 && w->given >= w->what->max)
			break;
		if (store_cancelled(w->call)) {
			rc = -EINTR;
			break;
		}
		/* Deeper than any key of ours goes. */
		if (key_len + part_len > STORE_KEY_MAX ||
		    name_at + name_len >= sizeof(w->path))
			continue;
		if (!root)
			w->path[path_len] = '/';
		memcpy(w->path + name_at, e->name, name_len + 1);
		memcpy(w->key + key_len, e->part, part_len + 1);
		rc = walk_entry(w, e);
		w->key[key_len] = '\0';
		w->path[path_len] = '\0';
		if (root)
			memcpy(w->path, ".", 2);
	}
	entries_clear(&es);
	return rc;
}

int local_list(int root_fd, const struct store_list *what,
	       const struct store_call *call, store_list_fn *fn, void *fn_arg)
{
	const char *slash = strrchr(what->prefix, '/');
	size_t base = slash != NULL ? (size_t)(slash - what->prefix) + 1 : 0;
	struct walk *w;
	int rc;

	if (strlen(what->prefix) > STORE_KEY_MAX)
		return 0;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->root_fd = root_fd;
	w->what = what;
	w->prefix_len = strlen(what->prefix);
	w->call = call;
	w->fn = fn;
	w->fn_arg = fn_arg;
	memcpy(w->key, what->prefix, base);
	rc = local_path_dir(w->path, what->prefix);
	if (rc == 0)
		rc = walk_dir(w);
	free(w);
	return rc;
}
