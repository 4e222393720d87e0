#ifndef FS_REFUSAL_H
#define FS_REFUSAL_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Lookups that failed because the server did not answer.  The kernel, which has
 * a name that it does not trust any more, takes the first error for a hint and
 * looks the name up once more: whoever has waited as long as is allowed would
 * wait as long again.  So it is with reads: of what could not be read ahead it
 * asks for the page that is wanted once more.  Thread-safe.
 */
enum { REFUSALS = 64 };

struct refusals {
	pthread_mutex_t lock; /* all below */
	struct refusal {
		pid_t tid; /* who was refused; 0: an empty slot */
		uint64_t parent, name; /* the name is a digest; 0: a read */
		uint64_t off, end; /* of a read of inode `parent` */
		int err;
		uint64_t until_ms;
	} slot[REFUSALS];
};

void refusals_init(struct refusals *r);
void refusals_clear(struct refusals *r);

/* The thread asks again what was refused just now: that error, once; or 0. */
int refusal_take(struct refusals *r, pid_t tid, uint64_t parent,
		 const char *name);
void refusal_note(struct refusals *r, pid_t tid, uint64_t parent,
		  const char *name, int err);

/* The same of reads of `ino`, whose range has the offset. */
int refusal_take_read(struct refusals *r, pid_t tid, uint64_t ino,
		      uint64_t off);
void refusal_note_read(struct refusals *r, pid_t tid, uint64_t ino,
		       uint64_t off, uint64_t len, int err);

#endif
