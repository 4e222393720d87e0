/* Where keys come from, over fakes of the endpoints that give them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/fakekeys.h"

static struct fakekeys f;

static int begin(void **state)
{
	(void)state;
	return fakekeys_begin(&f);
}

static int end(void **state)
{
	(void)state;
	fakekeys_end(&f);
	return 0;
}

/* The keys that there are now, or the error. */
static int get(const char *profile, struct s3_keys *keys,
	       struct store_error *error, char source[S3_CREDENTIALS_SOURCE])
{
	struct s3_credentials_conf conf = fakekeys_conf(&f);
	const struct store_call call = { .error = error };
	struct s3_credentials *c;
	int rc;

	conf.profile = profile;
	memset(error, 0, sizeof(*error));
	rc = s3_credentials_new(&c, &conf, error);
	if (rc != 0)
		return rc;
	rc = s3_credentials_get(c, &call, keys);
	s3_credentials_source(c, source);
	s3_credentials_free(c);
	return rc;
}

static void gives(const char *profile, const char *access, const char *token,
		  const char *from)
{
	char source[S3_CREDENTIALS_SOURCE];
	struct store_error error;
	struct s3_keys keys;

	if (get(profile, &keys, &error, source) != 0)
		fail_msg("%s", error.text);
	assert_string_equal(keys.access_key, access);
	assert_int_equal(keys.secret_key[0], 'S');
	assert_string_equal(keys.session_token, token);
	if (strstr(source, from) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", from, source);
}

static void fails(const char *profile, int rc, const char *text)
{
	char source[S3_CREDENTIALS_SOURCE];
	struct store_error error;
	struct s3_keys keys;
	int got = get(profile, &keys, &error, source);

	if (strstr(error.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, error.text);
	assert_int_equal(got, rc);
	if (rc == -EAGAIN)
		assert_true(error.cause == EIO || error.cause == EHOSTUNREACH ||
			    error.cause == ETIMEDOUT);
}

static void has(const char *all, const char *part)
{
	if (strstr(all, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, all);
}

static void metadata(void **state)
{
	char url[80];

	(void)state;
	fakekeys_set("no_proxy", NULL);
	gives(NULL, "AK1", "TK1", "EC2 metadata at http://127.0.0.1");
	assert_int_equal(scripted_count(f.server), 3);
	(void)snprintf(url, sizeof(url), "%s/", f.url);
	fakekeys_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
	gives(NULL, "AK2", "TK2", "");
	/* Keys that ended are used on: it is known to give such. */
	f.lasts_s = -100;
	gives(NULL, "AK3", "TK3", "");
	f.token_text = "";
	f.lasts_s = 0;
	gives(NULL, "AK4", "", "");
	/* No version 1: without a token, nothing is asked for. */
	fakekeys_status(&f, 403, NULL);
	f.given = scripted_count(f.server);
	fails(NULL, -EACCES, "metadata turned on?");
	assert_int_equal(scripted_count(f.server), f.given + 1);
	fakekeys_status(&f, 404, NULL);
	fails(NULL, -EACCES, "version 2");
	fakekeys_status(&f, 500, NULL);
	fails(NULL, -EAGAIN, "EC2 metadata");
	fakekeys_status(&f, 0, "no JSON");
	fails(NULL, -EACCES, "no JSON object");
	fakekeys_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
	fails(NULL, -EACCES, "hop limit");
	fakekeys_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "file:///etc");
	fails(NULL, -EACCES, "not a URL");
	fakekeys_set("AWS_EC2_METADATA_DISABLED", "TRUE");
	fails(NULL, -ENOENT, "turned off");
}

static void containers(void **state)
{
	static const char *const far[] = {
		"http://127.0.0.1.example.com/x",
		"http://169.254.170.2.x/",
		"http://10.0.0.1/",
		"http://[::2]/",
		"http://user@127.0.0.1/",
		"http://127.1/",
		"http://169.254.170.2\\@x/",
		"http://[fd00:ec2::24]/",
		"ftp://127.0.0.1/",
		"http://[::1/",
	};
	char url[96];
	size_t i;

	(void)state;
	fakekeys_set("no_proxy", NULL);
	(void)snprintf(url, sizeof(url), "%s/container", f.url);
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	gives(NULL, "AK1", "TK1", "container credentials at http://127.0.0.1");
	assert_string_equal(f.authorization, "");
	fakekeys_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc");
	gives(NULL, "AK2", "TK2", "");
	assert_string_equal(f.authorization, "Basic abc");
	/* The file wins, and is read each time. */
	fakekeys_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f.token);
	fails(NULL, -EACCES, "cannot open");
	fakekeys_write(f.token, "first\n");
	gives(NULL, "AK3", "TK3", "");
	assert_string_equal(f.authorization, "first");
	fakekeys_write(f.token, "second");
	gives(NULL, "AK4", "TK4", "");
	assert_string_equal(f.authorization, "second");
	fakekeys_write(f.token, "a\nx-evil: b");
	fails(NULL, -EINVAL, "one line");
	fakekeys_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NULL);
	f.lasts_s = -1;
	fails(NULL, -EIO, "ended 1 s ago");
	fakekeys_status(&f, 503, NULL);
	fails(NULL, -EAGAIN, "503");
	fakekeys_status(&f, 403, NULL);
	fails(NULL, -EACCES, "403");
	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", far[i]);
		fails(NULL, -EINVAL, "FULL_URI");
	}
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "relative");
	fails(NULL, -EINVAL, "slash");
}

static void hostile_json(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{\"AccessKeyId\":\"A\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"} x",
		"{\"AccessKeyId\":\"A\",\"AccessKeyId\":\"B\","
		"\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":1,\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":\"A\\r\\nx: y\",\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":\"A\\u0000\",\"SecretAccessKey\":\"S\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
		"\"Expiration\":\"soon\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
		"\"Token\":{}}",
		"{\"Code\":\"Failed\"}",
	};
	char *big = malloc(70000);
	char url[96];
	size_t i;

	(void)state;
	assert_non_null(big);
	(void)snprintf(url, sizeof(url), "%s/container", f.url);
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char source[S3_CREDENTIALS_SOURCE];
		struct store_error error;
		struct s3_keys keys;
		int rc;

		fakekeys_status(&f, 0, bad[i]);
		rc = get(NULL, &keys, &error, source);
		assert_true(rc == -EIO || rc == -EINVAL);
		assert_true(error.text[0] != '\0');
		assert_null(strstr(error.text, "\"A\""));
	}
	memset(big, '[', 69999);
	big[65000] = '\0';
	fakekeys_status(&f, 0, big);
	fails(NULL, -EIO, "no JSON object");
	fakekeys_status(&f, 0,
			"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
			"\"Token\":null,\"More\":[{}]}");
	gives(NULL, "A", "", "container");
	free(big);
}

static void web_identity(void **state)
{
	(void)state;
	fakekeys_set("AWS_WEB_IDENTITY_TOKEN_FILE", f.token);
	fakekeys_set("AWS_ROLE_ARN", "arn:aws:iam::1:role/r+w");
	fails(NULL, -EACCES, "cannot open");
	fakekeys_write(f.token, "JWT.1/+\n");
	gives(NULL, "AK1", "TK1", "role arn:aws:iam::1:role/r+w");
	assert_string_equal(f.authorization, "");
	has(f.body, "Action=AssumeRoleWithWebIdentity&");
	has(f.body, "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr%2Bw&");
	has(f.body, "&RoleSessionName=deltaglider-1700000000&");
	has(f.body, "&Version=2011-06-15&WebIdentityToken=JWT.1%2F%2B");
	fakekeys_set("AWS_ROLE_SESSION_NAME", "me");
	fakekeys_write(f.token, "JWT.2");
	gives(NULL, "AK2", "TK2", "");
	has(f.body, "&RoleSessionName=me&");
	has(f.body, "=JWT.2");
	/* The same in a profile, which wins if it was asked for. */
	fakekeys_write(f.config,
		       "[profile w]\nrole_arn = arn:w\n"
		       "web_identity_token_file = %s\n"
		       "role_session_name = in-profile\n",
		       f.token);
	gives("w", "AK3", "TK3", "role arn:w");
	has(f.body, "&RoleSessionName=in-profile&");
}

static void roles(void **state)
{
	(void)state;
	fakekeys_write(f.credentials, "[base]\naws_access_key_id = BA\n"
				      "aws_secret_access_key = SB\n"
				      "aws_session_token = BT\n"
				      "[self]\naws_access_key_id = SA\n"
				      "aws_secret_access_key = SS\n");
	fakekeys_write(f.config,
		       "[profile a]\nrole_arn = arn:a\nsource_profile = b\n"
		       "duration_seconds = 900\nexternal_id = e/1\n"
		       "region = eu-west-7\n"
		       "[profile b]\nrole_arn = arn:b\nsource_profile = base\n"
		       "[profile base]\nrole_arn = arn:not-this\n"
		       "source_profile = a\n"
		       "[profile self]\nrole_arn = arn:self\n"
		       "source_profile = self\n");
	gives("b", "AK1", "TK1", "role arn:b");
	has(f.authorization, "Credential=BA/20231114/us-east-1/sts/");
	has(f.authorization, "x-amz-security-token");
	assert_string_equal(f.security_token, "BT");
	gives("a", "AK3", "TK3", "role arn:a");
	has(f.authorization, "Credential=AK2/20231114/eu-west-7/sts/");
	assert_string_equal(f.security_token, "TK2");
	has(f.body, "DurationSeconds=900&ExternalId=e%2F1&RoleArn=arn%3Aa&");
	gives("self", "AK4", "TK4", "role arn:self");
	has(f.authorization, "Credential=SA/");
	assert_string_equal(f.security_token, "");
}

static void role_sources(void **state)
{
	char url[96];

	(void)state;
	fakekeys_write(f.config, "[profile env]\nrole_arn = arn:e\n"
				 "credential_source = Environment\n"
				 "[profile ec2]\nrole_arn = arn:2\n"
				 "credential_source = Ec2InstanceMetadata\n"
				 "[profile ecs]\nrole_arn = arn:s\n"
				 "credential_source = EcsContainer\n"
				 "[profile no]\nrole_arn = arn:n\n"
				 "credential_source = Elsewhere\n");
	fails("env", -EINVAL, "AWS_ACCESS_KEY_ID");
	fails("ecs", -EACCES, "RELATIVE_URI");
	fails("no", -EINVAL, "Ec2InstanceMetadata");
	fakekeys_set("AWS_ACCESS_KEY_ID", "EA");
	fakekeys_set("AWS_SECRET_ACCESS_KEY", "SE");
	gives("env", "AK1", "TK1", "arn:e");
	has(f.authorization, "Credential=EA/");
	gives("ec2", "AK3", "TK3", "arn:2");
	has(f.authorization, "Credential=AK2/");
	(void)snprintf(url, sizeof(url), "%s/container", f.url);
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	gives("ecs", "AK5", "TK5", "arn:s");
	has(f.authorization, "Credential=AK4/");
	/* The lot of all: keys in the environment win, a profile aside. */
	gives(NULL, "EA", "", "environment");
}

static void bad_profiles(void **state)
{
	(void)state;
	fakekeys_write(f.config,
		       "[profile a]\nrole_arn = arn:a\nsource_profile = b\n"
		       "[profile b]\nrole_arn = arn:b\nsource_profile = c\n"
		       "[profile c]\nrole_arn = arn:c\nsource_profile = a\n"
		       "[profile own]\nrole_arn = arn:o\nsource_profile = own\n"
		       "[profile lost]\nrole_arn = arn:l\n"
		       "source_profile = nobody\n"
		       "[profile mfa]\nrole_arn = arn:l\nsource_profile = a\n"
		       "mfa_serial = arn:m\n"
		       "[profile both]\nrole_arn = arn:l\nsource_profile = a\n"
		       "credential_source = Environment\n"
		       "[profile long]\nrole_arn = arn:l\n"
		       "credential_source = Environment\n"
		       "duration_seconds = 9e9\n"
		       "[profile sso]\nsso_session = s\n"
		       "[profile old]\nsso_start_url = https://x\n"
		       "[profile login]\nlogin_session = s\n"
		       "[profile onsso]\nrole_arn = arn:l\n"
		       "source_profile = sso\n"
		       "[profile none]\nrole_arn = arn:l\n");
	fails("a", -EINVAL, "circle: a -> b -> c -> a");
	fails("own", -EINVAL, "circle: own -> own");
	fails("lost", -EINVAL, "no profile \"nobody\"");
	fails("mfa", -EINVAL, "mfa_serial");
	fails("both", -EINVAL, "give one");
	fails("long", -EINVAL, "duration_seconds");
	fails("sso", -EINVAL, "aws configure export-credentials --profile sso");
	fails("old", -EINVAL, "credential_process");
	fails("login", -EINVAL, "login_session");
	fails("onsso", -EINVAL, "--profile sso");
	fails("none", -EINVAL, "web_identity_token_file");
	assert_int_equal(scripted_count(f.server), 0);
}

static void bad_sts(void **state)
{
	static const char *const bad[] = {
		"",
		"<html>",
		"hello",
		"<a/>",
		"<!DOCTYPE x [<!ENTITY a \"b\">]><AssumeRoleResponse/>",
		"<AssumeRoleResponse><AssumeRoleResult><Credentials>"
		"<AccessKeyId>A</AccessKeyId></Credentials></AssumeRoleResult>"
		"</AssumeRoleResponse>",
		"<AssumeRoleWithWebIdentityResponse>"
		"<AssumeRoleWithWebIdentityResult><Credentials>"
		"<AccessKeyId>A</AccessKeyId><SecretAccessKey>S"
		"</SecretAccessKey></Credentials>"
		"</AssumeRoleWithWebIdentityResult>"
		"</AssumeRoleWithWebIdentityResponse>",
	};
	static const char xml_error[] =
		"<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code>"
		"<Message>because</Message></Error></ErrorResponse>";
	char text[256];
	size_t i;

	(void)state;
	fakekeys_write(f.credentials, "[b]\naws_access_key_id = BA\n"
				      "aws_secret_access_key = SB\n");
	fakekeys_write(f.config, "[profile a]\nrole_arn = arn:a\n"
				 "source_profile = b\n");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fakekeys_status(&f, 200, bad[i]);
		fails("a", i == 5 ? -EINVAL : -EIO, "STS, for role arn:a");
	}
	(void)snprintf(text, sizeof(text), xml_error, "AccessDenied");
	fakekeys_status(&f, 403, text);
	fails("a", -EACCES, "AccessDenied: because");
	(void)snprintf(text, sizeof(text), xml_error, "Throttling");
	fakekeys_status(&f, 400, text);
	fails("a", -EAGAIN, "Throttling");
	fakekeys_status(&f, 403,
			"<Error><Code>NoSuchEntity</Code>"
			"<Message>m</Message></Error>");
	fails("a", -EACCES, "NoSuchEntity: m");
	fakekeys_status(&f, 502, "<html>");
	fails("a", -EAGAIN, "502");
	fakekeys_status(&f, 0, NULL);
	f.lasts_s = -7;
	fails("a", -EIO, "ended 7 s ago");
	fakekeys_set("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1");
	fails("a", -EAGAIN, "cannot connect to STS");
	fakekeys_set("AWS_ENDPOINT_URL_STS", "sts.example.com");
	fails("a", -EINVAL, "AWS_ENDPOINT_URL_STS");
	fakekeys_set("AWS_ENDPOINT_URL_STS", NULL);
	fakekeys_write(f.config, "[profile a]\nrole_arn = arn:a\n"
				 "source_profile = b\nregion = x.evil.com/\n");
	fails("a", -EINVAL, "region");
}

/* A program that does `what`, a line of shell. */
static void program(const char *what)
{
	fakekeys_write(f.program, "#!/bin/sh\n%s\n", what);
	assert_int_equal(chmod(f.program, 0700), 0);
}

#define KEYS "\"AccessKeyId\":\"PA\",\"SecretAccessKey\":\"SP\""

static void process(void **state)
{
	(void)state;
	fakekeys_write(
		f.config,
		"[profile p]\ncredential_process = %s 'two words' \"$x\" "
		"; echo\n"
		"[profile role]\nrole_arn = arn:r\nsource_profile = p\n"
		"[profile bad]\ncredential_process = \"open\n"
		"[profile none]\ncredential_process = /nowhere/at/all\n",
		f.program);
	/* A comment ends a line of these files, and no shell sees one. */
	program("[ \"$1\" = 'two words' ] && [ \"$2\" = '$x' ] || exit 9\n"
		"echo '{\"Version\":1," KEYS ",\"SessionToken\":\"PT\"}'");
	gives("p", "PA", "PT", "credential_process of profile p");
	gives("role", "AK1", "TK1", "arn:r");
	has(f.authorization, "Credential=PA/");
	program("echo '{\"Version\":1," KEYS
		",\"Expiration\":\"2023-11-15T00:00:00+00:00\"}'");
	gives("p", "PA", "", "");
	program("echo '{\"Version\":1," KEYS
		",\"Expiration\":\"2023-01-15T00:00:00Z\"}'");
	fails("p", -EIO, "ended");
	program("echo '{" KEYS "}'");
	fails("p", -EIO, "Version");
	program("echo '{\"Version\":2," KEYS "}'");
	fails("p", -EIO, "Version");
	program("echo '{\"Version\":\"1\"," KEYS "}'");
	fails("p", -EIO, "Version");
	program("echo 'please log in'");
	fails("p", -EIO, "no JSON object");
	program("exit 0");
	fails("p", -EIO, "no JSON object");
	program("echo 'log in first' >&2; echo more >&2; exit 3");
	fails("p", -EIO, "exit status 3: log in first");
	program("yes complaint | head -c 1000000 >&2; exit 4");
	fails("p", -EIO, "exit status 4: complaint");
	program("yes");
	fails("p", -EFBIG, "65536");
	program("kill -9 $$");
	fails("p", -EIO, "signal 9");
	fails("bad", -EINVAL, "quote");
	fails("none", -EACCES, "cannot run it");
}

static int64_t real_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int is_late(void *arg)
{
	return real_ms() > *(int64_t *)arg;
}

static void process_hangs(void **state)
{
	struct s3_credentials_conf conf = fakekeys_conf(&f);
	int64_t start = real_ms(), until = start + 300;
	struct store_error error;
	const struct store_call call = { .cancel = is_late,
					 .cancel_arg = &until,
					 .error = &error };
	struct s3_credentials *c;
	struct s3_keys keys;

	(void)state;
	fakekeys_write(f.config, "[default]\ncredential_process = %s\n",
		       f.program);
	program("sleep 100");
	assert_int_equal(s3_credentials_new(&c, &conf, NULL), 0);
	assert_int_equal(s3_credentials_get(c, &call, &keys), -EINTR);
	has(error.text, "interrupted");
	/* It goes on for others, but not when there are none any more. */
	s3_credentials_free(c);
	assert_true(real_ms() - start < 10000);
}

static void order(void **state)
{
	char url[96];

	(void)state;
	gives(NULL, "AK1", "TK1", "EC2 metadata");
	(void)snprintf(url, sizeof(url), "%s/container", f.url);
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	gives(NULL, "AK2", "TK2", "container");
	/* A profile without keys is no source of any. */
	fakekeys_write(f.config, "[default]\nregion = x\n");
	gives(NULL, "AK3", "TK3", "container");
	fakekeys_write(f.credentials, "[default]\naws_access_key_id = DA\n"
				      "aws_secret_access_key = SD\n");
	gives(NULL, "DA", "", "profile default");
	fakekeys_set("AWS_WEB_IDENTITY_TOKEN_FILE", f.token);
	fakekeys_set("AWS_ROLE_ARN", "arn:w");
	fakekeys_write(f.token, "JWT");
	gives(NULL, "AK4", "TK4", "arn:w");
	gives("default", "DA", "", "profile default");
	fakekeys_set("AWS_ACCESS_KEY_ID", "EA");
	fakekeys_set("AWS_SECRET_ACCESS_KEY", "SE");
	gives(NULL, "EA", "", "environment");
	gives("default", "DA", "", "profile default");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(metadata, begin, end),
		cmocka_unit_test_setup_teardown(containers, begin, end),
		cmocka_unit_test_setup_teardown(hostile_json, begin, end),
		cmocka_unit_test_setup_teardown(web_identity, begin, end),
		cmocka_unit_test_setup_teardown(roles, begin, end),
		cmocka_unit_test_setup_teardown(role_sources, begin, end),
		cmocka_unit_test_setup_teardown(bad_profiles, begin, end),
		cmocka_unit_test_setup_teardown(bad_sts, begin, end),
		cmocka_unit_test_setup_teardown(process, begin, end),
		cmocka_unit_test_setup_teardown(process_hangs, begin, end),
		cmocka_unit_test_setup_teardown(order, begin, end),
	};

	return cmocka_run_group_tests_name("credsources", tests, NULL, NULL);
}
