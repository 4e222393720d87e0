#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/clock.h"
#include "s3/error.h"
#include "s3/local_file.h"
#include "s3/local_tree.h"

#define MARKER      ".deltaglider-store"
#define MARKER_TEXT "deltaglider local store, format 1\n"

/* Directories that an interrupted start of ours, or mkfs, leaves. */
static int is_ignored(const char *name)
{
	static const char *const names[] = { ".", "..", ".lock", ".tmp",
					     "lost+found" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return 1;
	return 0;
}

/* NULL, with errno, if it cannot be opened. */
static DIR *dir_reader(int root_fd, const char *path)
{
	int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

/* 1 if nobody's files are in it, else 0 or -errno. */
static int is_empty(int root_fd)
{
	struct dirent *e;
	int empty = 1;
	DIR *d = dir_reader(root_fd, ".");

	if (d == NULL)
		return store_errno();
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
	while (empty && (e = readdir(d)) != NULL)
		empty = is_ignored(e->d_name);
	closedir(d);
	return empty;
}

/* 0, -ENOENT, -ENOTSUP if the marker is none that we know. */
static int marker_check(int root_fd)
{
	char text[sizeof(MARKER_TEXT) + 1];
	ssize_t n;
	int fd = -1;

	fd = openat(root_fd, MARKER, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n != sizeof(MARKER_TEXT) - 1 ||
	    memcmp(text, MARKER_TEXT, (size_t)n) != 0)
		return -ENOTSUP;
	return 0;
}

/* The marker appears whole or not at all.  Called with the lock. */
static int marker_write(struct local_tree *t)
{
	struct local_temp temp;
	int dir_fd = -1;
	int rc;

	rc = local_temp_open(t, &temp);
	if (rc != 0)
		return rc;
	rc = local_file_write(temp.fd, MARKER_TEXT, sizeof(MARKER_TEXT) - 1, 0);
	if (rc == 0 && fsync(temp.fd) != 0)
		rc = -errno;
	if (rc == 0)
		rc = local_tree_publish(t, &temp, MARKER, &dir_fd);
	if (rc != 0) {
		local_temp_remove(t, &temp);
		return rc;
	}
	local_temp_close(&temp);
	return local_tree_sync(dir_fd);
}

/* Remove what no living process has locked. */
static int sweep(struct local_tree *t)
{
	struct dirent *e;
	DIR *d = dir_reader(t->root_fd, ".tmp");

	if (d == NULL)
		return store_errno();
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
	while ((e = readdir(d)) != NULL) {
		int fd = openat(dirfd(d), e->d_name,
				O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0)
			continue;
		/* What cannot be removed now may go the next time. */
		if (e->d_name[0] != '.' && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)unlinkat(dirfd(d), e->d_name, 0);
		close(fd);
	}
	closedir(d);
	return 0;
}

/* The lock file, .tmp and the marker, of which `fresh` says it may be new. */
static int tree_prepare(struct local_tree *t, int fresh,
			struct store_error *error)
{
	const struct store_call call = { .error = error };
	int rc = 0;

	t->lock_fd = openat(t->root_fd, ".lock",
			    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (t->lock_fd < 0)
		return -errno;
	rc = pthread_mutex_init(&t->mutex, NULL);
	if (rc != 0) {
		rc = -rc;
		goto close_lock;
	}
	rc = clock_cond_init(&t->freed);
	if (rc != 0)
		goto destroy_mutex;
	rc = local_tree_lock(t, &call);
	if (rc != 0)
		goto destroy_cond;
	if (mkdirat(t->root_fd, ".tmp", 0700) != 0 && errno != EEXIST)
		rc = -errno;
	if (rc == 0 && fresh && marker_check(t->root_fd) == -ENOENT)
		rc = marker_write(t);
	local_tree_unlock(t);
	if (rc == 0)
		rc = sweep(t);
	if (rc == 0)
		return 0;

destroy_cond:
	pthread_cond_destroy(&t->freed);
destroy_mutex:
	pthread_mutex_destroy(&t->mutex);
close_lock:
	close(t->lock_fd);
	return rc;
}

/* May this directory be ours?  `*fresh`: it has to be initialised first. */
static int root_check(int root_fd, const char *dir, int *fresh,
		      struct store_error *error)
{
	int rc = marker_check(root_fd);
	int empty;

	*fresh = 0;
	if (rc == -ENOENT) {
		empty = is_empty(root_fd);
		if (empty < 0)
			return store_error_set(error, empty, "%s: %s", dir,
					       store_strerror(empty));
		*fresh = empty;
		/* Another process may have filled it since we looked. */
		rc = empty ? 0 : marker_check(root_fd);
	}
	if (rc == -ENOENT)
		return store_error_set(error, -ENOTEMPTY,
				       "%s holds files but no " MARKER
				       ": give an empty or a new directory",
				       dir);
	if (rc == -ENOTSUP)
		return store_error_set(error, rc,
				       "%s/" MARKER
				       " is of a format this version does "
				       "not know",
				       dir);
	if (rc != 0)
		return store_error_set(error, rc, "%s/" MARKER ": %s", dir,
				       store_strerror(rc));
	return 0;
}

int local_tree_open(struct local_tree *t, const char *dir,
		    struct store_error *error)
{
	int fresh;
	int rc;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return store_error_set(error, -errno, "cannot make %s: %s", dir,
				       store_strerror(errno));
	t->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->root_fd < 0)
		return store_error_set(error, -errno, "cannot open %s: %s", dir,
				       store_strerror(errno));
	rc = root_check(t->root_fd, dir, &fresh, error);
	if (rc != 0)
		goto close_root;
	t->dir = dir;
	rc = tree_prepare(t, fresh, error);
	if (rc == 0)
		return 0;
	if (rc == -ETIMEDOUT)
		goto close_root; /* with the line of that */
	(void)store_error_set(error, rc, "cannot write to %s: %s", dir,
			      store_strerror(rc));
close_root:
	close(t->root_fd);
	return rc;
}
