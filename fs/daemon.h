#ifndef FS_DAEMON_H
#define FS_DAEMON_H

#include "crypto/bytes.h"

/*
 * Going to the background without losing the exit status: the parent waits
 * until the child says that it is ready, or ends.
 */
struct daemon {
	int ready_fd; /* -1 in the foreground */
};

/*
 * Nothing of this process is to be found in a core file, and no other process
 * of the same user may look into it.
 */
void daemon_keep_private(void);

/*
 * Fork.  Returns in the child only, with standard error still open; the parent
 * exits with 0 once daemon_ready() was called, else with the child's status; if
 * it is ended before that, so is the child.
 * With `foreground` nothing is forked; else `in_parent` is called in the parent
 * before it waits.  0 or -errno.
 */
typedef void daemon_parent_fn(void *arg);
MUST_CHECK int daemon_start(struct daemon *d, int foreground,
			    daemon_parent_fn *in_parent, void *arg);

/* Let go of terminal and directory, log to syslog from here on, free the parent. */
void daemon_ready(struct daemon *d);

#endif
