/*
 * Arbitrary bytes as what an endpoint or a credential_process says: JSON, and
 * the keys in it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "s3/credentials_private.h"
#include "s3/error.h"
#include "s3/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static int is_header_text(const char *s)
{
	for (; *s; s++)
		if (*s <= 0x20 || *s > 0x7e)
			return 0;
	return 1;
}

/* Whatever is taken for keys can go into a header, and there are both. */
static void keys(const uint8_t *data, size_t size, enum cred_form form)
{
	struct bytes text = BYTES_INIT;
	struct store_error error = { 0 };
	const struct store_call call = { .error = &error };
	struct cred_keys k = { .expires_s = -1 };
	int rc;

	if (size > 0)
		must(bytes_append(&text, data, size) == 0);
	rc = cred_json(&k, "fuzz", form, &text, &call);
	if (rc != 0) {
		must(rc == -EIO || rc == -EINVAL);
		must(error.text[0] != '\0' && k.expires_s == -1);
		return;
	}
	must(k.keys.access_key[0] != '\0' && k.keys.secret_key[0] != '\0');
	must(is_header_text(k.keys.access_key) &&
	     is_header_text(k.keys.secret_key) &&
	     is_header_text(k.keys.session_token));
	must(k.renewable && k.expires_s >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = BYTES_INIT;
	const char *value;
	struct json *j;
	int64_t n;
	int rc;

	if (size > 0)
		must(bytes_append(&text, data, size) == 0);
	rc = json_parse(&j, text.data, text.len);
	must(rc == 0 || rc == -EIO);
	if (rc == 0) {
		rc = json_text(j, "Token", &value);
		must(rc == -ENOENT || rc == -EIO ||
		     (rc == 0 && strlen(value) <= size));
		rc = json_number(j, "Version", &n);
		must(rc == 0 || rc == -ENOENT || rc == -EIO);
		json_free(j);
	}
	keys(data, size, CRED_FORM_PROCESS);
	keys(data, size, CRED_FORM_ENDPOINT);
	bytes_clear(&text);
	return 0;
}
