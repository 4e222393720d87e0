#ifndef FS_DEFAULTS_H
#define FS_DEFAULTS_H

#include "fs/options.h"

/*
 * Sizes and owners that nobody gave: shares of this machine's disk and memory,
 * and whoever mounts.
 * 0; -errno with `why`: there is no cache directory.
 */
MUST_CHECK int defaults_fill(struct options *o, char why[OPTION_WHY]);

#endif
