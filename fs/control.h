#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include <stddef.h>
#include <sys/types.h>

#include "crypto/bytes.h"

struct localcache;
struct settings;
struct volume;

/* What the control files are about; all borrowed. */
struct control_context {
	struct volume *volume;
	struct localcache *cache;
	struct settings *settings;
};

/*
 * The files under .dg/.  Each is a row of one table: a name and a function
 * that prints it, or takes one line, or both.
 */
struct control {
	const char *name;
	mode_t mode; /* permission bits */
	/* Append the content.  0 or -ENOMEM.  NULL: it reads as empty. */
	int (*show)(const struct control_context *c, struct bytes *out);
	/* A line without its end.  0 or -errno.  NULL: not writable. */
	int (*store)(const struct control_context *c, const char *line);
};

extern const struct control control_files[];
extern const size_t control_files_len;

#define CONTROL_LINE_MAX 4200 /* a path and a word */

#endif
