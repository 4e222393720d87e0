#ifndef S3_LOCAL_PATH_H
#define S3_LOCAL_PATH_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * Between keys and paths below the store's root: see LOCAL.md.  Pure: nothing
 * here touches a file.
 */
#define LOCAL_PATH_MAX 4096 /* holds the path of the longest key, with NUL */
#define LOCAL_NAME_MAX 256 /* one name on disk, with its NUL */

enum local_kind {
	LOCAL_ALIEN, /* none of our names */
	LOCAL_OBJECT, /* a file, the object itself */
	LOCAL_DIR, /* what follows is behind a '/' */
	LOCAL_CHUNK /* what follows belongs to the same component */
};

/* The path of the object's file.  0 or -ENAMETOOLONG. */
MUST_CHECK int local_path(char out[LOCAL_PATH_MAX], const char *key);

/*
 * The path of the directory that holds what begins with `prefix` up to its
 * last '/', "." where there is none.  0 or -ENAMETOOLONG.
 */
MUST_CHECK int local_path_dir(char out[LOCAL_PATH_MAX], const char *prefix);

/*
 * What an entry of a directory stands for: the bytes it adds to the key, as a
 * string, with the '/' of a LOCAL_DIR.  `out` is undefined for LOCAL_ALIEN.
 */
enum local_kind local_name_decode(char out[LOCAL_NAME_MAX], const char *name);

#endif
