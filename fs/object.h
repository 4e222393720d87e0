#ifndef FS_OBJECT_H
#define FS_OBJECT_H

#include <stdint.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "delta/sketch.h"
#include "s3/store.h"

struct attr;

#define OBJECT_TYPE        "application/vnd.deltaglider"
#define OBJECT_ENCODING    "deltaglider"
#define OBJECT_BSDIFF_TYPE "application/x-bsdiff"

/* What deltas are written in; in the order of the option's words. */
enum codec { CODEC_NATIVE, CODEC_BSDIFF };
const char *codec_name(enum codec codec);

/* The content type and encoding of such a delta. */
void codec_head(enum codec codec, struct store_head *out);

enum object_form {
	OBJECT_FOREIGN, /* plain, and not written by us */
	OBJECT_PLAIN, /* plain, with our metadata */
	OBJECT_DELTA, /* a native container */
	OBJECT_BSDIFF /* a classic bsdiff patch; read as a whole */
};

/* One version of a file in the bucket, as its metadata tell. */
struct object {
	enum object_form form;
	char etag[STORE_ETAG_MAX];
	/*
	 * When it was written, by the store's clock: a time, of which only the
	 * seconds are known if tv_nsec is -1; or, of a write of ours, the time by
	 * which it was.  All zero: not known well enough to tell two versions
	 * apart that have the same ETag.
	 */
	struct timespec written;
	int written_by;
	uint64_t stored; /* bytes of the object */
	uint64_t size; /* bytes of the file */
	int has_size; /* 0: a delta that lost its metadata; see its container */
	int has_digest;
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of the file */
	int has_sums;
	uint8_t sums_digest[DIGEST_LEN]; /* of its table under .dg/sums/ */
};

/* Is there a reference without which it cannot be read? */
static inline int object_is_delta(const struct object *o)
{
	return o->form == OBJECT_DELTA || o->form == OBJECT_BSDIFF;
}

/* It was written anew with the same bytes: what the store said of that. */
void object_rewritten(struct object *o, const struct store_stat *st);

/*
 * Is it the version that a listing shows with this ETag, length and time of its
 * writing?  If so, that time is remembered.
 */
int object_is_listed(struct object *o, const char *etag, uint64_t len,
		     const struct timespec *written);

/* Never fails: what is malformed is as if it were missing. */
void object_read(struct object *out, const struct store_stat *st);

/* Has the object the length that its metadata tell, as far as they do? */
int object_is_whole(const struct object *o, const struct store_stat *st);

/* What a new object's metadata are made from. */
struct object_facts {
	const char *name; /* of the file, without directories */
	uint64_t size;
	const uint8_t *digest; /* DIGEST_LEN bytes */
	const struct sketch *sketch; /* or NULL */
	const uint8_t *sums_digest; /* or NULL */
	/* A delta's; ref_key NULL for a plain object. */
	enum codec codec;
	const char *ref_key;
	const uint8_t *ref_digest;
	uint64_t ref_len;
	uint64_t delta_size;
	const struct attr *attr;
	const char *xattr; /* see fs/xattrs.h, or NULL */
};

/*
 * Write them in DeltaGlider's keys.  What would pass S3's 2 KB is dropped in
 * this order, which starts with what the container repeats or nobody needs to
 * read the file: dg-delta-cmd, dg-created-at, dg-original-name, dg-sketch,
 * dg-ref-key, dg-ref-sha256; the last two not of a bsdiff patch, which repeats
 * nothing.  0, or -ENOSPC if it does not fit even so.
 */
MUST_CHECK int object_write(const struct object_facts *f, struct meta *m);

/*
 * Drop of the metadata of an object of that form what S3 has no room for, in
 * that order.  0 or -ENOSPC.
 */
MUST_CHECK int object_fit(struct meta *m, enum object_form form);

/* The sketch in an object's metadata.  0 or -ENOENT. */
MUST_CHECK int object_sketch(const struct meta *m, struct sketch *out);

/* A number of bytes under `name`.  0 or -ENOENT. */
MUST_CHECK int object_size(const struct meta *m, const char *name,
			   uint64_t *out);

/* A digest in hexadecimal under `name`.  0 or -ENOENT. */
MUST_CHECK int object_digest(const struct meta *m, const char *name,
			     uint8_t out[DIGEST_LEN]);

#endif
