#ifndef FS_RESEND_H
#define FS_RESEND_H

#include "fs/object.h"

struct key;
struct volume;

/*
 * An object's bytes fetched and stored again, with other metadata or under
 * another key: what a server-side copy does, for servers that keep conditions
 * for a PUT but not for a copy.
 */
struct resend {
	struct object source; /* this version, or none */
	struct bytes body; /* its bytes, verified */
	struct store_stat st; /* what it is stored with */
};

/* Can it be: is it small enough, and can its bytes be verified? */
int resend_can(const struct object *o);

/*
 * Fetch body and metadata.  0; -ESTALE: it is another version; -EOPNOTSUPP: the
 * bytes do not verify; or the store's errors.
 */
MUST_CHECK int resend_fetch(struct volume *v, const struct key *from,
			    struct resend *r);
/* Store them; `call` has the condition.  `out` as of a put. */
MUST_CHECK int resend_store(struct volume *v, const struct key *to,
			    struct resend *r, const struct store_call *call,
			    struct store_stat *out);
void resend_clear(struct resend *r);

#endif
