#include "cache/dirbackend_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/diskio.h"
#include "cache/filelock.h"
#include "cache/medium.h"

#define PATIENCE 10 /* seconds without a byte from another who fills */

/* What has an entry's name and is none is in the way.  -EAGAIN: it was. */
static int discard(struct dirbackend *d, const char *name, int fd)
{
	int err;

	dir_count(d, &d->corruptions, 1);
	dir_note(d, CACHE_DAMAGED, 1);
	err = space_lock(d->space);
	if (err)
		return err;
	if (fd >= 0)
		dir_doom_name(d, name, fd);
	else
		(void)unlinkat(d->dirfd, name, 0); /* a symbolic link */
	space_unlock(d->space);
	return -EAGAIN;
}

static struct dircached *cached_new(const char *name, ino_t ino)
{
	struct dircached *c = calloc(1, sizeof(*c));

	if (c) {
		c->ino = ino;
		(void)snprintf(c->name, sizeof(c->name), "%s", name);
	}
	return c;
}

/*
 * Is the file under another name too?  We make no links: one to our own files
 * has their locks, and who held it would wait for himself.  Then it is removed.
 */
static int is_linked(struct dirbackend *d, const char *name, int fd)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink < 2)
		return 0;
	dir_count(d, &d->corruptions, 1);
	dir_note(d, CACHE_ALIEN, 1);
	(void)unlinkat(d->dirfd, name, 0);
	return 1;
}

/*
 * A process that is stopped keeps what it has locked.  Its files are waited for
 * once, and as long as they are as they were then not again.
 */
static int is_stuck(struct dirbackend *d, const struct stat *st)
{
	int found = 0;

	(void)pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < STUCK_MAX; i++)
		found |= d->stuck[i].ino == st->st_ino &&
			 d->stuck[i].written.tv_sec == st->st_mtim.tv_sec &&
			 d->stuck[i].written.tv_nsec == st->st_mtim.tv_nsec;
	(void)pthread_mutex_unlock(&d->lock);
	return found;
}

static void note_stuck(struct dirbackend *d, const struct stat *st)
{
	(void)pthread_mutex_lock(&d->lock);
	d->stuck[d->stuck_next++ % STUCK_MAX] =
		(struct stuck){ .ino = st->st_ino, .written = st->st_mtim };
	(void)pthread_mutex_unlock(&d->lock);
}

/* LOCK_SH of an entry.  0; -EBUSY; -errno. */
static int entry_lock(struct dirbackend *d, int fd)
{
	int err = filelock_try(fd, LOCK_SH);
	struct stat st;

	if (err != -EWOULDBLOCK)
		return err;
	if (!fstat(fd, &st) && is_stuck(d, &st))
		return -EBUSY;
	err = filelock_wait(fd, LOCK_SH);
	if (err == -EBUSY && !fstat(fd, &st))
		note_stuck(d, &st);
	return err;
}

/*
 * Hold the entry.  0; -ENOENT; -EAGAIN: it went just now, or was no good and
 * is gone: look again.
 */
static int hold(struct dirbackend *d, const struct backend_want *want,
		const char *name, struct cached **out)
{
	struct reffile *file = NULL;
	struct dircached *c = NULL;
	struct stat st;
	int fd, err;

	fd = openat(d->dirfd, name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ELOOP)
		return discard(d, name, -1);
	if (fd < 0)
		return -errno;
	if (is_linked(d, name, fd)) {
		(void)close(fd);
		return -EAGAIN;
	}
	err = entry_lock(d, fd);
	if (!err && (fstat(fd, &st) || !st.st_nlink))
		err = -EAGAIN; /* evicted between our two calls */
	if (!err) {
		c = cached_new(name, st.st_ino);
		err = c ? 0 : -ENOMEM;
	}
	if (err)
		goto close_fd;
	err = dir_entry_open(fd, name, want->key, &file);
	if (!err) {
		c->cached.file = file;
		c->published = 1;
		*out = &c->cached;
		return 0;
	}
	free(c);
	if (err == -EBADMSG || err == -EKEYREJECTED || err == -EISDIR)
		err = discard(d, name, fd);
	if (file) {
		reffile_close(file);
		return err;
	}
close_fd:
	(void)close(fd);
	return err;
}

/* Room for a part that is locked and ours.  0 or -errno. */
static int part_reserve(struct dirbackend *d, int fd, uint64_t len)
{
	int err = space_lock(d->space);

	if (err)
		return err;
	/* What a dead one had written is still counted: the next scan sees. */
	err = diskio_truncate(fd, 0);
	if (!err)
		err = space_reserve(d->space, fd, reffile_size(len));
	space_unlock(d->space);
	return err;
}

/*
 * Who fills a part has it locked for himself alone.  One that is locked by
 * readers is an entry that somebody gave another name: it is not waited for.
 */
static void doom_misnamed(struct dirbackend *d, const char *part, int fd)
{
	int misnamed;

	if (filelock_try(fd, LOCK_SH) || space_lock(d->space))
		return;
	/* Unless it was finished a moment ago, and has its right name now. */
	misnamed = dir_doom_name(d, part, fd);
	space_unlock(d->space);
	if (misnamed) {
		dir_count(d, &d->corruptions, 1);
		dir_note(d, CACHE_ALIEN, 1);
	}
}

/* The part, locked by us.  Descriptor; -EAGAIN: somebody else is at it. */
static int part_open(struct dirbackend *d, const char *name, const char *part)
{
	struct stat st;
	int fd, err;

	fd = openat(d->dirfd, part,
		    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		    0600);
	if (fd < 0 && errno == ELOOP && !unlinkat(d->dirfd, part, 0))
		return -EAGAIN;
	if (fd < 0)
		return -errno;
	if (is_linked(d, part, fd)) {
		(void)close(fd);
		return -EAGAIN;
	}
	err = filelock_try(fd, LOCK_EX);
	if (err == -EWOULDBLOCK)
		doom_misnamed(d, part, fd);
	if (err == -EWOULDBLOCK || (!err && (fstat(fd, &st) || !st.st_nlink)))
		err = -EAGAIN;
	if (!err && !S_ISREG(st.st_mode))
		err = -EEXIST;
	/* Finished by another since we looked: then this part is a new one. */
	if (!err && !faccessat(d->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW)) {
		(void)unlinkat(d->dirfd, part, 0);
		err = -EAGAIN;
	}
	if (!err)
		return fd;
	(void)close(fd);
	return err;
}

/* Begin to fill.  1; -EAGAIN: somebody else does; -EDQUOT; -ENOSPC; -errno. */
static int begin(struct dirbackend *d, const struct backend_want *want,
		 const char *name, struct cached **out)
{
	char part[SPACE_NAME_MAX];
	struct dircached *c;
	struct medium m;
	struct stat st;
	int fd, err;

	space_part_name(name, part);
	fd = part_open(d, name, part);
	if (fd < 0)
		return fd;
	err = fstat(fd, &st) < 0 ? -errno : part_reserve(d, fd, want->len);
	if (err)
		goto remove_part;
	c = cached_new(name, st.st_ino);
	if (!c) {
		err = -ENOMEM;
		goto remove_part;
	}
	m = medium_file(fd);
	err = reffile_new(&c->cached.file, &m, want->key, want->digest,
			  want->len);
	if (err)
		goto free_cached;
	*out = &c->cached;
	return 1;

free_cached:
	free(c);
remove_part:
	if (!space_lock(d->space)) {
		space_remove(d->space, part, fd);
		space_unlock(d->space);
	}
	(void)close(fd);
	return err;
}

/* Waiting for another process, as long as it writes. */
struct wait {
	long step;
	ino_t ino;
	struct timespec written; /* by it, last */
	time_t since; /* when we saw that, on our clock */
};

static int wait_for(struct dirbackend *d, const char *name, struct wait *w)
{
	char part[SPACE_NAME_MAX];
	struct timespec now;
	struct stat st = { 0 };

	space_part_name(name, part);
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (fstatat(d->dirfd, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
		st.st_ino = 0;
	if (!w->since || st.st_ino != w->ino ||
	    st.st_mtim.tv_sec != w->written.tv_sec ||
	    st.st_mtim.tv_nsec != w->written.tv_nsec) {
		w->since = now.tv_sec + 1;
		w->ino = st.st_ino;
		w->written = st.st_mtim;
	}
	if (st.st_ino && is_stuck(d, &st))
		return -EBUSY;
	if (now.tv_sec - w->since > PATIENCE) {
		if (st.st_ino)
			note_stuck(d, &st);
		return -EBUSY;
	}
	filelock_pause(&w->step);
	return 0;
}

int dir_get(struct cache_backend *b, const struct backend_want *want,
	    struct cached **out)
{
	char name[2 * CACHEKEY_NAME_LEN + 1];
	struct dirbackend *d = dir_of(b);
	struct wait w = { 0 };
	int err;

	err = cachekey_name(want->key, want->digest, want->len, name);
	if (err)
		return err;
	for (;;) {
		err = hold(d, want, name, out);
		if (err == -ENOENT)
			err = begin(d, want, name, out);
		if (err == -EAGAIN)
			err = wait_for(d, name, &w);
		else
			return err;
		if (err)
			return err;
	}
}
