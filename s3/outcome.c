#include "s3/outcome.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/digest.h"
#include "s3/error.h"

#define STEP ((size_t)256 << 10) /* bytes looked at between looks at `cancel` */

static int is_same(void *arg, const char *name, const char *value)
{
	const struct meta *there = arg;
	char found[META_VALUE_MAX];

	return meta_get(there, name, found, sizeof(found)) != 0 ||
	       strcmp(found, value) != 0;
}

/* Is that its MD5, as far as can be told? */
static int has_md5(const struct store_source *src, const char *etag,
		   const struct store_call *call)
{
	struct digest *md5 = digest_md5_new();
	uint8_t *buf = malloc(STEP);
	uint8_t sum[DIGEST_MD5_LEN];
	char hex[2 * sizeof(sum) + 1];
	uint64_t done = 0;
	int rc = md5 != NULL && buf != NULL ? 0 : -ENOMEM;

	while (rc == 0 && done < src->len) {
		size_t n = src->len - done < STEP ? (size_t)(src->len - done)
						  : STEP;

		rc = store_cancelled(call) ? -EINTR
					   : src->read(src->arg, buf, n, done);
		if (rc == 0)
			rc = digest_update(md5, buf, n);
		done += n;
	}
	if (rc == 0)
		rc = digest_final(md5, sum);
	if (buf != NULL)
		bytes_wipe(buf, STEP); /* it was the user's data */
	free(buf);
	digest_free(md5);
	if (rc != 0)
		return 0;
	hex_encode(hex, sum, sizeof(sum));
	return strcasecmp(hex, etag) == 0;
}

int outcome_is_ours(struct store *s, const char *key,
		    const struct outcome_sent *sent,
		    const struct store_call *call, struct store_stat *out)
{
	/* No conditions, and no line: the caller has one already. */
	struct store_call plain = { .cancel = call->cancel,
				    .cancel_arg = call->cancel_arg,
				    .deadline = call->deadline };
	struct store_caps caps;
	struct store_stat st;

	if (sent->meta == NULL || sent->meta->len == 0)
		return 0;
	if (s->ops->head(s, key, &plain, &st) != 0 || st.len != sent->len ||
	    meta_each(sent->meta, is_same, &st.meta) != 0)
		return 0;
	s->ops->caps(s, &caps);
	if (sent->src != NULL && st.etag_is_md5 && caps.etag_md5 &&
	    !caps.checks_sha256 && !has_md5(sent->src, st.etag, &plain))
		return 0;
	if (out != NULL) {
		out->len = st.len;
		memcpy(out->etag, st.etag, sizeof(out->etag));
	}
	return 1;
}
