#ifndef FS_SPEC_H
#define FS_SPEC_H

#include <limits.h>

#include "crypto/bytes.h"
#include "s3/store.h"

/*
 * What to mount: "s3://bucket[/prefix]", "bucket[/prefix]", or "file:///dir"
 * for a store in a local directory.
 */
struct spec {
	int local;
	char dir[PATH_MAX]; /* if local; may be relative as given */
	char bucket[256]; /* else */
	char prefix[STORE_KEY_MAX + 1]; /* "" or ends in '/' */
};

/* 0; -EINVAL with `why` (320 bytes) saying what is wrong with `text`. */
MUST_CHECK int spec_parse(struct spec *out, const char *text, char *why);

#endif
