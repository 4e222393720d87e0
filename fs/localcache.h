#ifndef FS_LOCALCACHE_H
#define FS_LOCALCACHE_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/backend.h"
#include "cache/budget.h"
#include "crypto/aead.h"
#include "crypto/bytes.h"
#include "fs/keysource.h"
#include "fs/options.h"

struct cachedir;
struct pressure;
struct refs;
struct texts;

#define LOCALCACHE_LINE 512 /* bytes of a line about a key */

/*
 * All that a mount keeps on this machine: the cache of references and the
 * spool of unsaved bytes, with their directory, their keys and their bounds.
 */
struct localcache {
	struct cachedir *dir;
	int shared; /* others use the directory too, or will */
	struct aead_key
		*spool_key; /* of this mount alone, whatever the other */
	struct budget spool;
	struct cache_backend *backend;
	struct pressure *pressure;
	enum cache_backend_kind kind;
	struct texts *texts;
	struct refs *refs;
	unsigned swept; /* left-overs of others that were removed */
	/* What was found at the beginning, until the log is where it will be. */
	int telling;
	uint64_t untold[CACHE_UNUSABLE + 1];
	char key_told[LOCALCACHE_LINE];
	atomic_int told[CACHE_UNUSABLE + 1];

	pthread_mutex_t lock; /* the rest; never while a key is got */
	enum keysource_from key_from;
	char *key_what; /* as of struct keysource, owned; NULL for a text */
};

/*
 * Load the key that the options name, make or join the directory, open what
 * is in it.  The text of a key is wiped from `o`.  0; -errno with `why`.
 * localcache_close() after either.
 */
MUST_CHECK int localcache_open(struct localcache *c, struct options *o,
			       char why[OPTION_WHY]);
void localcache_close(struct localcache *c);

/*
 * The log is open: tell what opening found, and anything from now on.  Before
 * there is a second thread.
 */
void localcache_tell(struct localcache *c);

/*
 * Seal under another key from now on.  One at a time.  0; -errno with `why`.
 */
MUST_CHECK int localcache_rotate(struct localcache *c,
				 const struct keysource *s,
				 char why[OPTION_WHY]);

/*
 * Where the key is from, by the options: the one that is set most firmly.
 * 0; -EINVAL with `why` where they contradict each other.
 */
MUST_CHECK int localcache_keysource(const struct options *o,
				    struct keysource *out,
				    char why[OPTION_WHY]);
enum keysource_from localcache_key_from(struct localcache *c);

/* Is the key in force the one that was got from there? */
int localcache_key_is(struct localcache *c, const struct keysource *s);

/* Empty it, with a line in the log that says why.  0 or -errno, logged. */
MUST_CHECK int localcache_clear(struct localcache *c, const char *why);

/* New sizes, as in `o`. */
void localcache_resize(struct localcache *c, const struct options *o);

/*
 * Drop what others need the disk for, if less than `min_free` is free, and
 * what is past the limit, which another mount may have been in the way of.
 */
void localcache_tend(struct localcache *c, uint64_t min_free);

#endif
