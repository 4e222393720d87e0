#ifndef FS_OPS_H
#define FS_OPS_H

#include "fs/control.h"
#include "fs/refusal.h"

struct fuse_session;
struct fuse_args;

/* What the kernel's requests are answered from; borrowed. */
struct ops_context {
	struct control_context control;
	uid_t owner; /* of the control files */
	gid_t group;
	uint64_t started; /* seconds since 1970 */
	struct refusals *refusals;
};

/* A session that answers from `c`.  NULL if libfuse refuses the arguments. */
struct fuse_session *ops_session(struct fuse_args *args, struct ops_context *c);
void ops_session_free(struct fuse_session *s, struct ops_context *c);

#endif
