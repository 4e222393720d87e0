#ifndef FS_SETTINGS_H
#define FS_SETTINGS_H

#include <pthread.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "fs/options.h"

struct localcache;

#define SETTINGS_CONFIG "/etc/deltaglider/mount.conf" /* if none is named */

/* The options of a mount that lives, and what changes them. */
struct settings {
	pthread_mutex_t change; /* one change at a time; taken first */
	pthread_mutex_t lock; /* the options; never while a key is got */
	int key_pinned; /* by .dg/rotate_key: the options have no say any more */
	struct options *options; /* borrowed */
	const char *section; /* of the configuration file; borrowed */
	char *home; /* the directory at the start */
	struct localcache *cache; /* borrowed */
};

/*
 * Before chdir(2): paths in `o` that are read again later become absolute, and
 * so will those that a configuration file names later.  All is borrowed until
 * settings_clear(), which is called in any case.  0 or -errno.
 */
MUST_CHECK int settings_init(struct settings *s, struct options *o,
			     const char *section, struct localcache *cache);
void settings_clear(struct settings *s);

/*
 * Read the configuration file again and apply what can be while it is mounted;
 * all else that differs is named in the log.  A file with a mistake changes
 * nothing, and no more does one with a key that cannot be got.  Where the key
 * was rotated by hand, it stays.
 */
void settings_reload(struct settings *s);

/*
 * Another key: "file PATH", "command" (that of cache_key_command, run again)
 * or "ephemeral".  0; -EINVAL for anything else; -errno, logged.
 */
MUST_CHECK int settings_rotate_key(struct settings *s, const char *line);

MUST_CHECK int settings_show(struct settings *s, struct bytes *out);

/* What the watcher goes by. */
struct settings_watched {
	uint64_t clear_interval_ms, min_free;
};
void settings_watched(struct settings *s, struct settings_watched *out);

#endif
