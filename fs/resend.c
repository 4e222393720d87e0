#include "fs/resend.h"

#include <errno.h>
#include <string.h>

#include "fs/etag_check.h"
#include "fs/inode.h"

/* What larger objects are uploaded in parts of: their ETags are no digests. */
#define SMALL ((uint64_t)16 << 20)

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int read_body(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

int resend_can(const struct object *o)
{
	return o->etag[0] && o->stored && o->stored <= SMALL &&
	       ((o->form == OBJECT_PLAIN && o->has_digest) ||
		etag_is_md5(o->etag));
}

/*
 * A flipped bit on the way must not become the file; nor is every ETag that
 * looks like an MD5 one.
 */
static int verify(const struct resend *r)
{
	const struct object *o = &r->source;
	uint8_t digest[DIGEST_LEN];
	int err;

	if (r->body.len != o->stored || r->st.len != o->stored)
		return -ESTALE;
	if (o->form == OBJECT_PLAIN && o->has_digest) {
		err = digest_buffer(r->body.data, r->body.len, digest);
		if (!err && memcmp(digest, o->digest, DIGEST_LEN) != 0)
			err = -EOPNOTSUPP;
		return err;
	}
	err = digest_md5(r->body.data, r->body.len, digest);
	if (!err) {
		char hex[2 * DIGEST_MD5_LEN + 1];

		hex_encode(hex, digest, DIGEST_MD5_LEN);
		err = strcasecmp(hex, o->etag) != 0 ? -EOPNOTSUPP : 0;
	}
	return err;
}

int resend_fetch(struct volume *v, const struct key *from, struct resend *r)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error,
				   .if_match = r->source.etag };
	struct store *s = v->conf.store;
	int err;

	r->body.len = 0;
	err = s->ops->get(s, from->text, 0, r->source.stored, &call, take,
			  &r->body, &r->st);
	return err ? err : verify(r);
}

int resend_store(struct volume *v, const struct key *to, struct resend *r,
		 const struct store_call *call, struct store_stat *out)
{
	struct store_source src = { .len = r->body.len,
				    .read = read_body,
				    .arg = &r->body };
	struct store_head head;

	store_head_of(&r->st, &head);
	return v->conf.store->ops->put(v->conf.store, to->text, &src, &head,
				       call, out);
}

void resend_clear(struct resend *r)
{
	bytes_clear(&r->body);
}
