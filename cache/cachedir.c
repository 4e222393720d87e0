#include "cache/cachedir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cachedir_private.h"
#include "cache/diskio.h"
#include "cache/filelock.h"
#include "crypto/aead.h"

#define SHARED   CACHEDIR_PREFIX "cache-" /* and the user's number */
#define NAME_LEN (CACHEDIR_PREFIX_LEN + CACHEDIR_RANDOM_LEN)
#define ATTEMPTS 100 /* names tried; a second one is a rarity */
#define WHY      256

struct cachedir {
	int parent;
	int fd;
	int lock;
	/* In parent; [0] is the dot that it is made with, if it is our own. */
	char name[64];
	char *path;
	int shared, keep;
};

/* Say in `why` what is wrong with `path`; returns `err`. */
__attribute__((format(printf, 4, 5))) static int
complain(char why[WHY], int err, const char *path, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(why, WHY, "cache directory %.120s: ", path);
	if (n < 0 || n >= WHY)
		return err;
	va_start(ap, fmt);
	(void)vsnprintf(why + n, WHY - (size_t)n, fmt, ap);
	va_end(ap);
	return err;
}

/* Non-zero error if somebody else could replace what we make in there. */
static int parent_check(int fd, const char *path, char why[WHY])
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return complain(why, -errno, path, "%s",
				strerrordesc_np(errno));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return complain(why, -EPERM, path,
				"belongs to user %u; name one of your own",
				(unsigned)st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		return complain(why, -EPERM, path,
				"others may write there; chmod go-w or +t it");
	return 0;
}

static int parent_open(const char *named, char why[WHY], int *out)
{
	char path[PATH_MAX];
	size_t len = strlen(named);
	struct stat st;
	int fd, err;

	if (len >= sizeof(path))
		return complain(why, -ENAMETOOLONG, named, "too long");
	memcpy(path, named, len + 1);
	/* "link/" and "link/." mean what the link leads to. */
	while (len > 1 && (path[len - 1] == '/' ||
			   (path[len - 1] == '.' && path[len - 2] == '/')))
		path[--len] = '\0';
	/* For the message alone: it is O_NOFOLLOW that keeps links out. */
	if (!lstat(path, &st) && S_ISLNK(st.st_mode))
		return complain(why, -ELOOP, path,
				"is a symbolic link; name what it leads to");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return complain(why, -errno, path,
				"%s; make it or choose another",
				strerrordesc_np(errno));
	err = parent_check(fd, path, why);
	if (err)
		close(fd);
	else
		*out = fd;
	return err;
}

static int name_draw(char *name)
{
	static const char letters[] = CACHEDIR_LETTERS;
	uint8_t random[CACHEDIR_RANDOM_LEN];
	int err;

	err = aead_random(random, sizeof(random));
	if (err)
		return err;
	memcpy(name, "." CACHEDIR_PREFIX, CACHEDIR_PREFIX_LEN + 1);
	for (size_t i = 0; i < CACHEDIR_RANDOM_LEN; i++)
		name[1 + CACHEDIR_PREFIX_LEN + i] = letters[random[i] % 32];
	name[1 + NAME_LEN] = '\0';
	return 0;
}

/* Make, lock and sign the file "lock". */
static int lock_make(struct cachedir *d)
{
	struct stat st;
	ssize_t n;
	int err;

	d->lock = openat(d->fd, CACHEDIR_LOCK,
			 O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC,
			 0600);
	if (d->lock < 0)
		return -errno;
	if (flock(d->lock, LOCK_EX | LOCK_NB) < 0) {
		err = -errno;
		goto close_lock;
	}
	/* Removed by a sweeper that had the lock before us, and was killed? */
	if (fstat(d->lock, &st) < 0 || !st.st_nlink) {
		err = -ENOENT;
		goto close_lock;
	}
	n = pwrite(d->lock, CACHEDIR_SIGNATURE, sizeof(CACHEDIR_SIGNATURE) - 1,
		   0);
	if (n != sizeof(CACHEDIR_SIGNATURE) - 1) {
		err = n < 0 ? -errno : -ENOSPC;
		goto remove_lock;
	}
	return 0;

remove_lock:
	unlinkat(d->fd, CACHEDIR_LOCK, 0);
close_lock:
	close(d->lock);
	return err;
}

/* -EAGAIN: swept meanwhile, or the name was taken. */
static int make_once(struct cachedir *d)
{
	int err;

	err = name_draw(d->name);
	if (err)
		return err;
	if (mkdirat(d->parent, d->name, 0700) < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	d->fd = cachedir_own_open(d->parent, d->name);
	if (d->fd < 0) {
		err = d->fd;
		goto remove_dir;
	}
	(void)flock(d->fd, LOCK_SH | LOCK_NB); /* for systemd-tmpfiles */
	err = lock_make(d);
	if (err)
		goto close_dir;
	if (renameat(d->parent, d->name, d->parent, d->name + 1) < 0) {
		err = -errno;
		goto close_lock;
	}
	return 0;

close_lock:
	unlinkat(d->fd, CACHEDIR_LOCK, 0);
	close(d->lock);
close_dir:
	close(d->fd);
remove_dir:
	unlinkat(d->parent, d->name, AT_REMOVEDIR);
	if (err == -ENOENT || err == -EEXIST || err == -ENOTEMPTY ||
	    err == -EWOULDBLOCK)
		return -EAGAIN;
	return err;
}

/*
 * Join the shared one, made if it is not there.  -EAGAIN: the last of those
 * who were in it was just removing it.
 */
static int join_once(struct cachedir *d)
{
	int made = !mkdirat(d->parent, d->name, 0700), err;
	struct stat st;

	if (!made && errno != EEXIST)
		return -errno;
	d->fd = cachedir_own_open(d->parent, d->name);
	if (d->fd < 0)
		return d->fd == -ENOENT ? -EAGAIN : d->fd;
	(void)flock(d->fd, LOCK_SH | LOCK_NB);
	d->lock = openat(d->fd, CACHEDIR_LOCK,
			 O_CREAT | O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			 0600);
	if (d->lock < 0) {
		err = errno == ENOENT ? -EAGAIN : -errno;
		goto close_dir;
	}
	err = filelock_wait(d->lock, LOCK_SH);
	if (!err && (fstat(d->lock, &st) || !st.st_nlink))
		err = -EAGAIN;
	/* All who join write the same. */
	if (!err && !cachedir_is_signed(d->lock))
		err = diskio_truncate(d->lock, 0);
	if (!err)
		err = diskio_write(d->lock, CACHEDIR_SIGNATURE,
				   sizeof(CACHEDIR_SIGNATURE) - 1, 0);
	if (!err)
		return 0;
	/* On a full disk, say.  Others may have joined meanwhile. */
	if (made && !filelock_try(d->lock, LOCK_EX))
		(void)unlinkat(d->fd, CACHEDIR_LOCK, 0);
	close(d->lock);
close_dir:
	close(d->fd);
	if (made)
		(void)unlinkat(d->parent, d->name, AT_REMOVEDIR);
	return err;
}

/* Anything but -EAGAIN ends it. */
static int make_or_join(struct cachedir *d)
{
	int err = -EAGAIN;

	if (d->shared)
		(void)snprintf(d->name, sizeof(d->name), SHARED "%u",
			       (unsigned)geteuid());
	for (int i = 0; i < ATTEMPTS && err == -EAGAIN; i++)
		err = d->shared ? join_once(d) : make_once(d);
	if (!err && !d->shared)
		memmove(d->name, d->name + 1, strlen(d->name));
	return err;
}

/* Errors that tell of something else under the name of ours. */
static int is_in_the_way(int err)
{
	return err == -EPERM || err == -ENOTDIR || err == -EISDIR ||
	       err == -ELOOP || err == -EINVAL || err == -ENXIO;
}

/* The absolute path, for people: what we do goes through descriptors. */
static char *path_make(const char *parent, const char *name)
{
	char *whole = realpath(parent, NULL), *path;

	if (asprintf(&path, "%s/%s", whole ? whole : parent, name) < 0)
		path = NULL;
	free(whole);
	return path;
}

int cachedir_open(struct cachedir **out, const struct cachedir_conf *conf,
		  unsigned *swept, char why[WHY])
{
	struct cachedir *d = calloc(1, sizeof(*d));
	const char *parent = conf->parent;
	unsigned n;
	int err;

	if (!d)
		return complain(why, -ENOMEM, parent, "out of memory");
	d->shared = conf->shared;
	d->keep = conf->keep;
	err = parent_open(parent, why, &d->parent);
	if (err)
		goto free_dir;
	n = cachedir_sweep_in(d->parent);
	err = make_or_join(d);
	if (d->shared && is_in_the_way(err)) {
		complain(
			why, err, parent,
			"%s in it is not what your mounts make: remove it, or give cache_dir= another",
			d->name);
		goto close_parent;
	}
	if (err) {
		complain(why, err, parent, "cannot make a directory there: %s",
			 strerrordesc_np(-err));
		goto close_parent;
	}
	d->path = path_make(parent, d->name);
	if (!d->path) {
		cachedir_close(d);
		return complain(why, -ENOMEM, parent, "out of memory");
	}
	*swept = n;
	*out = d;
	return 0;

close_parent:
	close(d->parent);
free_dir:
	free(d);
	return err;
}

unsigned cachedir_sweep(const char *parent)
{
	char why[WHY];
	unsigned swept;
	int fd = -1;

	if (parent_open(parent, why, &fd))
		return 0;
	swept = cachedir_sweep_in(fd);
	close(fd);
	return swept;
}

int cachedir_fd(const struct cachedir *d)
{
	return d->fd;
}

int cachedir_nameless_fd(const struct cachedir *d)
{
	return d->parent;
}

const char *cachedir_path(const struct cachedir *d)
{
	return d->path;
}

void cachedir_set_keep(struct cachedir *d, int keep)
{
	d->keep = keep;
}

void cachedir_close(struct cachedir *d)
{
	int mine = 1;

	if (!d)
		return;
	/* Who comes now waits until we are gone, and begins anew. */
	if (d->shared)
		mine = !d->keep && !filelock_try(d->lock, LOCK_EX);
	/* What cannot be removed now is a left-over to the next mount. */
	if (mine)
		(void)cachedir_remove(d->parent, d->name, d->fd);
	close(d->lock);
	close(d->fd);
	close(d->parent);
	free(d->path);
	free(d);
}
