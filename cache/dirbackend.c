#include "cache/dirbackend_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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
#include "cache/reffile.h"
#include "cache/space.h"

void dir_count(struct dirbackend *d, uint64_t *counter, uint64_t n)
{
	(void)pthread_mutex_lock(&d->lock);
	*counter += n;
	(void)pthread_mutex_unlock(&d->lock);
}

void dir_note(const struct dirbackend *d, enum cache_event what, uint64_t n)
{
	if (n && d->log.on)
		d->log.on(d->log.arg, what, n);
}

/*
 * With the space: nobody gets `name` any more, which is open as `fd`.  It goes
 * now or, if others hold it, with the last of them.  Did the name mean `fd`?
 */
int dir_doom_name(struct dirbackend *d, const char *name, int fd)
{
	char doomed[SPACE_NAME_MAX];
	struct stat st, named;

	/* Another may have done so, and a new one have the name since. */
	if (fstat(fd, &st) ||
	    fstatat(d->dirfd, name, &named, AT_SYMLINK_NOFOLLOW) ||
	    named.st_ino != st.st_ino)
		return 0;
	space_doomed_name(st.st_ino, doomed);
	if (renameat(d->dirfd, name, d->dirfd, doomed) < 0)
		return 0;
	space_count(d->space,
		    S_ISREG(st.st_mode) && space_kind(name) == SPACE_ENTRY ? -1
									   : 0,
		    1);
	/* In this order: a holder who lets go now looks for the new name. */
	if (!filelock_try(fd, LOCK_EX))
		(void)space_remove(d->space, doomed, fd);
	return 1;
}

int dir_entry_open(int fd, const char *name, const struct cachekey *key,
		   struct reffile **out)
{
	char right[2 * CACHEKEY_NAME_LEN + 1];
	struct medium m = medium_file(fd);
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	err = reffile_open(out, &m, key);
	if (err)
		return err;
	err = cachekey_name(key, reffile_digest(*out), reffile_length(*out),
			    right);
	if (!err &&
	    (strcmp(right, name) != 0 ||
	     (uint64_t)st.st_size != reffile_size(reffile_length(*out))))
		err = -EBADMSG;
	return err;
}

int dir_name_open(const struct dirbackend *d, const char *name)
{
	return openat(d->dirfd, name,
		      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static int dir_publish(struct cache_backend *b, struct cached *cached, int once)
{
	struct dircached *c = (struct dircached *)cached;
	char part[SPACE_NAME_MAX], doomed[SPACE_NAME_MAX];
	struct dirbackend *d = dir_of(b);
	int err = space_lock(d->space);

	if (err)
		return err;
	space_part_name(c->name, part);
	space_doomed_name(c->ino, doomed);
	if (renameat(d->dirfd, part, d->dirfd, once ? doomed : c->name) < 0)
		err = -errno;
	/* No eviction comes in between: that takes the space. */
	if (!err)
		err = filelock_try(reffile_fd(cached->file), LOCK_SH);
	if (!err) {
		c->published = 1;
		space_count(d->space, !once, once != 0);
	}
	space_unlock(d->space);
	return err;
}

/* One that was to go with its last holder, which may have been us. */
static void remove_doomed(struct dirbackend *d, ino_t ino)
{
	char name[SPACE_NAME_MAX];
	struct stat st;
	int fd;

	space_doomed_name(ino, name);
	if (fstatat(d->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    space_lock(d->space))
		return;
	fd = dir_name_open(d, name);
	if (fd >= 0) {
		if (!filelock_try(fd, LOCK_EX))
			(void)space_remove(d->space, name, fd);
		(void)close(fd);
	}
	space_unlock(d->space);
}

/* A part that was not finished, and is locked by us. */
static void remove_part(struct dirbackend *d, const struct dircached *c)
{
	char name[SPACE_NAME_MAX];

	space_part_name(c->name, name);
	if (space_lock(d->space))
		return; /* then a scan finds it */
	(void)space_remove(d->space, name, reffile_fd(c->cached.file));
	space_unlock(d->space);
}

static void dir_put(struct cache_backend *b, struct cached *cached)
{
	struct dircached *c = (struct dircached *)cached;
	struct dirbackend *d = dir_of(b);
	struct timespec times[2];

	/* Its time of change is that of its last use. */
	(void)clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
	if (c->published)
		(void)futimens(reffile_fd(cached->file), times);
	else
		remove_part(d, c);
	reffile_close(cached->file);
	if (c->published)
		remove_doomed(d, c->ino);
	free(c);
}

static void dir_doom(struct cache_backend *b, struct cached *cached,
		     int damaged)
{
	struct dircached *c = (struct dircached *)cached;
	struct dirbackend *d = dir_of(b);
	char doomed[SPACE_NAME_MAX];
	struct stat st;

	if (damaged) {
		dir_count(d, &d->corruptions, 1);
		dir_note(d, CACHE_DAMAGED, 1);
	}
	if (!c->published || space_lock(d->space))
		return;
	space_doomed_name(c->ino, doomed);
	if (!fstatat(d->dirfd, c->name, &st, AT_SYMLINK_NOFOLLOW) &&
	    st.st_ino == c->ino &&
	    !renameat(d->dirfd, c->name, d->dirfd, doomed))
		space_count(d->space, -1, 1);
	space_unlock(d->space);
}

static uint64_t dir_evict(struct cache_backend *b, uint64_t bytes,
			  enum evict_reason why)
{
	struct dirbackend *d = dir_of(b);
	uint64_t got;

	/* Its pages in memory are the kernel's to drop. */
	if (why == EVICT_MEMORY || space_lock(d->space))
		return 0;
	got = space_evict(d->space, bytes, why);
	space_unlock(d->space);
	return got;
}

static void dir_set_limit(struct cache_backend *b, uint64_t limit,
			  uint64_t min_free)
{
	struct dirbackend *d = dir_of(b);

	space_set_limit(d->space, limit, min_free);
	if (space_lock(d->space))
		return; /* then whoever takes room makes it first */
	space_trim(d->space);
	space_unlock(d->space);
}

static void dir_stats(struct cache_backend *b, struct backend_stats *out)
{
	struct dirbackend *d = dir_of(b);
	struct space_tally t;

	*out = (struct backend_stats){ 0 };
	space_stats(d->space, out);
	space_read(d->space, &t);
	out->bytes = t.bytes;
	out->entries = t.entries;
	out->clear_pending = t.doomed;
	(void)pthread_mutex_lock(&d->lock);
	out->corruptions += d->corruptions;
	out->foreign = d->foreign;
	(void)pthread_mutex_unlock(&d->lock);
}

static void dir_free(struct cache_backend *b)
{
	struct dirbackend *d = dir_of(b);

	space_close(d->space);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
}

static const struct backend_ops dir_ops = {
	.get = dir_get,
	.publish = dir_publish,
	.put = dir_put,
	.doom = dir_doom,
	.clear = dir_clear,
	.retire = dir_retire,
	.evict = dir_evict,
	.set_limit = dir_set_limit,
	.list = dir_list,
	.stats = dir_stats,
	.free = dir_free,
};

int dirbackend_new(struct cache_backend **out,
		   const struct dirbackend_conf *conf)
{
	struct dirbackend *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->backend.ops = &dir_ops;
	d->dirfd = conf->dirfd;
	d->log = conf->log;
	(void)pthread_mutex_init(&d->lock, NULL);
	err = space_open(&d->space, conf->dirfd, conf->limit, conf->min_free,
			 &conf->log);
	if (!err)
		err = dir_check_all(d, conf->key);
	/* What was kept may be more than this mount wants. */
	if (!err)
		dir_set_limit(&d->backend, conf->limit, conf->min_free);
	if (err)
		dir_free(&d->backend);
	else
		*out = &d->backend;
	return err;
}
