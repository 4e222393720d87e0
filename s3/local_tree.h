#ifndef S3_LOCAL_TREE_H
#define S3_LOCAL_TREE_H

#include <pthread.h>

#include "crypto/bytes.h"
#include "s3/local_path.h"
#include "s3/store.h"

/* The directory of a local store: its lock, its temporary files, its names. */
struct local_tree {
	const char *dir; /* for messages; borrowed */
	uint64_t limit_ms; /* to wait for the lock */
	int root_fd;
	int lock_fd;
	pthread_mutex_t mutex; /* all below */
	pthread_cond_t freed;
	int is_locked; /* by a thread of ours */
};

/*
 * Open `dir`, made or initialised if it is missing or empty, and remove what
 * killed processes left in its .tmp; t->limit_ms is set, and `dir` outlives it.
 * 0; -ENOTEMPTY for a directory of somebody else's, -ENOTSUP for a newer format,
 * -ETIMEDOUT: its lock is kept by somebody; -errno: with `error`.
 */
MUST_CHECK int local_tree_open(struct local_tree *t, const char *dir,
			       struct store_error *error);
void local_tree_close(struct local_tree *t);

/*
 * One at a time, threads and processes.  0; -EINTR: cancelled; -ETIMEDOUT, with
 * the line in `call`: somebody keeps it; -errno.
 */
MUST_CHECK int local_tree_lock(struct local_tree *t,
			       const struct store_call *call);
void local_tree_unlock(struct local_tree *t);

/* A file that nobody sees yet.  Its lock says that its writer is alive. */
struct local_temp {
	int fd;
	char path[64];
};

MUST_CHECK int local_temp_open(struct local_tree *t, struct local_temp *temp);
void local_temp_close(struct local_temp *temp); /* once it is published */
void local_temp_remove(struct local_tree *t, struct local_temp *temp);

/*
 * Give the file its name, over what has it, and remove a file, with the
 * directories that this leaves empty.  Both want the lock held, and are
 * durable once the caller, without it, has called local_tree_sync() with what
 * they put into `dir_fd`.  0 or -errno; unlink: -ENOENT.
 */
MUST_CHECK int local_tree_publish(struct local_tree *t, struct local_temp *temp,
				  const char *path, int *dir_fd);
MUST_CHECK int local_tree_unlink(struct local_tree *t, const char *path,
				 int *dir_fd);

/* fsync and close. */
MUST_CHECK int local_tree_sync(int dir_fd);

#endif
