#ifndef S3_KNOWN_STORES_H
#define S3_KNOWN_STORES_H

#include <stddef.h>

/*
 * What is known of a store by its host's name and cannot be found out by asking
 * it: the region that it wants to see signed, and whether it looks for the
 * bucket in the host's name only.
 */
struct known_store {
	const char *name; /* "backblaze" */
	const char *suffix; /* of its hosts, from a '.' on, or all of one */
	/*
	 * The region; "*" for what the host's name has before the suffix, behind
	 * the last '.' and behind `before`; NULL for none that is known.
	 */
	const char *region;
	const char *before; /* "sos-"; or NULL */
	int in_host;
};

/* The one with that host (a port may follow), or NULL. */
const struct known_store *known_store_find(const char *host);

/* Its region, or `fallback` where the host's name does not say it. */
void known_store_region(const struct known_store *k, const char *host,
			const char *fallback, char *out, size_t cap);

#endif
