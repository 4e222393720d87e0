#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "s3/credentials.h"
#include "s3/store.h"

static char dir[] = "/tmp/dg-credentials-XXXXXX";
static char credentials[64], config[64];

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	static const char *const names[] = {
		"AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN",
		"AWS_PROFILE",
		"AWS_ROLE_ARN",
		"AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (unsetenv(names[i]) != 0)
			return -1;
	(void)unlink(credentials);
	(void)unlink(config);
	return setenv("AWS_EC2_METADATA_DISABLED", "true", 1) |
	       setenv("AWS_SHARED_CREDENTIALS_FILE", credentials, 1) |
	       setenv("AWS_CONFIG_FILE", config, 1);
}

static void expect(const struct s3_credentials_conf *conf, const char *access,
		   const char *secret, const char *source)
{
	struct store_error error = { 0 };
	struct s3_credentials *c;
	char from[S3_CREDENTIALS_SOURCE];
	struct s3_keys keys;

	if (s3_credentials_new(&c, conf, &error) != 0)
		fail_msg("%s", error.text);
	assert_int_equal(s3_credentials_get(c, NULL, &keys), 0);
	assert_string_equal(keys.access_key, access);
	assert_string_equal(keys.secret_key, secret);
	s3_credentials_source(c, from);
	assert_non_null(strstr(from, source));
	s3_credentials_free(c);
}

static void expect_error(const struct s3_credentials_conf *conf, int rc,
			 const char *text)
{
	struct store_error error = { 0 };
	struct s3_credentials *c;

	assert_int_equal(s3_credentials_new(&c, conf, &error), rc);
	if (strstr(error.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, error.text);
}

static void order(void **state)
{
	const struct s3_credentials_conf none = { 0 };
	const struct s3_credentials_conf given = { .access_key = "GA",
						   .secret_key = "GS" };
	const struct s3_credentials_conf ci = { .profile = "ci" };

	(void)state;
	expect_error(&none, -ENOENT, "AWS_ACCESS_KEY_ID");
	write_file(config, "[default]\nregion = here\n"
			   "[profile ci]\naws_access_key_id=CA\n"
			   "aws_secret_access_key = CS\n");
	expect_error(&none, -ENOENT, credentials);
	expect(&ci, "CA", "CS", config);
	write_file(credentials, "# comment\n[default]\n"
				"aws_access_key_id = DA\n"
				"aws_secret_access_key = D/S+=\n\n"
				"[ci]\naws_access_key_id=FA\n"
				"aws_secret_access_key=FS ; comment\n");
	expect(&none, "DA", "D/S+=", "profile default in ");
	expect(&ci, "FA", "FS", credentials);
	assert_int_equal(setenv("AWS_PROFILE", "ci", 1), 0);
	expect(&none, "FA", "FS", "profile ci");
	assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "EA", 1), 0);
	expect_error(&none, -EINVAL, "no secret key");
	assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "ES", 1), 0);
	expect(&none, "EA", "ES", "environment");
	expect(&ci, "FA", "FS", "profile ci");
	expect(&given, "GA", "GS", "options");
}

static void settings(void **state)
{
	const struct s3_credentials_conf conf = { .profile = "x" };
	const struct s3_credentials_conf anonymous = { .anonymous = 1,
						       .profile = "x" };
	struct s3_credentials *c;
	struct s3_keys keys;
	char token[1600];
	char file[2048];
	char value[S3_CREDENTIALS_SOURCE];

	(void)state;
	memset(token, 't', sizeof(token) - 1);
	token[sizeof(token) - 1] = '\0';
	(void)snprintf(file, sizeof(file),
		       "[x]\naws_access_key_id=A\r\n"
		       "aws_secret_access_key=S\n"
		       "aws_session_token = %s ; comment\n"
		       "region = first\n",
		       token);
	write_file(credentials, file);
	write_file(config, "[profile y]\nregion = no\n[profile x]\n"
			   "s3 =\n  addressing_style = path\n"
			   "region = second\nendpoint_url = http://h:1");
	assert_int_equal(s3_credentials_new(&c, &conf, NULL), 0);
	assert_int_equal(s3_credentials_get(c, NULL, &keys), 0);
	assert_string_equal(keys.access_key, "A");
	assert_string_equal(keys.session_token, token);
	assert_int_equal(
		s3_credentials_setting(c, "region", value, sizeof(value)), 0);
	assert_string_equal(value, "first");
	assert_int_equal(
		s3_credentials_setting(c, "endpoint_url", value, sizeof(value)),
		0);
	assert_string_equal(value, "http://h:1");
	assert_int_equal(s3_credentials_setting(c, "region", value, 5),
			 -ERANGE);
	assert_int_equal(s3_credentials_setting(c, "nothing", value, 5),
			 -ENOENT);
	s3_credentials_free(c);

	assert_int_equal(s3_credentials_new(&c, &anonymous, NULL), 0);
	assert_int_equal(s3_credentials_get(c, NULL, &keys), -ENOENT);
	s3_credentials_source(c, value);
	assert_string_equal(value, "anonymous");
	assert_int_equal(
		s3_credentials_setting(c, "region", value, sizeof(value)), 0);
	s3_credentials_free(c);
}

static void refuses(void **state)
{
	const struct s3_credentials_conf x = { .profile = "x" };
	const struct s3_credentials_conf half = { .secret_key = "S" };
	const struct s3_credentials_conf blank = { .access_key = "A B",
						   .secret_key = "S" };
	const struct s3_credentials_conf given = { .access_key = "A",
						   .secret_key = "S" };
	char key[200];
	struct s3_credentials_conf big = { .access_key = key,
					   .secret_key = "S" };

	(void)state;
	expect_error(&x, -EINVAL, "no profile \"x\"");
	expect_error(&half, -EINVAL, "no access key");
	expect_error(&blank, -EINVAL, "blank");
	memset(key, 'A', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	expect_error(&big, -EINVAL, "127 is the most");
	write_file(config, "[profile x]\nrole_arn = arn:x\n");
	expect_error(&x, -EINVAL, "role_arn");
	write_file(credentials, "[x]\nno equals sign\n");
	expect_error(&x, -EINVAL, "line 2");
	/* Whoever gives keys does not need the file. */
	expect(&given, "A", "S", "options");
	assert_int_equal(unlink(config), 0);
	write_file(credentials, "[x]\naws_access_key_id=A\n");
	expect_error(&x, -EINVAL, "no secret key");
	assert_int_equal(unlink(credentials), 0);
	assert_int_equal(symlink(".", credentials), 0);
	expect_error(&x, -EINVAL, credentials);
	assert_int_equal(unlink(credentials), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(order, set_up),
		cmocka_unit_test_setup(settings, set_up),
		cmocka_unit_test_setup(refuses, set_up),
	};
	int failed;

	if (mkdtemp(dir) == NULL)
		return 1;
	(void)snprintf(credentials, sizeof(credentials), "%s/credentials", dir);
	(void)snprintf(config, sizeof(config), "%s/config", dir);
	failed = cmocka_run_group_tests_name("credentials", tests, NULL, NULL);
	(void)unlink(credentials);
	(void)unlink(config);
	(void)rmdir(dir);
	return failed;
}
