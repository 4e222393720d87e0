#ifndef S3_POOL_H
#define S3_POOL_H

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * Connections to one server, of which so many may be in use at a time.  What one
 * is only its user knows.  Thread-safe.
 */
struct pool;

struct pool_conf {
	const char *name; /* of the server, for messages; borrowed */
	unsigned max; /* at least 1 */
	void *(*open)(void); /* NULL: out of memory */
	void (*close)(void *connection);
};

MUST_CHECK int pool_new(struct pool **out, const struct pool_conf *conf);
void pool_free(struct pool *p); /* with all given back; NULL-safe */

/*
 * One that is free, the last one used if several are, as it is warm; else one
 * more, or the first that is given back.  As long as bytes move on those in use,
 * waiting is none of the caller's time.
 * 0; -EINTR: cancelled; -EAGAIN: none moved for as long as the call had left;
 * -ENOMEM.
 */
MUST_CHECK int pool_get(struct pool *p, const struct store_call *call,
			void **out);
void pool_put(struct pool *p, void *connection);

/* A byte of a body has moved on one of them, or an exchange is over. */
void pool_moved(struct pool *p);

#endif
