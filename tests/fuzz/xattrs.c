/*
 * Arbitrary bytes as the text that extended attributes are kept in.
 *
 *	1 byte: length of a value | the value | the text
 *
 * What can be read of it must be the same after another one is set and removed.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/xattrs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME "user.fuzz"

static void must(int holds)
{
	if (!holds)
		abort();
}

/* All that can be read of the text but NAME: names and values. */
static void read_all(const char *text, struct bytes *out)
{
	struct bytes names = BYTES_INIT;

	must(!xattrs_list(text, &names));
	for (size_t at = 0; at < names.len;) {
		const char *name = (const char *)names.data + at;
		size_t len = strlen(name) + 1;

		at += len;
		if (!strcmp(name, NAME))
			continue;
		must(!bytes_append(out, name, len));
		must(!xattrs_get(text, name, out));
	}
	bytes_clear(&names);
}

static void same(const struct bytes *a, const char *text)
{
	struct bytes b = BYTES_INIT;

	read_all(text, &b);
	must(a->len == b.len && (!a->len || !memcmp(a->data, b.data, a->len)));
	bytes_clear(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xattr_change c = { .name = NAME };
	struct bytes before = BYTES_INIT, value = BYTES_INIT;
	char *text, *with, *without;

	if (!size || (size_t)data[0] + 1 > size)
		return 0;
	c.len = data[0];
	c.value = data + 1;
	text = calloc(1, size - c.len);
	must(text != NULL);
	memcpy(text, data + 1 + c.len, size - c.len - 1);
	read_all(text, &before);
	if (!xattrs_change(text, &c, &with)) {
		must(strlen(with) <= XATTRS_MAX);
		must(!xattrs_get(with, NAME, &value) && value.len == c.len);
		must(!c.len || !memcmp(value.data, c.value, c.len));
		same(&before, with);
		c.value = NULL;
		must(!xattrs_change(with, &c, &without));
		same(&before, without);
		free(without);
		free(with);
	}
	bytes_clear(&before);
	bytes_clear(&value);
	free(text);
	return 0;
}
