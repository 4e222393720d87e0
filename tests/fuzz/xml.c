/*
 * Arbitrary bytes as what a server sends as XML: an error, a listing, the
 * results of uploads and copies.
 *
 * What is taken from them is bounded, and every key of a listing is one that a
 * store may have.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "s3/result.h"
#include "s3/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static int has_end(const char *text, size_t cap)
{
	return memchr(text, '\0', cap) != NULL;
}

static void as_listing(const uint8_t *data, size_t size)
{
	struct result_list list;
	size_t i;

	if (result_list(&list, data, size) == 0)
		for (i = 0; i < list.len; i++) {
			const struct result_entry *e = &list.entries[i];

			must(e->key != NULL && strlen(e->key) <= STORE_KEY_MAX);
			must(has_end(e->etag, sizeof(e->etag)));
			must(i == 0 ||
			     strcmp(list.entries[i - 1].key, e->key) <= 0);
		}
	result_list_clear(&list);
}

/* What is escaped comes back as it was, if XML has it at all. */
static int same_text(void *arg, const char *path, const char *text)
{
	must(strcmp(path, "a") == 0);
	must(strcmp(text, arg) == 0);
	return 0;
}

static void as_text(const uint8_t *data, size_t size)
{
	struct bytes xml = BYTES_INIT;
	char text[256];
	size_t i;

	if (size >= sizeof(text))
		return;
	for (i = 0; i < size; i++)
		text[i] = (char)(data[i] % 95 + 32);
	text[size] = '\0';
	must(bytes_append_str(&xml, "<a>") == 0);
	must(xml_escape(&xml, text) == 0);
	must(bytes_append_str(&xml, "</a>") == 0);
	must(xml_parse(xml.data, xml.len, same_text, text) == 0);
	bytes_clear(&xml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const roots[] = { "CopyObjectResult",
					     "CopyPartResult",
					     "CompleteMultipartUploadResult" };
	char id[RESULT_UPLOAD_ID_MAX];
	char etag[STORE_ETAG_MAX];
	struct result_error error;
	size_t i;

	if (result_error(&error, data, size) == 0)
		must(has_end(error.code, sizeof(error.code)) &&
		     has_end(error.message, sizeof(error.message)) &&
		     has_end(error.region, sizeof(error.region)));
	if (result_upload_id(id, data, size) == 0)
		must(has_end(id, sizeof(id)) && id[0] != '\0');
	for (i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (result_etag(etag, roots[i], data, size) == 0)
			must(has_end(etag, sizeof(etag)));
	as_listing(data, size);
	as_text(data, size);
	return 0;
}
