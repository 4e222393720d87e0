#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "s3/meta.h"

static void sets_and_gets(void **state)
{
	struct meta m = { 0 };
	char out[16];

	(void)state;
	assert_int_equal(meta_get(&m, "a", out, sizeof(out)), -ENOENT);
	assert_int_equal(meta_set(&m, "ab", "1"), 0);
	assert_int_equal(meta_set(&m, "a", "x=y"), 0);
	assert_int_equal(meta_set(&m, "empty", ""), 0);
	assert_int_equal(meta_get(&m, "a", out, sizeof(out)), 0);
	assert_string_equal(out, "x=y");
	assert_int_equal(meta_get(&m, "empty", out, sizeof(out)), 0);
	assert_string_equal(out, "");
	assert_int_equal(meta_get(&m, "a", out, 3), -ERANGE);
	assert_int_equal(meta_get(&m, "a", out, 4), 0);
	assert_string_equal(m.text, "ab=1\na=x=y\nempty=\n");
	assert_int_equal(m.len, strlen(m.text));

	assert_int_equal(meta_set(&m, "a", "new"), 0);
	assert_string_equal(m.text, "ab=1\nempty=\na=new\n");
	meta_remove(&m, "ab");
	meta_remove(&m, "nothing");
	assert_string_equal(m.text, "empty=\na=new\n");
	assert_int_equal(meta_cost(&m), 5 + 1 + 3 + 2 * 11);
}

static void refuses(void **state)
{
	struct meta m = { 0 };
	char big[META_VALUE_MAX + 1];
	char name[META_NAME_MAX + 1];
	char key[16];
	int n = 0;

	(void)state;
	assert_int_equal(meta_set(&m, "", "x"), -EINVAL);
	assert_int_equal(meta_set(&m, "Upper", "x"), -EINVAL);
	assert_int_equal(meta_set(&m, "a=b", "x"), -EINVAL);
	assert_int_equal(meta_set(&m, "a:b", "x"), -EINVAL);
	assert_int_equal(meta_set(&m, "a", "x\ny"), -EINVAL);
	assert_int_equal(meta_set(&m, "a", "\xc3\xa9"), -EINVAL);
	assert_int_equal(meta_set(&m, "a", "\x7f"), -EINVAL);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(meta_set(&m, name, "x"), -EINVAL);
	assert_int_equal(m.len, 0);

	memset(big, 'v', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(meta_set(&m, "a", big), -ENOSPC);
	big[sizeof(big) - 2] = '\0';
	assert_int_equal(meta_set(&m, "a", big), 0);
	/* Replacing needs no more room than there is after it. */
	assert_int_equal(meta_set(&m, "a", big), 0);
	big[1000] = '\0';
	for (;;) {
		(void)snprintf(key, sizeof(key), "k%d", n);
		if (meta_set(&m, key, big) != 0)
			break;
		n++;
	}
	assert_int_equal(meta_set(&m, key, big), -ENOSPC);
	assert_int_equal(n, 2);
	assert_int_equal(m.len, strlen(m.text));
}

static int join(void *arg, const char *name, const char *value)
{
	char *out = arg;
	size_t len = strlen(out);

	(void)snprintf(out + len, 64 - len, "%s:%s;", name, value);
	return strcmp(name, "stop") == 0 ? 7 : 0;
}

static void visits(void **state)
{
	struct meta m = { 0 };
	char out[64] = "";

	(void)state;
	assert_int_equal(meta_each(&m, join, out), 0);
	assert_int_equal(meta_set(&m, "b", "1"), 0);
	assert_int_equal(meta_set(&m, "a", "=="), 0);
	assert_int_equal(meta_each(&m, join, out), 0);
	assert_string_equal(out, "b:1;a:==;");
	assert_int_equal(meta_set(&m, "stop", ""), 0);
	assert_int_equal(meta_set(&m, "z", "never"), 0);
	out[0] = '\0';
	assert_int_equal(meta_each(&m, join, out), 7);
	assert_string_equal(out, "b:1;a:==;stop:;");
}

static void encodes(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "plain text", "plain text" },
		{ " x ", "%20x%20" },
		{ " ", "%20" },
		{ "100%", "100%25" },
		{ "\xc3\xa9", "%C3%A9" },
		{ "a\nb\x7f", "a%0Ab%7F" },
	};
	unsigned char all[256];
	char enc[800];
	char dec[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].in);

		assert_int_equal(
			meta_encode(enc, sizeof(enc), cases[i].in, len), 0);
		assert_string_equal(enc, cases[i].out);
		assert_int_equal(meta_decode(dec, sizeof(dec), enc), len);
		assert_string_equal(dec, cases[i].in);
		len = strlen(cases[i].out);
		assert_int_equal(
			meta_encode(enc, len, cases[i].in, strlen(cases[i].in)),
			-ERANGE);
		assert_int_equal(meta_decode(dec, strlen(cases[i].in), enc),
				 -ERANGE);
	}
	for (i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	assert_int_equal(meta_encode(enc, sizeof(enc), all, sizeof(all)), 0);
	assert_int_equal(meta_decode(dec, sizeof(dec), enc), sizeof(all));
	assert_memory_equal(dec, all, sizeof(all));
	assert_int_equal(meta_decode(dec, sizeof(dec), "5% off %zz %4"), 13);
	assert_string_equal(dec, "5% off %zz %4");
	assert_int_equal(meta_decode(dec, sizeof(dec), "%c3%A9"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_and_gets),
		cmocka_unit_test(refuses),
		cmocka_unit_test(visits),
		cmocka_unit_test(encodes),
	};

	return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
