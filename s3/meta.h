#ifndef S3_META_H
#define S3_META_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * An object's user metadata: names (lower case, no "x-amz-meta-") and values,
 * in the order they were set.  S3 takes 2 KB of it; what a store holds beyond
 * META_MAX is not read, and `truncated` says so.  Zero-initialised it is empty.
 */
#define META_MAX       4096
#define META_S3_MAX    2048 /* bytes of names and values together */
#define META_VALUE_MAX 2048 /* with its NUL */
#define META_NAME_MAX  128 /* with its NUL */

struct meta {
	size_t len; /* bytes of `text` in use, NUL not counted */
	int truncated;
	char text[META_MAX]; /* lines "name=value\n" */
};

/* The value of `name` copied to `out` as a string, or -ENOENT, -ERANGE. */
MUST_CHECK int meta_get(const struct meta *m, const char *name, char *out,
			size_t cap);

/*
 * Set or replace; what is replaced moves to the end.  `name` must be in lower
 * case, `value` printable ASCII without line ends: see meta_encode().  0;
 * -EINVAL; -ENOSPC if it does not fit META_MAX or META_VALUE_MAX.
 */
MUST_CHECK int meta_set(struct meta *m, const char *name, const char *value);
void meta_remove(struct meta *m, const char *name);

/*
 * What counts against META_S3_MAX, in bytes.  "x-amz-meta-" is counted with
 * every name: AWS leaves it out, other servers do not.
 */
size_t meta_cost(const struct meta *m);

/* Each pair in turn; `value` is borrowed.  Non-zero ends it and is returned. */
int meta_each(const struct meta *m,
	      int (*fn)(void *arg, const char *name, const char *value),
	      void *arg);

/*
 * Percent-encode what no header may carry (controls, DEL, non-ASCII, '%', and
 * spaces at either end).  0, or -ERANGE if `cap` is too small.
 */
MUST_CHECK int meta_encode(char *out, size_t cap, const void *in, size_t len);

/*
 * The reverse; a '%' that starts no escape stands for itself.  The length of
 * what was written, without the NUL that follows it, or -ERANGE.
 */
MUST_CHECK int meta_decode(char *out, size_t cap, const char *in);

#endif
