#include "fs/refkey.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/refs.h"
#include "delta/container.h"
#include "fs/inode.h"
#include "fs/log.h"

static int digest_key(struct volume *v, const char *fmt_dir,
		      const uint8_t digest[DIGEST_LEN], const char *tail,
		      struct key *out)
{
	char hex[DIGEST_HEX];
	int n;

	hex_encode(hex, digest, DIGEST_LEN);
	n = snprintf(out->text, sizeof(out->text), "%s.dg/%s/%s%s", v->prefix,
		     fmt_dir, hex, tail);
	return n < 0 || (size_t)n >= sizeof(out->text) ? -ENAMETOOLONG : 0;
}

int reference_key(struct volume *v, const uint8_t digest[DIGEST_LEN],
		  struct key *out)
{
	return digest_key(v, "refs", digest, "/reference.bin", out);
}

int sums_key(struct volume *v, const uint8_t digest[DIGEST_LEN],
	     struct key *out)
{
	return digest_key(v, "sums", digest, "", out);
}

struct source {
	struct volume *v;
	const struct store_call *call;
	const char *key, *etag;
	uint64_t len;
};

static int fetch_source(void *arg, refs_sink_fn *sink, void *sink_arg)
{
	struct source *s = arg;
	struct store *store = s->v->conf.store;
	struct store_call call = *s->call;

	call.if_match = s->etag && *s->etag ? s->etag : NULL;
	return store->ops->get(store, s->key, 0, s->len, &call, sink, sink_arg,
			       NULL);
}

static int is_cancelled(void *arg)
{
	const struct source *s = arg;

	return s->call->cancel && s->call->cancel(s->call->cancel_arg);
}

int reference_from(struct volume *v, const struct store_call *call,
		   const struct reference_source *r, struct ref **out)
{
	struct source s = { .v = v,
			    .call = call,
			    .key = r->key,
			    .etag = r->etag,
			    .len = r->len };

	int err;

	/*
	 * One thread fetches for all that wait: if its caller was interrupted,
	 * that is no reason for ours to fail.
	 */
	do
		err = refs_get(v->conf.refs, r->digest, r->len,
			       &(struct refs_source){ .fetch = fetch_source,
						      .cancel = is_cancelled,
						      .arg = &s },
			       out);
	while (err == -EINTR && !is_cancelled(&s));
	return err;
}

int reference_get(struct volume *v, const struct store_call *call,
		  const struct delta_info *info, struct ref **out)
{
	struct reference_source s = { .key = info->ref_key,
				      .len = info->ref_len,
				      .digest = info->ref_digest };
	struct key ours = { { 0 } };
	int err = -ENOENT;

	if (*info->ref_key)
		err = reference_from(v, call, &s, out);
	if (err == -ENOENT || err == -EBADMSG || err == -EIO) {
		/* A copied or moved bucket: the content has the same name. */
		int second = reference_key(v, info->ref_digest, &ours);

		s.key = ours.text;
		/* Of the same name: once more, it may have been the way here. */
		if (!second &&
		    (err == -EBADMSG || strcmp(ours.text, info->ref_key) != 0))
			second = reference_from(v, call, &s, out);
		else
			second = err;
		err = second;
	}
	if (err == -ENOENT || err == -EBADMSG) {
		log_error(
			"reference %s is %s: the files made from it cannot be read until it is put back",
			*info->ref_key ? info->ref_key : ours.text,
			err == -ENOENT ? "missing"
				       : "not what its digest says");
		err = -EIO;
	}
	return err;
}
