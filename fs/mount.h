#ifndef FS_MOUNT_H
#define FS_MOUNT_H

#include "crypto/bytes.h"

struct options;
struct spec;

/*
 * Put everything together and serve until it is unmounted: validate, mount, go
 * to the background unless o->foreground, answer the kernel, store what is
 * left, clean up.  The exit status; errors before that are one line on
 * standard error.
 */
struct mount_request {
	const char *spec_text; /* as it was given, for /proc/mounts */
	const struct spec *spec;
	const char *dir;
	struct options *options; /* completed with what was found out */
};
int mount_run(const struct mount_request *rq);

#endif
