#include "fs/packed.h"

#include <stdlib.h>
#include <string.h>

enum { HAS_SIZE = 1, HAS_DIGEST = 2, HAS_SUMS = 4, WRITTEN_BY = 8 };

struct packed_rest {
	uint8_t sums_digest[DIGEST_LEN];
	char etag[STORE_ETAG_MAX]; /* "": it is inside */
};

void packed_clear(struct packed_object *p)
{
	free(p->rest);
	*p = (struct packed_object){ 0 };
}

void packed_set(struct packed_object *p, const struct object *o)
{
	size_t etag = strlen(o->etag) + 1;
	struct packed_rest *rest = p->rest;

	if (etag <= PACKED_ETAG && !o->has_sums) {
		free(rest);
		rest = NULL;
	} else if (!rest) {
		rest = malloc(sizeof(*rest));
	}
	*p = (struct packed_object){
		.stored = o->stored,
		.size = o->size,
		.written_s = o->written.tv_sec,
		.written_ns = (int32_t)o->written.tv_nsec,
		.form = (uint8_t)o->form,
		.flags = (uint8_t)((o->has_size ? HAS_SIZE : 0) |
				   (o->has_digest ? HAS_DIGEST : 0) |
				   (o->has_sums && rest ? HAS_SUMS : 0) |
				   (o->written_by ? WRITTEN_BY : 0)),
		.rest = rest
	};
	memcpy(p->digest, o->digest, DIGEST_LEN);
	if (etag <= PACKED_ETAG)
		memcpy(p->etag, o->etag, etag);
	if (!rest)
		return;
	memcpy(rest->sums_digest, o->sums_digest, DIGEST_LEN);
	rest->etag[0] = '\0';
	if (etag > PACKED_ETAG)
		memcpy(rest->etag, o->etag, etag);
}

const char *packed_etag(const struct packed_object *p)
{
	return p->rest && p->rest->etag[0] ? p->rest->etag : p->etag;
}

void packed_get(const struct packed_object *p, struct object *out)
{
	const char *etag = packed_etag(p);

	*out = (struct object){ .form = (enum object_form)p->form,
				.written = { (time_t)p->written_s,
					     p->written_ns },
				.written_by = !!(p->flags & WRITTEN_BY),
				.stored = p->stored,
				.size = p->size,
				.has_size = !!(p->flags & HAS_SIZE),
				.has_digest = !!(p->flags & HAS_DIGEST),
				.has_sums = !!(p->flags & HAS_SUMS) };
	memcpy(out->etag, etag, strlen(etag) + 1);
	memcpy(out->digest, p->digest, DIGEST_LEN);
	if (p->rest)
		memcpy(out->sums_digest, p->rest->sums_digest, DIGEST_LEN);
}
