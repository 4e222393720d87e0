#include "cache/dirbackend_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/filelock.h"

struct sweep {
	struct dirbackend *d;
	const struct cachekey *key; /* NULL: any */
	uint64_t foreign, damaged;
};

static void clear_one(void *arg, const char *name)
{
	struct sweep *s = arg;
	int fd = dir_name_open(s->d, name);

	if (fd < 0)
		return;
	dir_doom_name(s->d, name, fd);
	(void)close(fd);
}

int dir_clear(struct cache_backend *b)
{
	struct dirbackend *d = dir_of(b);
	struct sweep s = { .d = d };
	int err = space_lock(d->space);

	if (err)
		return err;
	err = space_scan(d->space);
	if (!err)
		space_each(d->space, clear_one, &s);
	space_unlock(d->space);
	return err;
}

/* 0 if the entry is sound and sealed under the key; closes `fd`. */
static int verdict(const struct sweep *s, const char *name, int fd)
{
	struct reffile *file = NULL;
	int err = dir_entry_open(fd, name, s->key, &file);

	if (file)
		reffile_close(file);
	else
		(void)close(fd);
	return err;
}

static void retire_one(void *arg, const char *name)
{
	struct sweep *s = arg;
	int fd = dir_name_open(s->d, name), again;

	if (fd < 0)
		return;
	again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (again >= 0 && !verdict(s, name, again))
		dir_doom_name(s->d, name, fd);
	(void)close(fd);
}

int dir_retire(struct cache_backend *b, const struct cachekey *key)
{
	struct dirbackend *d = dir_of(b);
	struct sweep s = { .d = d, .key = key };
	int err = space_lock(d->space);

	if (err)
		return err;
	err = space_scan(d->space);
	if (!err)
		space_each(d->space, retire_one, &s);
	space_unlock(d->space);
	return err;
}

/* At the beginning: what is of no use to us and not in use goes. */
static void check_one(void *arg, const char *name)
{
	struct sweep *s = arg;
	int fd = dir_name_open(s->d, name), again, err;

	if (fd < 0) {
		if (errno == ELOOP && !unlinkat(s->d->dirfd, name, 0))
			s->damaged++;
		return;
	}
	again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	err = again < 0 ? 0 : verdict(s, name, again);
	if (err && !filelock_try(fd, LOCK_EX)) {
		space_remove(s->d->space, name, fd);
		s->foreign += err == -EKEYREJECTED;
		s->damaged += err != -EKEYREJECTED;
	}
	(void)close(fd);
}

int dir_check_all(struct dirbackend *d, const struct cachekey *key)
{
	struct sweep s = { .d = d, .key = key };
	int err = space_lock(d->space);

	if (err)
		return err;
	err = space_scan(d->space);
	if (!err)
		space_each(d->space, check_one, &s);
	space_unlock(d->space);
	if (err)
		return err;
	d->foreign = s.foreign;
	d->corruptions = s.damaged;
	dir_note(d, CACHE_FOREIGN, s.foreign);
	dir_note(d, CACHE_DAMAGED, s.damaged);
	return 0;
}

struct listing {
	struct sweep sweep;
	backend_list_fn *fn;
	void *arg;
	int err;
};

static void list_one(void *arg, const char *name)
{
	struct listing *l = arg;
	struct reffile *file = NULL;
	struct cached_facts facts;
	struct stat st;
	int fd = l->err ? -1 : dir_name_open(l->sweep.d, name);

	if (fd < 0)
		return;
	if (!dir_entry_open(fd, name, l->sweep.key, &file) && !fstat(fd, &st)) {
		facts.digest = reffile_digest(file);
		facts.len = reffile_length(file);
		facts.in_use = filelock_try(fd, LOCK_EX) != 0;
		facts.used_s = st.st_mtim.tv_sec;
		l->err = l->fn(l->arg, &facts);
	}
	if (file)
		reffile_close(file);
	else
		(void)close(fd);
}

int dir_list(struct cache_backend *b, const struct cachekey *key,
	     backend_list_fn *fn, void *arg)
{
	struct dirbackend *d = dir_of(b);
	struct listing l = { { .d = d, .key = key }, fn, arg, 0 };
	int err = space_lock(d->space);

	if (err)
		return err;
	err = space_scan(d->space);
	if (!err)
		space_each(d->space, list_one, &l);
	space_unlock(d->space);
	return err ? err : l.err;
}
