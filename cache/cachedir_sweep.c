#include "cache/cachedir_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int cachedir_own_open(int parent, const char *name)
{
	struct stat st;
	int fd, err;

	fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		err = -EPERM;
	else
		return fd;
	close(fd);
	return err;
}

/* One pass over the directory: how many files went, the lock not counted. */
static int empty_once(int dirfd, unsigned *removed)
{
	struct dirent *d;
	DIR *dir;
	int fd;

	*removed = 0;
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		int err = -errno;

		close(fd);
		return err;
	}
	// NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own
	while ((d = readdir(dir))) {
		if (!strcmp(d->d_name, CACHEDIR_LOCK))
			continue;
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (!unlinkat(dirfd, d->d_name, 0) ||
		    !unlinkat(dirfd, d->d_name, AT_REMOVEDIR))
			(*removed)++;
	}
	closedir(dir);
	return 0;
}

int cachedir_remove(int parent, const char *name, int dirfd)
{
	unsigned removed;
	int err;

	/* What readdir(3) shows while names go is not specified: repeat. */
	do {
		err = empty_once(dirfd, &removed);
		if (err)
			return err;
	} while (removed);

	/* The lock goes last: without one there is nothing else in there. */
	if (unlinkat(dirfd, CACHEDIR_LOCK, 0) < 0 && errno != ENOENT)
		return -errno;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int cachedir_is_signed(int lock)
{
	char text[sizeof(CACHEDIR_SIGNATURE)];

	return pread(lock, text, sizeof(text), 0) ==
		       sizeof(CACHEDIR_SIGNATURE) - 1 &&
	       !memcmp(text, CACHEDIR_SIGNATURE,
		       sizeof(CACHEDIR_SIGNATURE) - 1);
}

/* Non-zero if `name` was left behind and is gone now. */
static int sweep_one(int parent, const char *name)
{
	int hidden = name[0] == '.', swept = 0, fd, lock;
	struct stat st;

	fd = cachedir_own_open(parent, name);
	if (fd < 0)
		return 0;
	lock = openat(fd, CACHEDIR_LOCK,
		      O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (lock < 0) {
		/* Killed between two steps; rmdir(2) refuses all else. */
		swept = errno == ENOENT &&
			!unlinkat(parent, name, AT_REMOVEDIR);
		goto close_dir;
	}
	if (fstat(lock, &st) < 0 || !S_ISREG(st.st_mode) ||
	    flock(lock, LOCK_EX | LOCK_NB) < 0)
		goto close_lock;
	if (cachedir_is_signed(lock))
		swept = !cachedir_remove(parent, name, fd);
	else if (hidden && !st.st_size && !unlinkat(fd, CACHEDIR_LOCK, 0))
		swept = !unlinkat(parent, name, AT_REMOVEDIR);

close_lock:
	close(lock);
close_dir:
	close(fd);
	return swept;
}

static int is_our_name(const char *name)
{
	if (*name == '.')
		name++;
	if (strncmp(name, CACHEDIR_PREFIX, CACHEDIR_PREFIX_LEN) != 0)
		return 0;
	name += CACHEDIR_PREFIX_LEN;
	return strspn(name, CACHEDIR_LETTERS) == CACHEDIR_RANDOM_LEN &&
	       !name[CACHEDIR_RANDOM_LEN];
}

unsigned cachedir_sweep_in(int parent)
{
	unsigned swept = 0;
	struct dirent *d;
	DIR *dir;
	int fd;

	fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return 0;
	}
	// NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own
	while ((d = readdir(dir)))
		if (is_our_name(d->d_name) && sweep_one(parent, d->d_name))
			swept++;
	closedir(dir);
	return swept;
}
