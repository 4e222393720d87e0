#ifndef FS_CATALOGUE_H
#define FS_CATALOGUE_H

#include <stddef.h>

#include "crypto/bytes.h"

struct candidate;
struct catalogue;
struct volume;

/*
 * What a directory holds that a new file could be encoded against, by key.
 * Thread-safe.  Bounded: of a large directory the oldest and the newest files
 * are asked for their metadata, and what is stored later displaces plain files
 * first.
 */

/* List the directory whose key is `prefix` and ask.  0 or -errno. */
MUST_CHECK int catalogue_load(struct catalogue **out, struct volume *v,
			      const char *prefix);

/* Add, or replace what has that key. */
void catalogue_put(struct catalogue *c, const struct candidate *one);
void catalogue_remove(struct catalogue *c, const char *key);

/* A copy of the entry with that key; 0 if there is none. */
int catalogue_find(struct catalogue *c, const char *key, struct candidate *out);

/* A copy of entry number `at`; 0 past the end. */
int catalogue_at(struct catalogue *c, size_t at, struct candidate *out);

/* The next of others' plain files, from *at on, that was never read. */
int catalogue_foreign(struct catalogue *c, size_t *at, struct candidate *out);

/* May another of them be read?  Counts. */
int catalogue_try(struct catalogue *c, unsigned max);

#endif
