/* What people type, and what they are told when it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/config.h"
#include "fs/options.h"
#include "fs/spec.h"
#include "fs/value.h"

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t v;
	} good[] = { { "0", 0 },
		     { "512", 512 },
		     { "64K", 65536 },
		     { "1.5G", 1610612736 },
		     { "2t", (uint64_t)2 << 40 } };
	static const char *const bad[] = { "",    " 1",       "-1", "1KB",
					   "1e9", "0x10",     "K",  "inf",
					   "1 K", "9999999T", "1,5" };
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(value_size(good[i].text, &v), 0);
		assert_int_equal(v, good[i].v);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_size(bad[i], &v), -EINVAL);
}

static void durations_and_ratios(void **state)
{
	uint64_t v;
	double r;

	(void)state;
	assert_int_equal(value_duration("30", &v), 0);
	assert_int_equal(v, 30000);
	assert_int_equal(value_duration("250ms", &v), 0);
	assert_int_equal(v, 250);
	assert_int_equal(value_duration("2h", &v), 0);
	assert_int_equal(v, 7200000);
	assert_int_equal(value_duration("1.5m", &v), 0);
	assert_int_equal(v, 90000);
	assert_int_equal(value_duration("1d", &v), -EINVAL);
	assert_int_equal(value_ratio("0.5", &r), 0);
	assert_int_equal(value_ratio("1", &r), 0);
	assert_int_equal(value_ratio("0", &r), -EINVAL);
	assert_int_equal(value_ratio("1.01", &r), -EINVAL);
	assert_int_equal(value_ratio("0.5x", &r), -EINVAL);
	assert_int_equal(value_octal("027", &v), 0);
	assert_int_equal(v, 027);
	assert_int_equal(value_octal("8", &v), -EINVAL);
	assert_int_equal(value_number("12a", &v), -EINVAL);
}

static int parse(struct options *o, const char *list, char *why)
{
	char *copy = strdup(list);
	int err;

	assert_non_null(copy);
	why[0] = '\0';
	err = options_parse(o, copy, why);
	free(copy);
	return err;
}

static void lists(void **state)
{
	char why[OPTION_WHY];
	struct options o;

	(void)state;
	options_init(&o);
	assert_int_equal(o.delta, 1);
	assert_int_equal(
		parse(&o,
		      "rw,_netdev,nosuid,x-systemd.automount,endpoint=http://h:1,"
		      "max_ratio=0.25,delta=no,foreground,ro,region=a\\,b,noatime",
		      why),
		0);
	assert_string_equal(o.endpoint, "http://h:1");
	assert_string_equal(o.region, "a,b");
	assert_true(o.max_ratio > 0.24 && o.max_ratio < 0.26);
	assert_int_equal(o.delta, 0);
	assert_int_equal(o.foreground, 1);
	assert_int_equal(o.read_only, 1);
	assert_string_equal(o.kernel, "nosuid,noatime");
	options_clear(&o);
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *list, *names;
	} bad[] = { { "cache_sise=1G", "cache_sise" },
		    { "cache_size=huge", "cache_size" },
		    { "cache_size", "cache_size" },
		    { "path_style=maybe", "auto|on|off" },
		    { "max_ratio=2", "max_ratio" },
		    { "delta=perhaps", "yes or no" },
		    { "part_size=1M", "at least" },
		    { "ro,bogus,rw", "bogus" } };
	char why[OPTION_WHY];
	struct options o;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options_init(&o);
		assert_int_equal(parse(&o, bad[i].list, why), -EINVAL);
		assert_non_null(strstr(why, bad[i].names));
		assert_null(strchr(why, '\n'));
		options_clear(&o);
	}
}

static void secrets_stay_secret(void **state)
{
	char list[] = "secret_access_key=TOPSECRET,ro", why[OPTION_WHY];
	struct bytes shown = BYTES_INIT;
	struct options o;

	(void)state;
	options_init(&o);
	assert_int_equal(options_parse(&o, list, why), 0);
	assert_string_equal(o.secret_access_key, "TOPSECRET");
	/* Gone from the command line, and never shown. */
	for (size_t i = 0; i + 9 < sizeof(list); i++)
		assert_memory_not_equal(list + i, "TOPSECRET", 9);
	assert_int_equal(options_show(&o, &shown), 0);
	assert_null(memmem(shown.data, shown.len, "TOPSECRET", 9));
	assert_non_null(
		memmem(shown.data, shown.len, "secret_access_key = set", 23));
	bytes_clear(&shown);
	options_clear(&o);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void the_nearer_source_wins(void **state)
{
	char path[] = "/tmp/dg-options-XXXXXX", why[OPTION_WHY] = "";
	int fd = mkstemp(path);
	struct options o;

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	write_file(path, "[default]\nregion = d\nmax_ratio = 0.1\n"
			 "connections = 3\ntimeout = 5s\n"
			 "[other]\nregion = wrong\n"
			 "[mine]\nregion = m\nmax_ratio = 0.2\n");
	options_init(&o);
	assert_int_equal(parse(&o, "region=o", why), 0);
	assert_int_equal(setenv("DG_MAX_RATIO", "0.3", 1), 0);
	assert_int_equal(options_environment(&o, why), 0);
	assert_int_equal(config_load(&o, path, 1, "mine", why), 0);
	assert_string_equal(o.region, "o");
	assert_true(o.max_ratio > 0.29 && o.max_ratio < 0.31);
	assert_int_equal(o.connections, 3);
	options_clear(&o);

	options_init(&o);
	assert_int_equal(unsetenv("DG_MAX_RATIO"), 0);
	assert_int_equal(config_load(&o, path, 1, "mine", why), 0);
	assert_string_equal(o.region, "m");
	assert_true(o.max_ratio > 0.19 && o.max_ratio < 0.21);
	options_clear(&o);
	(void)unlink(path);
}

static void config_mistakes_are_named(void **state)
{
	char path[] = "/tmp/dg-options-XXXXXX", why[OPTION_WHY];
	int fd = mkstemp(path);
	struct options o;

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	options_init(&o);
	write_file(path, "[default]\n\nregion = r\nnonsense = 1\n");
	assert_int_equal(config_load(&o, path, 1, "b", why), -EINVAL);
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, "line 4"));
	assert_non_null(strstr(why, "nonsense"));
	write_file(path, "[default]\nthis is not ini\n");
	assert_int_equal(config_load(&o, path, 1, "b", why), -EINVAL);
	assert_non_null(strstr(why, "line 2"));
	(void)unlink(path);
	assert_int_equal(config_load(&o, path, 1, "b", why), -ENOENT);
	assert_non_null(strstr(why, path));
	assert_int_equal(config_load(&o, path, 0, "b", why), 0);
	options_clear(&o);
}

static void environment_mistakes_are_named(void **state)
{
	char why[OPTION_WHY];
	struct options o;

	(void)state;
	options_init(&o);
	assert_int_equal(setenv("DG_MAX_RATIO", "lots", 1), 0);
	assert_int_equal(options_environment(&o, why), -EINVAL);
	assert_non_null(strstr(why, "DG_MAX_RATIO"));
	assert_int_equal(unsetenv("DG_MAX_RATIO"), 0);
	options_clear(&o);
}

static void specs(void **state)
{
	static const char *const bad[] = { "",           "ab",
					   "s3://",      "http://bucket",
					   "file://rel", "s3://Bad Name/x",
					   "file:/x",    "/dev/sda" };
	char why[OPTION_WHY];
	struct spec s;

	(void)state;
	assert_int_equal(spec_parse(&s, "s3://bucket", why), 0);
	assert_string_equal(s.bucket, "bucket");
	assert_string_equal(s.prefix, "");
	assert_int_equal(spec_parse(&s, "bucket/a/b//", why), 0);
	assert_string_equal(s.bucket, "bucket");
	assert_string_equal(s.prefix, "a/b/");
	assert_int_equal(spec_parse(&s, "file:///tmp/x", why), 0);
	assert_int_equal(s.local, 1);
	assert_string_equal(s.dir, "/tmp/x");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(spec_parse(&s, bad[i], why), -EINVAL);
		assert_non_null(strstr(why, "s3://BUCKET"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations_and_ratios),
		cmocka_unit_test(lists),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(secrets_stay_secret),
		cmocka_unit_test(the_nearer_source_wins),
		cmocka_unit_test(config_mistakes_are_named),
		cmocka_unit_test(environment_mistakes_are_named),
		cmocka_unit_test(specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
