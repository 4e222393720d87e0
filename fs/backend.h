#ifndef FS_BACKEND_H
#define FS_BACKEND_H

#include "crypto/bytes.h"

struct options;
struct s3_credentials;
struct spec;
struct store;

/* Where the objects are. */
struct backend {
	struct store *store; /* owned */
	struct store *client; /* below it, that which speaks S3; or NULL */
	struct s3_credentials *credentials; /* owned; NULL for a local one */
	char endpoint[512], region[64]; /* from the profile; "" if not */
};

/*
 * Open and try out what `spec` names: bucket, credentials and endpoint are
 * known to be good on return, and unless `o` says read-only, which conditions
 * the server keeps is known too and .dg/format is there.  Within 10 seconds.
 * 0; -errno, and `why` (OPTION_WHY bytes) is one line for the user.
 */
MUST_CHECK int backend_open(struct backend *out, const struct spec *spec,
			    const struct options *o, char *why);
/*
 * Is there something wrong with what `spec` and `o` say that can be told without
 * a network?  As backend_open().
 */
MUST_CHECK int backend_check(const struct spec *spec, const struct options *o,
			     char *why);
/* Log, once it is mounted, whose keys are used and what the server does not do. */
void backend_tell(const struct backend *b);
void backend_close(struct backend *b);

#endif
