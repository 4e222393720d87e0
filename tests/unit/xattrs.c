#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "fs/xattrs.h"

static void expect(const char *text, const char *name, const void *value,
		   size_t len)
{
	struct bytes b = BYTES_INIT;

	assert_int_equal(xattrs_get(text, name, &b), 0);
	assert_int_equal(b.len, len);
	assert_memory_equal(b.data ? b.data : (const uint8_t *)"", value, len);
	bytes_clear(&b);
}

/* `text` with a change that works; frees the old one. */
static char *with(char *text, const struct xattr_change *c)
{
	char *out;

	assert_int_equal(xattrs_change(text, c, &out), 0);
	free(text);
	return out;
}

static void as_s3fs_writes_them(void **state)
{
	/* URL-encoded as a whole, as s3fs does, and as we do. */
	const char *const texts[] = {
		"%7B%22user.a%22%3A%22aGVsbG8%3D%22%2C%22user.b%22%3A%22%22%7D",
		"{\"user.a\":\"aGVsbG8=\",\"user.b\":\"\"}",
		" { \"user.a\" : \"aGVsbG8=\" , \"user.b\" : \"\" } "
	};
	struct bytes b = BYTES_INIT;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		expect(texts[i], "user.a", "hello", 5);
		expect(texts[i], "user.b", "", 0);
		assert_int_equal(xattrs_get(texts[i], "user.c", &b), -ENODATA);
		assert_int_equal(xattrs_list(texts[i], &b), 0);
		assert_int_equal(b.len, 14);
		assert_memory_equal(b.data, "user.a\0user.b", 14);
		bytes_clear(&b);
	}
}

static void changed_and_removed(void **state)
{
	static const uint8_t value[] = { 0, 1, 2, 0xff, '"', '\\', '%', 10 };
	char *text = NULL, *none;

	(void)state;
	for (size_t n = 0; n <= sizeof(value); n++) {
		text = with(text,
			    &(struct xattr_change){ "user.x", value, n, 0 });
		expect(text, "user.x", value, n);
	}
	text = with(text,
		    &(struct xattr_change){ "user.y", "y", 1, XATTR_CREATE });
	assert_string_equal(
		text, "{\"user.x\":\"AAEC/yJcJQo=\",\"user.y\":\"eQ==\"}");
	assert_int_equal(xattrs_change(text,
				       &(struct xattr_change){ "user.y", "z", 1,
							       XATTR_CREATE },
				       &none),
			 -EEXIST);
	assert_int_equal(xattrs_change(text,
				       &(struct xattr_change){ "user.z", "z", 1,
							       XATTR_REPLACE },
				       &none),
			 -ENODATA);
	assert_int_equal(
		xattrs_change(text, &(struct xattr_change){ .name = "user.z" },
			      &none),
		-ENODATA);
	text = with(text, &(struct xattr_change){ "user.y", "why", 3,
						  XATTR_REPLACE });
	expect(text, "user.y", "why", 3);
	text = with(text, &(struct xattr_change){ .name = "user.x" });
	expect(text, "user.y", "why", 3);
	text = with(text, &(struct xattr_change){ .name = "user.y" });
	assert_null(text);
}

static void names_of_any_bytes(void **state)
{
	const char *const names[] = { "user.\"quoted\\\"", "user.\x01\n\t",
				      "user.%41 \xc3\xa4\xff", "user.,:{}" };
	char *text = NULL;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		text = with(text,
			    &(struct xattr_change){ names[i], names[i],
						    strlen(names[i]), 0 });
	for (const char *p = text; *p; p++)
		assert_true(*p >= ' ' && *p < 127);
	for (size_t i = 0; i < 4; i++)
		expect(text, names[i], names[i], strlen(names[i]));
	free(text);
}

static void no_more_than_fits(void **state)
{
	char value[XATTRS_MAX] = { 0 }, *text = NULL, *more;
	size_t most = (XATTRS_MAX - strlen("{\"user.a\":\"\"}")) / 4 * 3;

	(void)state;
	text = with(text, &(struct xattr_change){ "user.a", value, most, 0 });
	expect(text, "user.a", value, most);
	assert_true(strlen(text) <= XATTRS_MAX);
	assert_int_equal(xattrs_change(text,
				       &(struct xattr_change){ "user.a", value,
							       most + 3, 0 },
				       &more),
			 -ENOSPC);
	assert_int_equal(
		xattrs_change(text,
			      &(struct xattr_change){ "user.b", "b", 1, 0 },
			      &more),
		-ENOSPC);
	free(text);
}

static void what_is_no_such_text(void **state)
{
	const char *const texts[] = { "",
				      "{",
				      "[]",
				      "{\"a",
				      "{\"a\":1}",
				      "{\"a\":\"eA",
				      "%00",
				      "{\"\\u12\":\"\"}",
				      "\"a\":\"\"",
				      "{\"a\\",
				      "{\"\\uzzzz\":\"\"}",
				      "{,}" };
	struct bytes b = BYTES_INIT;
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(xattrs_list(texts[i], &b), 0);
		assert_int_equal(b.len, 0);
		assert_int_equal(xattrs_get(texts[i], "a", &b), -ENODATA);
		assert_int_equal(xattrs_change(texts[i],
					       &(struct xattr_change){
						       "user.x", "x", 1, 0 },
					       &text),
				 0);
		assert_string_equal(text, "{\"user.x\":\"eA==\"}");
		free(text);
	}
	assert_true(xattrs_equal(NULL, ""));
	assert_false(xattrs_equal(NULL, "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_s3fs_writes_them),
		cmocka_unit_test(changed_and_removed),
		cmocka_unit_test(names_of_any_bytes),
		cmocka_unit_test(no_more_than_fits),
		cmocka_unit_test(what_is_no_such_text),
	};

	return cmocka_run_group_tests_name("xattrs", tests, NULL, NULL);
}
