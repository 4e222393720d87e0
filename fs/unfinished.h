#ifndef FS_UNFINISHED_H
#define FS_UNFINISHED_H

#include <time.h>

#include "crypto/bytes.h"

struct key;
struct volume;

/*
 * A rename of a directory is many requests.  While it is under way there is an
 * object below .dg/moves/ that says so (FORMAT.md, "Moves"): if it is cut off,
 * half of the files are under either name or under both, and a second try is to
 * go on where the first ended, although its target is not empty by then.
 * `from` and `to` are the directories' keys, with their '/'.
 */

/* About to begin.  Failing that, which is logged, there is no second try. */
void unfinished_note(struct volume *v, const struct key *from,
		     const struct key *to);
/* It is done, or undone. */
void unfinished_clear(struct volume *v, const struct key *from,
		      const struct key *to);
/* Was one begun, and when, by the store's clock?  1, 0 or -errno. */
MUST_CHECK int unfinished_find(struct volume *v, const struct key *from,
			       const struct key *to, struct timespec *since);

/* Log those that there are, with what to do about them. */
void unfinished_tell(struct volume *v);

#endif
