#ifndef FS_TREE_H
#define FS_TREE_H

#include "fs/inode.h"

/*
 * A directory's name is part of every key below it.  Whoever changes what a
 * key holds says so first, and a rename of a directory waits for those below
 * it, and they for it; nobody waits for what happens elsewhere in the tree.
 * Whoever only reads does not ask: he finds the old name, or the new one.
 */

/*
 * About to change something in `dir`.  inode.commit may be held.  0, or -EINTR:
 * `rq` (NULL: nobody) is to wait no longer.
 */
MUST_CHECK int tree_enter(struct inode *dir, const struct request *rq);
void tree_leave(struct inode *dir);

/* The same for two at once; they may be equal. */
MUST_CHECK int tree_enter_both(struct inode *a, struct inode *b,
			       const struct request *rq);
void tree_leave_both(struct inode *a, struct inode *b);

/*
 * About to change the object of `i`: enters its directory (or a directory
 * itself), which is returned, pinned; NULL if it has no name.  inode.commit is
 * held, so that it does not change hands meanwhile.
 */
struct inode *inode_enter(struct inode *i);
void inode_leave(struct inode *dir); /* NULL-safe */

/* `dir` gets another name: one such move at a time.  As tree_enter(). */
MUST_CHECK int tree_move_begin(struct inode *dir, const struct request *rq);
void tree_move_end(struct inode *dir);

#endif
