#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/keyname.h"

static void comes_back(const char *name, const char *key)
{
	char got[KEYNAME_MAX + 1], back[NAME_MAX + 1];
	size_t len = keyname_encode(got, name);

	assert_int_equal(len, strlen(got));
	if (key)
		assert_string_equal(got, key);
	assert_int_equal(keyname_decode(back, got, len), strlen(name));
	assert_string_equal(back, name);
}

static void utf8_stays_as_it_is(void **state)
{
	static const char *const names[] = { "",
					     "plain",
					     "\xc3\xa4",
					     "\xe2\x82\xac",
					     "\xf0\x9f\x98\x80",
					     "\x7f\x01\n",
					     "\xee\xbd\xbf" /* U+EF7F */,
					     "\xef\x80\x80",
					     "\xed\x9f\xbf",
					     "\xee\x80\x80",
					     "\xf4\x8f\xbf\xbf" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		comes_back(names[i], names[i]);
}

static void other_bytes_are_escaped(void **state)
{
	(void)state;
	comes_back("\x80", "\xee\xbe\x80");
	comes_back("\xbf\xc0\xff", "\xee\xbe\xbf\xee\xbf\x80\xee\xbf\xbf");
	comes_back("a\xe4z", "a\xee\xbf\xa4z");
	/* Cut off, too long, a surrogate, past the end, continued by nothing. */
	comes_back("\xe2\x82", NULL);
	comes_back("\xc0\x80", NULL);
	comes_back("\xe0\x80\xaf", NULL);
	comes_back("\xed\xa0\x80", NULL);
	comes_back("\xf4\x90\x80\x80", NULL);
	comes_back("\xc3(", "\xee\xbf\x83(");
	/* What looks like an escape is one of three bytes. */
	comes_back("\xee\xbe\x80", "\xee\xbf\xae\xee\xbe\xbe\xee\xbe\x80");
	comes_back("\xee\xbf\xbf\xee\xbe", NULL);
}

static void all_bytes_and_lengths(void **state)
{
	char name[NAME_MAX + 1], key[KEYNAME_MAX + 1];
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t len = (size_t)round % (NAME_MAX + 1);

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525 + 1013904223;
			name[i] = (char)(seed >> 24);
			/* Many near the escapes. */
			if (seed & 0x100)
				name[i] = (char)(0xee + (seed >> 24 & 1));
			else if (seed & 0x200)
				name[i] = (char)(0xbe + (seed >> 24 & 1));
			if (!name[i])
				name[i] = 'x';
		}
		name[len] = '\0';
		comes_back(name, NULL);
	}
	memset(name, 0xff, NAME_MAX);
	name[NAME_MAX] = '\0';
	assert_int_equal(keyname_encode(key, name), KEYNAME_MAX);
	comes_back(name, NULL);
	memset(key, 'x', NAME_MAX + 1);
	assert_int_equal(keyname_decode(name, key, NAME_MAX), NAME_MAX);
	assert_int_equal(keyname_decode(name, key, NAME_MAX + 1),
			 -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_stays_as_it_is),
		cmocka_unit_test(other_bytes_are_escaped),
		cmocka_unit_test(all_bytes_and_lengths),
	};

	return cmocka_run_group_tests_name("keyname", tests, NULL, NULL);
}
