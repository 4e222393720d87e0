#ifndef FS_CALLER_H
#define FS_CALLER_H

#include <sys/types.h>

/*
 * Is the thread that waits for us being killed?  The kernel tells of every
 * signal, a timer's or a resized window's too; those must not make a system
 * call fail that no local file system would let fail.  Non-zero also if there
 * is no such thread any more; 0 where that cannot be found out.
 */
int caller_is_dying(pid_t tid);

#endif
