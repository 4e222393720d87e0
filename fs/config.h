#ifndef FS_CONFIG_H
#define FS_CONFIG_H

#include "crypto/bytes.h"

struct options;

/*
 * Read the INI file `path` into `o`: section [default], then the one called
 * like the bucket ("[releases]", or "[releases/prefix]" before it).  A missing
 * file is an error only if `required`.
 * 0; -errno with `why` (OPTION_WHY bytes) naming file, line and option.
 */
MUST_CHECK int config_load(struct options *o, const char *path, int required,
			   const char *bucket, char *why);

#endif
