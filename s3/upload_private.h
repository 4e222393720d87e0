#ifndef S3_UPLOAD_PRIVATE_H
#define S3_UPLOAD_PRIVATE_H

#include <pthread.h>
#include <stdint.h>

#include "s3/client_private.h"

/* What the files of an upload in parts share; nobody else includes this. */

struct upload;

/* Send one part in one attempt, and fill in its ETag. */
typedef int upload_part_fn(struct upload *u, unsigned part,
			   const struct store_call *call);

struct upload {
	struct s3 *s;
	const char *key;
	uint64_t len; /* bytes, all parts together */
	const struct store_head *head;
	const struct store_call *call;
	upload_part_fn *send;
	const struct store_source *src; /* what comes from us */
	const char *from, *from_etag; /* what the server copies, or NULL */
	char id[RESULT_UPLOAD_ID_MAX];
	uint64_t part_size;
	unsigned parts;

	pthread_mutex_t mutex; /* all below, and the caller's `cancel` */
	unsigned next; /* part to send, from 0 */
	int rc; /* the first error, which ends the others */
	struct store_error error;
	char (*etags)[STORE_ETAG_MAX];
};

/* Where part `part` begins, and how long it is. */
static inline uint64_t upload_part_off(const struct upload *u, unsigned part)
{
	return part * u->part_size;
}

static inline uint64_t upload_part_len(const struct upload *u, unsigned part)
{
	uint64_t left = u->len - upload_part_off(u, part);

	return left < u->part_size ? left : u->part_size;
}

/*
 * Set `part_size` to the smallest parts that are enough for u->len, of `wanted`
 * bytes or whole MiB beyond that.  0; -EFBIG: no parts are large enough.
 */
MUST_CHECK int upload_plan(struct upload *u, uint64_t wanted);

/*
 * Begin, send all parts, complete; abort where that fails.  The caller has
 * filled in all up to `part_size`.  As put of store.h.
 */
MUST_CHECK int upload_run(struct upload *u, struct store_stat *out);

/* Complete what all parts are there of; repeated by itself.  As put. */
MUST_CHECK int upload_complete(struct upload *u, struct store_stat *out);

/*
 * What is under way, for whoever has to clear up behind a process that was
 * killed: see s3_uploads_sweep().  NULL-safe.
 */
/* `prefix` ends in '/', or is NULL: nothing is noted.  0 or -ENOMEM. */
MUST_CHECK int uploads_new(struct uploads **out, struct s3 *s,
			   const char *prefix);
void uploads_free(struct uploads *n);

/* A note that cannot be written stops no upload. */
void uploads_begin(struct uploads *n, const struct upload *u);
void uploads_alive(struct uploads *n); /* called now and then by each */
/* One that could not even be aborted stays noted. */
void uploads_end(struct uploads *n, const struct upload *u, int aborted);

#endif
