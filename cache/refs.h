#ifndef CACHE_REFS_H
#define CACHE_REFS_H

#include <stddef.h>
#include <stdint.h>

#include "cache/backend.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"

struct aead_key;
struct budget;
struct delta_index;
struct texts;

/*
 * References by digest.  They are kept sealed by a backend; here is who holds
 * which of them in this process, and one fetch for all who want the same.
 * Thread-safe.
 */
struct refs;
struct ref; /* one reference, held */

struct refs_conf {
	struct cache_backend *backend; /* borrowed */
	struct texts *texts; /* borrowed */
	const struct aead_key *key; /* the master key; copied */
	/* Where those that the backend has no room for are while they are held. */
	int spill_dirfd; /* borrowed */
	struct budget *spill; /* borrowed: bounds them */
	struct cache_log log;
};

/* Takes the next bytes of a reference, in order.  0 or -errno. */
typedef int refs_sink_fn(void *sink_arg, const void *data, size_t len);

/*
 * Fetches a reference that is not cached: give all its bytes to `sink`, and
 * return at once what that returns if it is not 0.  Called with no lock held,
 * and once for all threads that wait for the same digest.
 */
typedef int refs_fetch_fn(void *arg, refs_sink_fn *sink, void *sink_arg);

/* Where one comes from that is not cached. */
struct refs_source {
	refs_fetch_fn *fetch;
	/* Asked of who waits for the fetch of another: non-zero ends that; or
	   NULL. */
	int (*cancel)(void *arg);
	void *arg; /* of both */
};

struct refs_stats {
	struct backend_stats backend;
	uint64_t memory_bytes, memory_limit; /* of the texts */
	uint64_t in_use; /* held by this process */
	uint64_t hits, misses, clears, rotations;
	uint64_t unkept; /* fetched, and too large to keep */
	uint64_t fetched_bytes;
};

MUST_CHECK int refs_open(struct refs **out, const struct refs_conf *conf);
void refs_close(struct refs *r); /* no reference may still be held; NULL-safe */

/*
 * Hold the reference of `len` bytes with this digest, from the cache or
 * `src`.  What is fetched is checked against length and digest.  One that
 * does not fit the cache even when everything idle is evicted is used through
 * a nameless sealed file and not kept; where there is no room for that either
 * it is held in memory, sealed, if the texts' budget allows.  The caller gives
 * it back with ref_put().
 *
 * 0; -EBADMSG if the bytes do not match; -ENOSPC; -ENOMEM; -EIO; -EFBIG; or
 * what src->fetch returned; -EINTR: src->cancel has said so.  All who waited
 * for one fetch to its end get the same.
 */
MUST_CHECK int refs_get(struct refs *r, const uint8_t digest[DIGEST_LEN],
			uint64_t len, const struct refs_source *src,
			struct ref **out);
void ref_put(struct ref *ref); /* NULL-safe */

const uint8_t *ref_digest(const struct ref *ref); /* DIGEST_LEN bytes */
uint64_t ref_length(const struct ref *ref);

/*
 * Exactly `len` bytes at `off`.  0; -ERANGE past the end; -EBADMSG if the
 * sealed page is damaged: then the entry is dropped, and putting this one back
 * and getting it again fetches it anew.
 */
MUST_CHECK int ref_read(struct ref *ref, void *buf, size_t len, uint64_t off);

/*
 * All its bytes, in memory until ref_put(); shared.  0; -ENOMEM if the texts'
 * budget has no room; or ref_read()'s errors.
 */
MUST_CHECK int ref_text(struct ref *ref, const uint8_t **out);

/* The encoder's index of them.  0 or as ref_text(). */
MUST_CHECK int ref_index(struct ref *ref, const struct delta_index **out);

/*
 * Drop what is not in use at once, the rest when it is put back.  0; -EBUSY if
 * another process holds the directory up for too long, and -errno: then some
 * of it is still there.
 */
MUST_CHECK int refs_clear(struct refs *r);

/*
 * From now on everything is sealed under this master key, which is copied;
 * what is sealed under the one before is dropped, as by refs_clear(), if that
 * can be.  Who reads it reads on.  0, -ENOMEM or -EIO: then nothing has
 * changed.
 */
MUST_CHECK int refs_rotate(struct refs *r, const struct aead_key *key);

/* Drop all that is sealed under the present key and not in use. */
void refs_retire(struct refs *r);

/*
 * Give up memory that nobody uses: plain texts, and of a cache in memory all,
 * or half without `all`.
 */
void refs_shed(struct refs *r, int all);

/* Drop idle ones from the disk for `bytes` or more.  Bytes dropped. */
uint64_t refs_evict(struct refs *r, uint64_t bytes);

/* What is kept under the present key. */
MUST_CHECK int refs_list(struct refs *r, backend_list_fn *fn, void *arg);
void refs_stats(struct refs *r, struct refs_stats *out);

#endif
