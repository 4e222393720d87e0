#ifndef S3_STORE_H
#define S3_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "crypto/bytes.h"
#include "s3/meta.h"

/*
 * A place that keeps objects by key: the S3 client, the layer that retries,
 * the local directory, the store of the tests.  All are one of these, so that
 * they stack.  Every operation may be called from many threads at once.
 *
 * A key is any string of 1 to STORE_KEY_MAX bytes without NUL; it is sent as it
 * is, never normalised.  Every operation returns 0 or
 *	-ENOENT		no such key (head, get, copy), or no such bucket
 *	-EACCES		not allowed, or a wrong key or signature
 *	-ESTALE		`if_match` does not hold (or the object is gone)
 *	-EEXIST		`if_absent` does not hold
 *	-EAGAIN		worth repeating: 5xx, throttled, connection lost,
 *			short body.  Only the retry layer sees it: above that
 *			it has become what `call->error` says of its cause,
 *			-ETIMEDOUT, -EHOSTUNREACH or -EIO
 *	-EINTR		`cancel` said so
 *	-EILSEQ		a key that this store cannot have (S3: not UTF-8)
 *	-EFBIG, -ENAMETOOLONG, -EDQUOT, -ENOMEM
 *	-EIO		anything else; permanent
 * and out-parameters are untouched on error.  For each permanent error
 * `call->error` holds one line for a person.
 */
struct store {
	const struct store_ops *ops;
};

#define STORE_KEY_MAX  1024
#define STORE_ETAG_MAX 136 /* with its NUL; without quotes */
#define STORE_TYPE_MAX 96

struct store_stat {
	uint64_t len; /* bytes stored */
	struct timespec mtime; /* when it was written, by the store's clock */
	int64_t date_s; /* that clock at the answer, seconds; 0: not known */
	char etag[STORE_ETAG_MAX]; /* "" if the store gave none */
	/* Nothing says that it is not the MD5 that it looks like; not in
	   listings. */
	int etag_is_md5;
	char content_type[STORE_TYPE_MAX]; /* not in listings */
	char content_encoding[STORE_TYPE_MAX]; /* not in listings */
	struct meta meta; /* not in listings */
};

/* What went wrong, for the one line that a person reads. */
struct store_error {
	int http_status; /* 0: none came */
	int cause; /* errno that -EAGAIN turns into once retries are spent */
	char code[64]; /* the server's, "SignatureDoesNotMatch"; or "" */
	char text[256];
	unsigned retry_after_s; /* what the server asked for, with -EAGAIN; 0 */
	/* Of what a get that broke off had given, or a put has left damaged. */
	char etag[STORE_ETAG_MAX];
};

/* Asked at least once a second while a call waits; non-zero ends the call. */
typedef int store_cancel_fn(void *arg);

struct deadline;

/* What goes along with any operation.  Zero-initialised it asks for nothing. */
struct store_call {
	const char *if_match; /* the ETag that must be there, or NULL */
	int if_absent; /* put, copy: there must be no such key */
	/* The caller can do without, and is to have time for that. */
	int optional;
	store_cancel_fn *cancel; /* or NULL */
	void *cancel_arg;
	struct store_error *error; /* or NULL */
	/* Of the layer that repeats, for those below; others leave it NULL. */
	struct deadline *deadline;
};

/*
 * Bytes to upload, readable at any offset and any number of times, so that a
 * retry starts over.  `read` gives exactly `len` bytes: 0 or -errno.  It may
 * be called from several threads at once.
 */
struct store_source {
	uint64_t len;
	int (*read)(void *arg, void *buf, size_t len, uint64_t off);
	void *arg;
};

/* What an object is besides its bytes. */
struct store_head {
	const char *content_type; /* or NULL: application/octet-stream */
	const char *content_encoding; /* or NULL */
	const struct meta *meta; /* or NULL: none */
};

/*
 * Takes the next bytes of a download, in order.  An error ends the call, which
 * returns it.  A repeated attempt goes on behind the last byte taken, so that
 * no byte is given twice.  It must not wait for another operation on the store
 * that gives it: all connections may be in use by such.
 */
typedef int store_sink_fn(void *arg, const void *data, size_t len);

/*
 * One listed entry; all is borrowed for the call.  `is_prefix`: `key` is what
 * several keys have in common, up to a '/', and `st` is NULL.  Non-zero ends
 * the list, which returns it.
 */
typedef int store_list_fn(void *arg, const char *key,
			  const struct store_stat *st, int is_prefix);

struct store_list {
	const char *prefix; /* "" for all */
	int shallow; /* one level: stop at the next '/' */
	unsigned max; /* entries at most; 0: all, page after page */
	const char *after; /* only entries behind this key, or NULL: all */
};

/*
 * What the store is able to do, as probed or known; first of all, what it keeps
 * of the conditions that we send.  A
 * condition that it does not keep is looked up with a head just before the
 * operation instead, which leaves a window: another writer who comes in between
 * is overwritten.
 */
struct store_caps {
	int probed; /* or known; else all but list_version is 0 */
	int put_if_absent, put_if_match;
	int complete_if_absent, complete_if_match; /* multipart */
	int remove_if_match;
	int copy_if_match, copy_if_absent;
	/* Every write has an ETag of its own, also of the same bytes. */
	int etag_of_write;
	int copies, keeps_metadata; /* else the mount can do little */
	/* What arrives is compared with the SHA-256 that we sign; or its ETag is
	   an MD5 that we compare; else only its length is looked at. */
	int checks_sha256, etag_md5;
	unsigned list_version; /* of ListObjects: 2, or 1; 0: not known */
	const char *profile; /* of s3/known_stores.h; or NULL */
};

/* Of a store that is able to do all that is asked of it. */
#define STORE_CAPS_ALL                                                         \
	{                                                                      \
		.put_if_absent = 1, .put_if_match = 1,                         \
		.complete_if_absent = 1, .complete_if_match = 1,               \
		.remove_if_match = 1, .copy_if_match = 1, .copy_if_absent = 1, \
		.etag_of_write = 1, .copies = 1, .keeps_metadata = 1,          \
		.checks_sha256 = 1, .list_version = 2                          \
	}

/* Requests by kind, counted at the wire: a retry counts again. */
struct store_counters {
	uint64_t head, get, put, copy, remove, list, part, retries;
	uint64_t errors; /* but not "no such key" and conditions unmet */
	uint64_t bytes_in, bytes_out; /* of bodies */
};

struct store_ops {
	/*
	 * Is the bucket there and do the credentials open it?  The error's
	 * text says what is wrong and what to do.
	 */
	int (*check)(struct store *s, const struct store_call *call);

	int (*head)(struct store *s, const char *key,
		    const struct store_call *call, struct store_stat *out);

	/*
	 * `len` bytes from `off`, which must lie inside the object: exactly
	 * these or an error, and -EIO where the object is shorter.  `len` 0 is
	 * answered without asking.  `out` may be NULL.
	 */
	int (*get)(struct store *s, const char *key, uint64_t off, uint64_t len,
		   const struct store_call *call, store_sink_fn *sink,
		   void *sink_arg, struct store_stat *out);

	/*
	 * Replace the object as a whole, or leave it as it was.  On return 0
	 * the bytes are durable.  In parts where `len` asks for it.  `out`
	 * (may be NULL) gets `len`, `etag` and `date_s` only; the ETag is ""
	 * where the store gives none, or where by then somebody else has
	 * replaced the object.
	 */
	int (*put)(struct store *s, const char *key,
		   const struct store_source *src,
		   const struct store_head *head, const struct store_call *call,
		   struct store_stat *out);

	/*
	 * Copy on the server; `from` and `to` may be equal.  With `head`, the
	 * copy has that instead of the source's.  if_match is the source's.
	 * `out` (may be NULL) gets `etag` and `date_s` only.  -EOPNOTSUPP: this
	 * store does not copy.
	 */
	int (*copy)(struct store *s, const char *from, const char *to,
		    const struct store_head *head,
		    const struct store_call *call, struct store_stat *out);

	/* 0 also where there was no such key, whatever `if_match` is. */
	int (*remove)(struct store *s, const char *key,
		      const struct store_call *call);

	/* Entries in the order of their keys' bytes; -EIO if it has another. */
	int (*list)(struct store *s, const struct store_list *what,
		    const struct store_call *call, store_list_fn *fn,
		    void *fn_arg);

	/*
	 * Learn by trying, with objects of its own under `prefix` (removed
	 * again), which conditions hold; caps() before that says none.
	 */
	int (*probe)(struct store *s, const char *prefix,
		     const struct store_call *call);
	void (*caps)(struct store *s, struct store_caps *out);

	void (*free)(struct store *s); /* and the store below it */

	/* What was counted so far.  NULL for a store that does not count. */
	void (*count)(struct store *s, struct store_counters *out);
};

#endif
