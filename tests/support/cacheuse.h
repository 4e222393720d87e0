#ifndef SUPPORT_CACHEUSE_H
#define SUPPORT_CACHEUSE_H

#include <stdatomic.h>
#include <stdint.h>

#include "cache/backend.h"
#include "cache/budget.h"
#include "cache/refs.h"
#include "cache/texts.h"
#include "crypto/aead.h"

/* A reference whose bytes are known, and where it comes from. */
struct known {
	uint64_t len;
	uint8_t *data;
	uint8_t digest[DIGEST_LEN];
	atomic_uint fetches; /* in shared memory, of all processes */
	atomic_uint stalled; /* fetches that are where they stop for ever: */
	uint64_t stall_at; /* byte; UINT64_MAX: nowhere */
};

/* The `number`th of `len` bytes: each is another.  0 or -errno. */
MUST_CHECK int known_init(struct known *k, unsigned number, uint64_t len);
void known_clear(struct known *k);

/* Non-zero if what is held is this one, byte for byte. */
int known_is(const struct known *k, struct ref *ref);

/* One use of a cache directory, as a mount has it. */
struct cacheuse {
	int dirfd; /* set this and the next two first */
	uint64_t limit, min_free;
	struct budget spill;
	struct cache_backend *backend;
	struct texts *texts;
	struct refs *refs; /* NULL: not in use */
	uint64_t events[CACHE_UNUSABLE + 1];
};

/* 0 or -errno: then it is not in use. */
MUST_CHECK int cacheuse_open(struct cacheuse *u, const struct aead_key *key);
void cacheuse_leave(struct cacheuse *u);

/* As refs_get(), from where it is known. */
MUST_CHECK int cacheuse_get(struct cacheuse *u, struct known *k,
			    struct ref **out);

/* Get, compare and put: 0; -EBADMSG if it is not right; -errno. */
MUST_CHECK int cacheuse_see(struct cacheuse *u, struct known *k);

/* The same without fetching: -ENOTCONN if it is not there. */
MUST_CHECK int cacheuse_see_kept(struct cacheuse *u, struct known *k);

/* What the file "space" says.  0; -EBADMSG if it is not whole; -errno. */
struct cacheuse_tally {
	uint64_t bytes, entries, doomed;
};
MUST_CHECK int cacheuse_tally(int dirfd, struct cacheuse_tally *out);

/* Each name in a directory but "." and "..".  0 or -errno. */
typedef void cacheuse_name_fn(void *arg, int dirfd, const char *name);
MUST_CHECK int cacheuse_each(int dirfd, cacheuse_name_fn *fn, void *arg);

/* How many there are beside "space" and "lock", and one of them. */
unsigned cacheuse_names(int dirfd, char one[256]);

/* Bytes of disk that the directory and all in it take. */
uint64_t cacheuse_disk(int dirfd);

/* Remove all that is in it, directories and what is in them too. */
void cacheuse_empty(int dirfd);

#endif
