#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "s3/json.h"

static void reads(void **state)
{
	static const char text[] =
		" {\"a\":\"x\\u00e9\\n\",\"n\":-7,\"z\":null,\"f\":1.5,"
		"\"o\":{\"a\":[]}} ";
	const char *value = "untouched";
	int64_t n = 5;
	struct json *j;

	(void)state;
	assert_int_equal(json_parse(&j, text, sizeof(text) - 1), 0);
	assert_int_equal(json_text(j, "z", &value), -ENOENT);
	assert_int_equal(json_text(j, "none", &value), -ENOENT);
	assert_int_equal(json_text(j, "n", &value), -EIO);
	assert_int_equal(json_text(j, "o", &value), -EIO);
	assert_string_equal(value, "untouched");
	assert_int_equal(json_text(j, "a", &value), 0);
	assert_string_equal(value, "x\xc3\xa9\n");
	assert_int_equal(json_number(j, "a", &n), -EIO);
	assert_int_equal(json_number(j, "f", &n), -EIO);
	assert_int_equal(json_number(j, "z", &n), -ENOENT);
	assert_int_equal(n, 5);
	assert_int_equal(json_number(j, "n", &n), 0);
	assert_int_equal(n, -7);
	json_free(j);
}

static void refuses(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[]",
		"\"a\"",
		"1",
		"null",
		"{}{}",
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":99999999999999999999}",
		"{\"a\":\"\n\"}",
		"// x\n{}",
		"{\"o\":{\"a\":1,\"a\":2}}",
	};
	struct json *j = NULL;
	char *big;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (json_parse(&j, bad[i], strlen(bad[i])) != -EIO)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(json_parse(&j, "{}\0", 3), -EIO);
	big = malloc(JSON_TEXT_MAX + 1);
	assert_non_null(big);
	memset(big, ' ', JSON_TEXT_MAX + 1);
	memcpy(big, "{}", 2);
	assert_int_equal(json_parse(&j, big, JSON_TEXT_MAX + 1), -EIO);
	assert_null(j);
	assert_int_equal(json_parse(&j, big, JSON_TEXT_MAX), 0);
	json_free(j);
	/* As deep as it gets. */
	memset(big, '[', JSON_TEXT_MAX);
	memcpy(big, "{\"a\":", 5);
	assert_int_equal(json_parse(&j, big, JSON_TEXT_MAX), -EIO);
	free(big);
	json_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
