#include "cache/space.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cache/diskio.h"
#include "cache/filelock.h"

/* The file that all who use the directory lock, with the tally in it. */
#define SPACE_FILE "space"
#define TALLY_LEN  40

#define DU_UNIT  ((uint64_t)512) /* of st_blocks */
#define FS_BLOCK ((uint64_t)4096)
#define FS_MAPS  ((uint64_t)64 << 20) /* bytes that one such block maps */
/* Our own two files, and for the directory to grow. */
#define MARGIN ((uint64_t)24 << 10)

static const uint8_t magic[8] = { 'd', 'g', 's', 'p', 'a', 'c', 'e', '\n' };

struct candidate {
	char name[SPACE_NAME_MAX];
	struct timespec used;
};

struct space {
	int dirfd;
	int fd; /* of SPACE_FILE */
	pthread_mutex_t lock; /* all below, and threads against each other */
	int stuck; /* somebody has kept SPACE_FILE for too long */
	uint64_t limit, min_free;
	struct cache_log log;
	struct space_tally tally; /* as of taking the lock */
	struct candidate *found; /* by the last scan, oldest first */
	size_t n_found, room, next; /* next: to be evicted */
	uint64_t evictions[EVICT_REASONS], aliens;
};

static int is_hex(const char *s, size_t n)
{
	return strspn(s, "0123456789abcdef") == n;
}

enum space_kind space_kind(const char *name)
{
	if (is_hex(name, 32) && !name[32])
		return SPACE_ENTRY;
	if (is_hex(name, 32) && !strcmp(name + 32, ".part"))
		return SPACE_PART;
	if (is_hex(name, 16) && !strcmp(name + 16, ".doomed"))
		return SPACE_DOOMED;
	if (!strcmp(name, SPACE_FILE) || !strcmp(name, "lock"))
		return SPACE_SERVICE;
	return SPACE_ALIEN;
}

void space_part_name(const char *entry, char out[SPACE_NAME_MAX])
{
	(void)snprintf(out, SPACE_NAME_MAX, "%.32s.part", entry);
}

void space_doomed_name(ino_t ino, char out[SPACE_NAME_MAX])
{
	(void)snprintf(out, SPACE_NAME_MAX, "%016llx.doomed",
		       (unsigned long long)ino);
}

/* The tally and, to tell a torn or foreign one, its complement in brief. */
static void tally_pack(const struct space_tally *t, uint8_t out[TALLY_LEN])
{
	memcpy(out, magic, sizeof(magic));
	le64_put(out + 8, t->bytes);
	le64_put(out + 16, t->entries);
	le64_put(out + 24, t->doomed);
	le64_put(out + 32, ~(t->bytes + t->entries + t->doomed));
}

static int tally_load(const struct space *s, struct space_tally *t)
{
	uint8_t raw[TALLY_LEN], same[TALLY_LEN];

	if (diskio_read(s->fd, raw, TALLY_LEN, 0) != TALLY_LEN)
		return -EBADMSG;
	t->bytes = le64_get(raw + 8);
	t->entries = le64_get(raw + 16);
	t->doomed = le64_get(raw + 24);
	tally_pack(t, same);
	return memcmp(raw, same, TALLY_LEN) != 0 ? -EBADMSG : 0;
}

/*
 * What grows is written before the act and what shrinks after it, so that one
 * who is killed in between leaves too much counted, which the next scan finds.
 */
static void tally_store(struct space *s)
{
	uint8_t raw[TALLY_LEN];

	tally_pack(&s->tally, raw);
	/* If it cannot be written, whoever reads it is to scan. */
	if (diskio_write(s->fd, raw, TALLY_LEN, 0) && diskio_truncate(s->fd, 0))
		(void)unlinkat(s->dirfd, SPACE_FILE, 0);
}

static void tally_give(struct space *s, uint64_t bytes)
{
	s->tally.bytes -= bytes < s->tally.bytes ? bytes : s->tally.bytes;
}

/* Open or make the file, whatever else has its name.  Descriptor or -errno. */
static int file_open(int dirfd)
{
	for (int tries = 0;; tries++) {
		int fd = openat(dirfd, SPACE_FILE,
				O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
					O_CLOEXEC,
				0600);
		struct stat st;
		int err = fd < 0 ? -errno : 0;

		if (!err && !fstat(fd, &st) && S_ISREG(st.st_mode))
			return fd;
		if (!err)
			(void)close(fd);
		if (tries || (err && err != -ELOOP && err != -EISDIR))
			return err ? err : -EEXIST;
		if (unlinkat(dirfd, SPACE_FILE, 0) < 0)
			(void)unlinkat(dirfd, SPACE_FILE, AT_REMOVEDIR);
	}
}

int space_open(struct space **out, int dirfd, uint64_t limit, uint64_t min_free,
	       const struct cache_log *log)
{
	struct space *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->dirfd = dirfd;
	s->limit = limit;
	s->min_free = min_free;
	s->log = *log;
	s->fd = file_open(dirfd);
	if (s->fd < 0) {
		err = s->fd;
		free(s);
		return err;
	}
	(void)pthread_mutex_init(&s->lock, NULL);
	*out = s;
	return 0;
}

void space_close(struct space *s)
{
	if (!s)
		return;
	(void)close(s->fd);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->found);
	free(s);
}

/* The lock of the file that has the name: somebody may have removed it. */
static int file_lock(struct space *s)
{
	for (;;) {
		struct stat st;
		int err = filelock_take_turn(s->fd, &s->stuck), fd;

		if (err || fstat(s->fd, &st) || st.st_nlink)
			return err;
		fd = file_open(s->dirfd);
		if (fd < 0)
			return fd;
		(void)close(s->fd);
		s->fd = fd;
	}
}

int space_lock(struct space *s)
{
	int err;

	(void)pthread_mutex_lock(&s->lock);
	err = file_lock(s);
	if (!err && tally_load(s, &s->tally)) {
		err = space_scan(s);
		if (err)
			(void)flock(s->fd, LOCK_UN);
	}
	if (err)
		(void)pthread_mutex_unlock(&s->lock);
	return err;
}

void space_unlock(struct space *s)
{
	(void)flock(s->fd, LOCK_UN);
	(void)pthread_mutex_unlock(&s->lock);
}

void space_count(struct space *s, int entries, int doomed)
{
	s->tally.entries += (uint64_t)(int64_t)entries;
	s->tally.doomed += (uint64_t)(int64_t)doomed;
	if (s->tally.entries > INT64_MAX)
		s->tally.entries = 0;
	if (s->tally.doomed > INT64_MAX)
		s->tally.doomed = 0;
	tally_store(s);
}

int space_remove(struct space *s, const char *name, int fd)
{
	enum space_kind kind = space_kind(name);
	struct stat st;

	if (unlinkat(s->dirfd, name, 0) < 0 &&
	    unlinkat(s->dirfd, name, AT_REMOVEDIR) < 0)
		return -errno;
	if (!fstat(fd, &st))
		tally_give(s, (uint64_t)st.st_blocks * DU_UNIT);
	space_count(s, kind == SPACE_ENTRY ? -1 : 0,
		    kind == SPACE_DOOMED ? -1 : 0);
	return 0;
}

/* A file that somebody holds is locked; a name without a holder is dead. */
static int remove_if_free(struct space *s, const char *name)
{
	int fd, removed = 0;

	fd = openat(s->dirfd, name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return (errno == ELOOP || errno == ENXIO) &&
		       !unlinkat(s->dirfd, name, 0); /* a link, a socket */
	if (!filelock_try(fd, LOCK_EX))
		removed = !unlinkat(s->dirfd, name, 0) ||
			  !unlinkat(s->dirfd, name, AT_REMOVEDIR);
	(void)close(fd);
	return removed;
}

static int found_add(struct space *s, const char *name, const struct stat *st)
{
	struct candidate *c;

	if (s->n_found == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct candidate *grown =
			realloc(s->found, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->found = grown;
		s->room = room;
	}
	c = &s->found[s->n_found++];
	(void)snprintf(c->name, sizeof(c->name), "%.47s", name);
	c->used = st->st_mtim;
	return 0;
}

/* One name of the directory, in the count that is being made. */
static int scan_name(struct space *s, const char *name)
{
	enum space_kind kind = space_kind(name);
	struct stat st;
	int err = 0;

	if (fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* gone meanwhile */
	/* We make no links: one to our own files would share their locks. */
	if (kind != SPACE_SERVICE && S_ISREG(st.st_mode) && st.st_nlink > 1 &&
	    !unlinkat(s->dirfd, name, 0)) {
		s->aliens++;
		return 0;
	}
	if (kind == SPACE_ENTRY && !S_ISREG(st.st_mode))
		kind = SPACE_ALIEN;
	if (kind != SPACE_ENTRY && kind != SPACE_SERVICE &&
	    remove_if_free(s, name)) {
		s->aliens += kind == SPACE_ALIEN;
		return 0;
	}
	if (kind != SPACE_SERVICE)
		s->tally.bytes += (uint64_t)st.st_blocks * DU_UNIT;
	s->tally.doomed += kind == SPACE_DOOMED;
	if (kind == SPACE_ENTRY) {
		s->tally.entries++;
		err = found_add(s, name, &st);
	}
	return err;
}

static int by_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct candidate *)a)->used;
	const struct timespec *y = &((const struct candidate *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

int space_scan(struct space *s)
{
	struct dirent *d;
	uint64_t aliens;
	int fd, err = 0;
	DIR *dir;

	fd = openat(s->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		(void)close(fd);
		return err;
	}
	s->tally = (struct space_tally){ 0 };
	s->n_found = s->next = 0;
	aliens = s->aliens;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own
	while (!err && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			err = scan_name(s, d->d_name);
	(void)closedir(dir);
	if (s->aliens > aliens && s->log.on)
		s->log.on(s->log.arg, CACHE_ALIEN, s->aliens - aliens);
	if (s->n_found)
		qsort(s->found, s->n_found, sizeof(*s->found), by_use);
	tally_store(s);
	return err;
}

void space_each(struct space *s, space_entry_fn *fn, void *arg)
{
	for (size_t i = 0; i < s->n_found; i++)
		fn(arg, s->found[i].name);
}

/* Bytes of the oldest entry that is idle and was not used since the scan. */
static uint64_t evict_next(struct space *s, enum evict_reason why)
{
	while (s->next < s->n_found) {
		const struct candidate *c = &s->found[s->next++];
		uint64_t before = s->tally.bytes;
		struct stat st;
		int fd;

		fd = openat(s->dirfd, c->name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!fstat(fd, &st) && st.st_mtim.tv_sec == c->used.tv_sec &&
		    st.st_mtim.tv_nsec == c->used.tv_nsec &&
		    !filelock_try(fd, LOCK_EX))
			space_remove(s, c->name, fd);
		(void)close(fd);
		if (s->tally.bytes < before) {
			s->evictions[why]++;
			return before - s->tally.bytes;
		}
	}
	return 0;
}

uint64_t space_evict(struct space *s, uint64_t bytes, enum evict_reason why)
{
	uint64_t got = 0, one;
	int scanned = 0;

	while (got < bytes) {
		one = evict_next(s, why);
		if (!one && (scanned || space_scan(s)))
			break;
		scanned |= !one;
		got += one;
	}
	return got;
}

/* What a file adds to `du`: the blocks that map it are in it. */
static uint64_t disk_need(uint64_t len)
{
	uint64_t blocks = (len + FS_BLOCK - 1) / FS_BLOCK;

	return FS_BLOCK * (blocks + 1 + len / FS_MAPS);
}

/* What the directory takes with no reference in it. */
static uint64_t overhead(const struct space *s)
{
	struct stat st;

	if (fstat(s->dirfd, &st) < 0)
		return MARGIN;
	return MARGIN + (uint64_t)st.st_blocks * DU_UNIT;
}

/* Bytes that are missing to take `need`: of the limit, or of the disk. */
static uint64_t missing(const struct space *s, uint64_t need,
			enum evict_reason *why)
{
	uint64_t taken = s->tally.bytes + need + overhead(s), room;
	struct statvfs st;

	*why = EVICT_SPACE;
	if (taken > s->limit)
		return taken - s->limit;
	*why = EVICT_DISK;
	if (fstatvfs(s->dirfd, &st) < 0)
		return 0;
	room = (uint64_t)st.f_bavail * st.f_frsize;
	need += s->min_free;
	return need > room ? need - room : 0;
}

int space_reserve(struct space *s, int fd, uint64_t len)
{
	uint64_t need = disk_need(len), lack;
	enum evict_reason why;
	struct stat st;
	int err;

	/* What can never fit must not cost others what they hold. */
	if (need + overhead(s) > s->limit)
		return -EDQUOT;
	while ((lack = missing(s, need, &why)))
		if (!space_evict(s, lack, why) && missing(s, need, &why))
			return why == EVICT_SPACE ? -EDQUOT : -ENOSPC;
	s->tally.bytes += need;
	tally_store(s);
	while ((err = diskio_reserve(fd, 0, len)) == -ENOSPC &&
	       space_evict(s, need, EVICT_DISK))
		;
	if (err && diskio_truncate(fd, 0))
		err = -EIO;
	tally_give(s, need);
	if (!fstat(fd, &st))
		s->tally.bytes += (uint64_t)st.st_blocks * DU_UNIT;
	tally_store(s);
	return err;
}

void space_set_limit(struct space *s, uint64_t limit, uint64_t min_free)
{
	(void)pthread_mutex_lock(&s->lock);
	s->limit = limit;
	s->min_free = min_free;
	(void)pthread_mutex_unlock(&s->lock);
}

void space_trim(struct space *s)
{
	uint64_t taken = s->tally.bytes + overhead(s);

	if (taken > s->limit)
		(void)space_evict(s, taken - s->limit, EVICT_SPACE);
}

void space_read(struct space *s, struct space_tally *out)
{
	(void)pthread_mutex_lock(&s->lock);
	if (tally_load(s, out))
		*out = s->tally;
	(void)pthread_mutex_unlock(&s->lock);
}

void space_stats(struct space *s, struct backend_stats *out)
{
	(void)pthread_mutex_lock(&s->lock);
	out->limit = s->limit;
	memcpy(out->evictions, s->evictions, sizeof(s->evictions));
	out->corruptions = s->aliens;
	(void)pthread_mutex_unlock(&s->lock);
}
