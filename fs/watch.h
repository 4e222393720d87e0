#ifndef FS_WATCH_H
#define FS_WATCH_H

#include "crypto/bytes.h"

struct localcache;
struct settings;
struct watch;

/*
 * The threads that look after a mount while nobody asks it anything: they give
 * memory and disk back when others need them, clear the cache at its interval,
 * and read the configuration again on SIGHUP, which all threads must have
 * blocked.  All is borrowed until watch_stop().  0 or -errno.
 */
MUST_CHECK int watch_start(struct watch **out, struct settings *settings,
			   struct localcache *cache);
void watch_stop(struct watch *w); /* NULL-safe */

#endif
