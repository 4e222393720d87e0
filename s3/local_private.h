#ifndef S3_LOCAL_PRIVATE_H
#define S3_LOCAL_PRIVATE_H

#include <pthread.h>

#include "s3/local_tree.h"

/* What the files of the local store share; nobody else includes this. */

struct local {
	struct store store; /* first: this is what callers hold */
	struct local_tree tree;
	char *dir; /* as given, for messages */
	pthread_mutex_t count_mutex;
	struct store_counters count;
};

struct local *local_of(struct store *s);

/* `call`, or what asks for nothing. */
const struct store_call *local_call(const struct store_call *call);

/* Add to one of the counters. */
void local_count_up(struct local *l, uint64_t *what, uint64_t n);

/* What the system said, in the words of store.h, with a line about `key`. */
int local_fail(struct local *l, const struct store_call *call, int rc,
	       const char *key);

/*
 * The object's file, open, and what it says of itself, if it is what
 * `call->if_match` wants.  0, -ENOENT, -ESTALE, -EIO, -ENOTSUP, -errno.
 */
MUST_CHECK int local_object_open(struct local *l, const char *key,
				 const struct store_call *call, int *out,
				 struct store_stat *st);

/* As in store.h. */
int local_put(struct store *s, const char *key, const struct store_source *src,
	      const struct store_head *head, const struct store_call *call,
	      struct store_stat *out);
int local_copy(struct store *s, const char *from, const char *to,
	       const struct store_head *head, const struct store_call *call,
	       struct store_stat *out);
int local_remove(struct store *s, const char *key,
		 const struct store_call *call);

#endif
