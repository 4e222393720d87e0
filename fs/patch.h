#ifndef FS_PATCH_H
#define FS_PATCH_H

#include <stdint.h>

#include "crypto/bytes.h"

struct pagefile;
struct ref;
struct store_call;

/* A bsdiff patch in a page file, and what must come of it. */
struct patch {
	struct pagefile *file;
	uint64_t len; /* bytes of patch */
	struct ref *ref;
	uint64_t size; /* bytes of the file that it makes */
	const uint8_t *digest; /* of that file: DIGEST_LEN bytes */
	const struct store_call *call; /* whose `cancel` ends it; or NULL */
};

/*
 * Apply it; what comes of it goes to `out` (NULL: nowhere, it is only looked
 * at).  0, and it is what it must be; -EBADMSG if it is not; -EINTR; -ENOSPC
 * and other errors of the page files.
 */
MUST_CHECK int patch_apply(const struct patch *p, struct pagefile *out);

#endif
