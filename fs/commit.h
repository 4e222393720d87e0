#ifndef FS_COMMIT_H
#define FS_COMMIT_H

#include "crypto/bytes.h"
#include "fs/choose.h"
#include "fs/inode.h"

struct ref;

/* One file on its way from the spool to the bucket. */
struct commit {
	struct volume *v;
	struct inode *inode; /* commit and data (for reading) are held */
	struct inode *dir; /* pinned */
	char *name; /* owned */
	struct key key;
	struct attr attr; /* as it is stored */
	char *xattr; /* likewise; owned */
	uint64_t size;
	uint8_t digest[DIGEST_LEN];
	struct sketch sketch;
	struct bytes sums; /* block digests, of a file from SUMS_MIN on */
	/* Set by commit_encode() if a delta pays. */
	struct pagefile *delta; /* the container */
	uint64_t delta_len;
	int replaces_all; /* whatever is there by now */
	int found; /* these bytes were there already, as somebody stored them */
	struct key ref_key;
	uint8_t ref_digest[DIGEST_LEN];
	struct candidate source; /* a plain file that becomes the reference */
	int promotes;
};

/*
 * Look for a reference and encode against it, decode and compare.  0 whether
 * or not a delta came of it (c->delta): what stands in the way of a delta is
 * logged and the file is stored as it is.
 */
void commit_encode(struct commit *c);

/* Bytes of delta from which on the file is better stored as it is. */
static inline uint64_t commit_max_len(const struct commit *c)
{
	uint64_t max = (uint64_t)(c->v->conf.max_ratio * (double)c->size);

	return max < c->size ? max : c->size - 1;
}

/*
 * May the codec be used for a file and a reference of these lengths?  Not
 * bsdiff's past what bspatch takes, or nobody could restore it with that.
 */
int commit_takes(const struct commit *c, const struct candidate *ref);

/*
 * For codec=bsdiff: encode against `ref`, whose bytes are
 * `text`, decode and compare.  0, and c->delta
 * is the patch; -E2BIG if it does not pay; -ENAMETOOLONG if the metadata cannot
 * hold what its reader needs; or an error.
 */
MUST_CHECK int commit_bsdiff(struct commit *c, struct ref *ref,
			     const uint8_t *text);

/*
 * What is known of the file, as its object's metadata; `sums_digest` may be
 * NULL.  0 or -ENOSPC, as object_write().
 */
MUST_CHECK int commit_describe(const struct commit *c,
			       const uint8_t *sums_digest, struct meta *m);

/*
 * Make sure that the reference which the delta names is in the bucket, and
 * after the delta is stored, let the file it was made of use it as well.
 */
MUST_CHECK int promote_before(struct commit *c);
void promote_after(struct commit *c);

/*
 * After the PUT, and before close returns: is the reference there, and not
 * marked for removal?  If it was removed it is put back from the cache.  0, or
 * an error: then the file must be stored without it.
 */
MUST_CHECK int promote_check(struct commit *c);

#endif
