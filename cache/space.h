#ifndef CACHE_SPACE_H
#define CACHE_SPACE_H

#include <stdint.h>
#include <sys/stat.h>

#include "cache/backend.h"
#include "crypto/bytes.h"

/*
 * The room in one directory of sealed references, which several processes may
 * use at once: how much is taken, who must go when it gets short.  Names and
 * locks of the files are those of cache/FORMAT.md.
 *
 * All but space_open(), space_close(), space_read() and space_stats() are
 * called between space_lock() and space_unlock(), which keep out other
 * threads and other processes.
 */
struct space;

/* What a name in the directory is. */
enum space_kind {
	SPACE_ENTRY, /* a reference */
	SPACE_PART, /* one that is being filled */
	SPACE_DOOMED, /* one that goes when nobody holds it any more */
	SPACE_SERVICE, /* the directory's own */
	SPACE_ALIEN
};
#define SPACE_NAME_MAX 48
enum space_kind space_kind(const char *name);
void space_part_name(const char *entry, char out[SPACE_NAME_MAX]);
void space_doomed_name(ino_t ino, char out[SPACE_NAME_MAX]);

/* What is there, as far as known: never too little of the bytes. */
struct space_tally {
	uint64_t bytes, entries, doomed;
};

/* `dirfd` is borrowed; sizes in bytes; `log` hears of aliens.  0 or -errno. */
MUST_CHECK int space_open(struct space **out, int dirfd, uint64_t limit,
			  uint64_t min_free, const struct cache_log *log);
void space_close(struct space *s); /* NULL-safe */

/* 0; -EBUSY if another process keeps it for too long; -errno. */
MUST_CHECK int space_lock(struct space *s);
void space_unlock(struct space *s);

/*
 * Set aside the `len` bytes that are to be written to `fd`, a file of the
 * directory with nothing in it, dropping others as needed.
 * 0; -EDQUOT: the limit, or -ENOSPC: the disk has no room; -errno.
 */
MUST_CHECK int space_reserve(struct space *s, int fd, uint64_t len);

/*
 * Remove the file `name`, which is open as `fd` and locked for us alone.
 * 0 or -errno, which only what is none of ours gives.
 */
int space_remove(struct space *s, const char *name, int fd);

/* A part became an entry, an entry was doomed, and so on: add to the counts. */
void space_count(struct space *s, int entries, int doomed);

/* Drop idle entries for `bytes` or more.  Bytes dropped. */
uint64_t space_evict(struct space *s, uint64_t bytes, enum evict_reason why);

/*
 * Count anew what is there; remove what dead processes left and what is none
 * of ours.  0 or -errno.
 */
MUST_CHECK int space_scan(struct space *s);

/* Each entry that the last scan found, oldest first. */
typedef void space_entry_fn(void *arg, const char *name);
void space_each(struct space *s, space_entry_fn *fn, void *arg);

/* Without space_lock(): from now on. */
void space_set_limit(struct space *s, uint64_t limit, uint64_t min_free);

/* Drop idle entries down to the limit. */
void space_trim(struct space *s);
void space_read(struct space *s, struct space_tally *out);

/* Limit, evictions, and how many aliens were removed. */
void space_stats(struct space *s, struct backend_stats *out);

#endif
