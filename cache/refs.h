#ifndef CACHE_REFS_H
#define CACHE_REFS_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"

struct aead_key;
struct delta_index;

/*
 * References by digest: sealed on disk, up to a byte budget and then least
 * recently used first; plain in memory (mapped, out of core dumps) only as
 * long as someone encodes against one, and a little longer within the memory
 * budget so that the next file of a series finds it ready.
 * Thread-safe.
 */
struct refs;
struct ref; /* one reference, held */

struct refs_conf {
	int dirfd; /* borrowed: where the sealed files go */
	const struct aead_key *key; /* borrowed */
	uint64_t disk_max; /* bytes on disk */
	uint64_t memory_max; /* bytes mapped, text and index together */
	uint64_t memory_idle_max; /* of these, for references nobody holds */
};

/* Takes the next bytes of a reference, in order.  0 or -errno. */
typedef int refs_sink_fn(void *sink_arg, const void *data, size_t len);

/*
 * Fetches a reference that is not cached: give all its bytes to `sink`, and
 * return at once what that returns if it is not 0.  Called with no lock held,
 * and once for all threads that wait for the same digest.
 */
typedef int refs_fetch_fn(void *arg, refs_sink_fn *sink, void *sink_arg);

struct refs_stats {
	uint64_t bytes, limit; /* on disk; what is beyond it is not counted */
	uint64_t memory_bytes, memory_limit;
	uint64_t entries, in_use, clear_pending;
	uint64_t hits, misses, evictions, clears;
	uint64_t corruptions; /* pages that did not authenticate */
	uint64_t fetched_bytes;
};

MUST_CHECK int refs_open(struct refs **out, const struct refs_conf *conf);
void refs_close(struct refs *r); /* no reference may still be held; NULL-safe */

/*
 * Hold the reference of `len` bytes with this digest, from disk or `fetch`.
 * What is fetched is checked against length and digest.  One that does not fit
 * the cache even when everything idle is evicted is used through a nameless
 * sealed file beyond the budget and not kept; where the disk is full it is
 * held in memory if that budget allows.  The caller gives it back with
 * ref_put().
 *
 * 0; -EBADMSG if the bytes do not match; -ENOSPC; -ENOMEM; -EIO; -EFBIG; or
 * what `fetch` returned.  All who waited for one fetch get the same.
 */
MUST_CHECK int refs_get(struct refs *r, const uint8_t digest[DIGEST_LEN],
			uint64_t len, refs_fetch_fn *fetch, void *fetch_arg,
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
 * All its bytes, in memory until ref_put(); shared.  Takes the room of their
 * index too.  0; -ENOMEM if the memory budget has no room even after what is
 * idle was dropped; or ref_read()'s errors.
 */
MUST_CHECK int ref_text(struct ref *ref, const uint8_t **out);

/*
 * The encoder's index of them, built at the first call, shared, and kept with
 * them.  Where the memory budget is too small for all of it, it is sparser.
 * As ref_text().
 */
MUST_CHECK int ref_index(struct ref *ref, const struct delta_index **out);

/* Drop what is not in use at once, the rest when it is put back. */
void refs_clear(struct refs *r);
void refs_stats(struct refs *r, struct refs_stats *out);

#endif
