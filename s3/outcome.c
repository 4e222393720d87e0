#include "s3/outcome.h"

#include <string.h>

static int is_same(void *arg, const char *name, const char *value)
{
	const struct meta *there = arg;
	char found[META_VALUE_MAX];

	return meta_get(there, name, found, sizeof(found)) != 0 ||
	       strcmp(found, value) != 0;
}

int outcome_is_ours(struct store *s, const char *key, uint64_t len,
		    const struct meta *meta, const struct store_call *call,
		    struct store_stat *out)
{
	/* No conditions, and no line: the caller has one already. */
	struct store_call plain = { .cancel = call->cancel,
				    .cancel_arg = call->cancel_arg,
				    .deadline = call->deadline };
	struct store_stat st;

	if (meta == NULL || meta->len == 0)
		return 0;
	if (s->ops->head(s, key, &plain, &st) != 0 || st.len != len ||
	    meta_each(meta, is_same, &st.meta) != 0)
		return 0;
	if (out != NULL) {
		out->len = st.len;
		memcpy(out->etag, st.etag, sizeof(out->etag));
	}
	return 1;
}
