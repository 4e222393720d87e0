#include "s3/local_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "crypto/clock.h"
#include "s3/error.h"

#define LOCK_POLL_MIN_NS 500000L
#define LOCK_POLL_MAX_NS 20000000L
#define LOOK_MS          100 /* between looks at `cancel` and the time */

/* May it be waited for still?  0, or why not. */
static int may_wait(const struct local_tree *t, uint64_t since_ms,
		    const struct store_call *call)
{
	if (store_cancelled(call))
		return -EINTR;
	if (clock_ms() - since_ms < t->limit_ms)
		return 0;
	return store_fail(call, -ETIMEDOUT,
			  "%.120s/.lock: locked by another process for %llu s: "
			  "is one stopped?",
			  t->dir, (unsigned long long)t->limit_ms / 1000);
}

/* Of our threads one, who then asks for it between processes. */
static int thread_lock(struct local_tree *t, uint64_t since_ms,
		       const struct store_call *call)
{
	int rc = 0;

	pthread_mutex_lock(&t->mutex);
	while (rc == 0 && t->is_locked) {
		/* Unlocked, as `cancel` is the caller's own code. */
		pthread_mutex_unlock(&t->mutex);
		rc = may_wait(t, since_ms, call);
		pthread_mutex_lock(&t->mutex);
		if (rc == 0 && t->is_locked)
			clock_cond_wait(&t->freed, &t->mutex, LOOK_MS);
	}
	if (rc == 0)
		t->is_locked = 1;
	pthread_mutex_unlock(&t->mutex);
	return rc;
}

static void thread_unlock(struct local_tree *t)
{
	pthread_mutex_lock(&t->mutex);
	t->is_locked = 0;
	pthread_cond_signal(&t->freed);
	pthread_mutex_unlock(&t->mutex);
}

int local_tree_lock(struct local_tree *t, const struct store_call *call)
{
	struct timespec pause = { 0, LOCK_POLL_MIN_NS };
	uint64_t start = clock_ms();
	int rc = thread_lock(t, start, call);

	if (rc != 0)
		return rc;
	/*
	 * Asked again and again rather than waited for: another process that
	 * was stopped while it held the lock must not make us deaf to `cancel`.
	 */
	while (flock(t->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
		if (rc == 0)
			rc = may_wait(t, start, call);
		if (rc != 0) {
			thread_unlock(t);
			return rc;
		}
		(void)nanosleep(&pause, NULL); /* cut short: asks sooner */
		pause.tv_nsec *= 2;
		if (pause.tv_nsec > LOCK_POLL_MAX_NS)
			pause.tv_nsec = LOCK_POLL_MAX_NS;
	}
	return 0;
}

void local_tree_unlock(struct local_tree *t)
{
	(void)flock(t->lock_fd, LOCK_UN); /* cannot fail on a lock we hold */
	thread_unlock(t);
}

int local_temp_open(struct local_tree *t, struct local_temp *temp)
{
	uint8_t name[16];
	char hex[2 * sizeof(name) + 1];
	struct stat st;
	int fd;
	int rc;

	for (;;) {
		rc = aead_random(name, sizeof(name));
		if (rc != 0)
			return rc;
		hex_encode(hex, name, sizeof(name));
		(void)snprintf(temp->path, sizeof(temp->path), ".tmp/%s", hex);
		fd = openat(t->root_fd, temp->path,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		/* A sweep may have it; and it may be stopped. */
		if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0) {
			rc = -errno;
			(void)unlinkat(t->root_fd, temp->path, 0);
			close(fd);
			if (rc == -EINTR || rc == -EWOULDBLOCK)
				continue;
			return rc;
		}
		if (st.st_nlink > 0)
			break;
		/* A sweep came between the open and the lock: once more. */
		close(fd);
	}
	temp->fd = fd;
	return 0;
}

void local_temp_close(struct local_temp *temp)
{
	close(temp->fd);
	temp->fd = -1;
}

void local_temp_remove(struct local_tree *t, struct local_temp *temp)
{
	/* What stays behind here goes with the next sweep. */
	(void)unlinkat(t->root_fd, temp->path, 0);
	local_temp_close(temp);
}

static int dir_open(struct local_tree *t, const char *path)
{
	int fd = openat(t->root_fd, path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 ? fd : -errno;
}

int local_tree_sync(int dir_fd)
{
	int rc = fsync(dir_fd) == 0 ? 0 : -errno;

	close(dir_fd);
	return rc;
}

/* Cut `path` at its last '/'; "." if it has none. */
static void path_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash != NULL)
		*slash = '\0';
	else
		memcpy(path, ".", 2);
}

static int dir_sync(struct local_tree *t, const char *path)
{
	int fd = dir_open(t, path);

	return fd < 0 ? fd : local_tree_sync(fd);
}

/*
 * Make the directories of `path`, which is cut apart and put together again.
 * Each new one is made durable at once: who finds it later relies on it.
 */
static int make_parents(struct local_tree *t, char *path)
{
	char parent[LOCAL_PATH_MAX];
	char *slash;
	int rc = 0;

	for (slash = strchr(path, '/'); slash != NULL && rc == 0;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(t->root_fd, path, 0700) == 0) {
			(void)snprintf(parent, sizeof(parent), "%s", path);
			path_up(parent);
			rc = dir_sync(t, parent);
		} else if (errno != EEXIST) {
			rc = -errno;
		}
		*slash = '/';
	}
	return rc;
}

/*
 * Remove empty directories from `path` upwards; `path` becomes what is left.
 * Called with the lock, so that nobody is about to put a file into one.
 */
static void remove_parents(struct local_tree *t, char *path)
{
	while (strcmp(path, ".") != 0) {
		if (unlinkat(t->root_fd, path, AT_REMOVEDIR) != 0 &&
		    errno != ENOENT)
			break;
		path_up(path);
	}
}

int local_tree_publish(struct local_tree *t, struct local_temp *temp,
		       const char *path, int *dir_fd)
{
	char dir[LOCAL_PATH_MAX];
	int fd;
	int rc;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	rc = make_parents(t, dir);
	path_up(dir);
	if (rc != 0)
		goto remove_parents;
	fd = dir_open(t, dir);
	if (fd < 0) {
		rc = fd;
		goto remove_parents;
	}
	if (renameat(t->root_fd, temp->path, t->root_fd, path) != 0) {
		rc = -errno;
		close(fd);
		goto remove_parents;
	}
	*dir_fd = fd;
	return 0;

remove_parents:
	remove_parents(t, dir);
	return rc;
}

int local_tree_unlink(struct local_tree *t, const char *path, int *dir_fd)
{
	char dir[LOCAL_PATH_MAX];
	int fd;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	if (unlinkat(t->root_fd, dir, 0) != 0)
		return -errno;
	path_up(dir);
	remove_parents(t, dir);
	fd = dir_open(t, dir);
	if (fd < 0)
		return fd;
	*dir_fd = fd;
	return 0;
}

void local_tree_close(struct local_tree *t)
{
	close(t->lock_fd);
	close(t->root_fd);
	pthread_cond_destroy(&t->freed);
	pthread_mutex_destroy(&t->mutex);
}
