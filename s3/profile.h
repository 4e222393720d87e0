#ifndef S3_PROFILE_H
#define S3_PROFILE_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * The settings of one profile, from files in the form of ~/.aws/credentials
 * and ~/.aws/config.  Holds secrets: wiped when it is freed.
 */
struct profile;

MUST_CHECK int profile_new(struct profile **out);
void profile_free(struct profile *p);

/*
 * Add what `section` of the file sets; what is set already stays.  0; -ENOENT
 * if there is no such file or section; -EACCES; -EINVAL if it is malformed,
 * with the number of the line in `line`; -ENOMEM; -EIO.
 */
MUST_CHECK int profile_read(struct profile *p, const char *path,
			    const char *section, int *line);

/* The value, borrowed from `p`, or NULL. */
const char *profile_get(const struct profile *p, const char *name);

#endif
