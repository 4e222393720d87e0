#ifndef FS_DEFER_H
#define FS_DEFER_H

#include <pthread.h>
#include <stdint.h>

#include "crypto/bytes.h"

struct inode;
struct store_stat;
struct volume;

#define DEFER_RECENT 256

/*
 * Attributes of what is stored wait for volume_conf.attr_delay_ms before they
 * are sent, so that what follows takes them along: another change, a new
 * version, a rename.  fsync(2) and the end of the mount do not wait.
 *
 * And what is known of the objects that were stored last is kept for so long,
 * so that their next change need not ask for it.
 */
struct defer {
	pthread_mutex_t lock; /* after inode.lock; all below */
	pthread_cond_t change;
	struct inode *first, **end; /* that wait; pinned */
	int running, stopping;
	pthread_t thread;
	/* Those that were stored last, and what with. */
	struct recent {
		struct inode *inode; /* pinned; or NULL */
		struct kept_meta *meta; /* owned; or NULL */
	} recent[DEFER_RECENT];
	unsigned oldest;
};

/* Cannot fail; without a thread until defer_start(). */
void defer_init(struct defer *d);
/* 0 or -errno. */
MUST_CHECK int defer_start(struct volume *v);
/* Send all that waits, and end the thread.  From now on nothing waits. */
void defer_stop(struct volume *v);
void defer_clear(struct volume *v);

/*
 * The inode has attributes that its object has not: see that it gets them.
 * inode.lock not held; nor inode.commit, where the volume has no delay.
 */
void inode_defer_attr(struct inode *i);

/* Send them now if there are any; inode.commit held and the tree entered. */
MUST_CHECK int inode_store_attr(struct inode *i);
/* The same, with nothing held. */
MUST_CHECK int inode_sync_attr(struct inode *i);

/*
 * The times of a directory in which a name came or went.  Where it has no
 * marker, and so no attributes of its own, for as long as it is remembered.
 */
void directory_touched(struct inode *dir);

/* What the object was stored with. */
void inode_keep_meta(struct inode *i, const struct store_stat *st);
/*
 * The same, into `st`, if it is known, and of the version `etag` (NULL: of any);
 * not known any more then.  1 or 0.
 */
int inode_kept_meta(struct inode *i, const char *etag, struct store_stat *st);

#endif
