#ifndef FS_PRESSURE_H
#define FS_PRESSURE_H

#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Is memory getting short?  Asked of the memory cgroup that the process is in
 * and of those above it (v1, v2 or both), of the kernel's pressure stall
 * information and of /proc/meminfo.  What the system does not have says
 * nothing.
 */
struct pressure;

enum pressure_level {
	PRESSURE_NONE,
	PRESSURE_SOME, /* give back what is idle */
	PRESSURE_HIGH /* give back all that can be */
};

struct pressure_state {
	/*
	 * Bytes that may be taken before the first is reached, of the cgroup
	 * with the least, and its limit; UINT64_MAX where there is none.
	 */
	uint64_t room, limit;
	enum pressure_level level;
	/* "cgroup /x at 93 % of its limit", of what is worst; or "". */
	char why[96];
};

/*
 * Find what there is to ask.  `root` is "", or a folder with proc/ and sys/ of
 * its own.  The cgroup is the one that the process is in by now.
 * 0 or -ENOMEM.
 */
MUST_CHECK int pressure_open(struct pressure **out, const char *root);
void pressure_close(struct pressure *p); /* NULL-safe */

/* Ask.  From any thread; some ten small files are read, no memory is taken. */
void pressure_read(const struct pressure *p, struct pressure_state *out);

#endif
