#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include "crypto/bytes.h"

/*
 * Can `dir` be mounted on?  Its absolute path is written to `path` (PATH_MAX
 * bytes).  0; -ENOENT, -ENOTDIR, -ENOTEMPTY, ... with `why` (OPTION_WHY
 * bytes).
 */
MUST_CHECK int mountpoint_check(const char *dir, char *path, char *why);

#endif
