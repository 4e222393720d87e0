#ifndef CACHE_DIRBACKEND_PRIVATE_H
#define CACHE_DIRBACKEND_PRIVATE_H

#include <pthread.h>

#include "cache/dirbackend.h"
#include "cache/reffile.h"
#include "cache/space.h"

/* A file that was waited for in vain, as it was then. */
struct stuck {
	ino_t ino;
	struct timespec written;
};
#define STUCK_MAX 16

struct dirbackend {
	struct cache_backend backend; /* first */
	int dirfd;
	struct space *space;
	struct cache_log log;
	pthread_mutex_t lock; /* all below */
	uint64_t corruptions, foreign;
	struct stuck stuck[STUCK_MAX]; /* the next goes to stuck_next */
	unsigned stuck_next;
};

/*
 * A held entry has its file locked: shared once it is published, exclusively
 * while it is filled under its other name.
 */
struct dircached {
	struct cached cached; /* first */
	char name[SPACE_NAME_MAX]; /* of the entry */
	ino_t ino;
	int published;
};

static inline struct dirbackend *dir_of(struct cache_backend *b)
{
	return (struct dirbackend *)b;
}

/* dirbackend.c */

/* Add to a counter of `d`. */
void dir_count(struct dirbackend *d, uint64_t *counter, uint64_t n);

/* Tell the log, unless `n` is 0. */
void dir_note(const struct dirbackend *d, enum cache_event what, uint64_t n);

/*
 * With the space: nobody gets `name` any more, which is open as `fd`.  It goes
 * now or, if others hold it, with the last of them.
 */
int dir_doom_name(struct dirbackend *d, const char *name, int fd);

/*
 * Open the file `fd`, taken over when *out is set, and see whether it is what
 * its name says.  0; -EKEYREJECTED, -EBADMSG as reffile_open(); -errno.
 */
MUST_CHECK int dir_entry_open(int fd, const char *name,
			      const struct cachekey *key, struct reffile **out);

/* The descriptor or -errno. */
MUST_CHECK int dir_name_open(const struct dirbackend *d, const char *name);

/* dirbackend_get.c */
MUST_CHECK int dir_get(struct cache_backend *b, const struct backend_want *want,
		       struct cached **out);

/* dirbackend_sweep.c: all entries, one after the other. */
MUST_CHECK int dir_clear(struct cache_backend *b);
MUST_CHECK int dir_retire(struct cache_backend *b, const struct cachekey *key);
MUST_CHECK int dir_list(struct cache_backend *b, const struct cachekey *key,
			backend_list_fn *fn, void *arg);

/* At the beginning: what is of no use to us, and to nobody else now, goes. */
MUST_CHECK int dir_check_all(struct dirbackend *d, const struct cachekey *key);

#endif
