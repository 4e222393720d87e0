#include "fs/format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FORMAT     "deltaglider 1\n"
#define FORMAT_MAX 64

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int read_format(void *arg, void *buf, size_t len, uint64_t off)
{
	(void)arg;
	memcpy(buf, FORMAT + off, len);
	return 0;
}

int format_check(struct store *s, const char *prefix, int may_write,
		 const struct store_call *call)
{
	struct store_source src = { .len = sizeof(FORMAT) - 1,
				    .read = read_format };
	struct store_head head = { .content_type = "text/plain" };
	struct store_call create = *call;
	char key[STORE_KEY_MAX + 32];
	struct bytes b = BYTES_INIT;
	struct store_stat st;
	int err;

	(void)snprintf(key, sizeof(key), "%s.dg/format", prefix);
	err = s->ops->head(s, key, call, &st);
	if (err == -ENOENT) {
		create.if_absent = 1;
		err = may_write
			      ? s->ops->put(s, key, &src, &head, &create, NULL)
			      : 0;
		return err == -EEXIST ? 0 : err;
	}
	if (!err && st.len <= FORMAT_MAX)
		err = s->ops->get(s, key, 0, st.len, call, take, &b, NULL);
	if (!err && (b.len != sizeof(FORMAT) - 1 ||
		     memcmp(b.data, FORMAT, b.len) != 0)) {
		err = -ENOTSUP;
		if (call->error)
			(void)snprintf(
				call->error->text, sizeof(call->error->text),
				"%.150s was written by a newer version: upgrade mount.deltaglider",
				key);
	}
	bytes_clear(&b);
	return err;
}
