#include "tests/support/fakekeys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ROLES "/latest/meta-data/iam/security-credentials/"

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AWS_PROFILE",
	"AWS_ROLE_ARN",
	"AWS_ROLE_SESSION_NAME",
	"AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_DISABLED",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
	"AWS_ENDPOINT_URL",
};

static void answer(struct scripted_reply *r, int status, const char *body)
{
	r->status = status;
	r->body_len = strlen(body);
	assert_true(r->body_len < sizeof(r->body));
	memcpy(r->body, body, r->body_len);
}

static void end_text(const struct fakekeys *f, char out[64])
{
	time_t end = (time_t)(f->now_ms / 1000 + f->lasts_s);
	struct tm tm;

	out[0] = '\0';
	if (f->lasts_s != 0)
		(void)strftime(out, 64, "%Y-%m-%dT%H:%M:%SZ",
			       gmtime_r(&end, &tm));
}

/* `action`: of STS; "": the JSON of the others. */
static void give(struct fakekeys *f, const char *action,
		 struct scripted_reply *r)
{
	char token[32], end[64], body[2048];
	unsigned n = ++f->given;

	f->asked++;
	(void)usleep(f->delay_ms * 1000);
	if (f->raw != NULL) {
		answer(r, 200, f->raw);
		return;
	}
	end_text(f, end);
	(void)snprintf(token, sizeof(token), "TK%u", n);
	if (f->token_text != NULL)
		(void)snprintf(token, sizeof(token), "%s", f->token_text);
	if (*action)
		(void)snprintf(
			body, sizeof(body),
			"<%sResponse xmlns=\"https://sts.amazonaws.com/\"><%sResult>"
			"<Credentials><AccessKeyId>AK%u</AccessKeyId>"
			"<SecretAccessKey>SK%u</SecretAccessKey>"
			"<SessionToken>%s</SessionToken>"
			"<Expiration>%s</Expiration></Credentials></%sResult>"
			"<ResponseMetadata><RequestId>x</RequestId>"
			"</ResponseMetadata></%sResponse>",
			action, action, n, n, token, end, action, action);
	else
		(void)snprintf(body, sizeof(body),
			       "{\"Code\":\"Success\",\"AccessKeyId\":\"AK%u\","
			       "\"SecretAccessKey\":\"SK%u\",\"Token\":\"%s\","
			       "\"Expiration\":\"%s\"}",
			       n, n, token, end);
	answer(r, 200, body);
}

static void sts(struct fakekeys *f, struct scripted_reply *r)
{
	const char *web = "Action=AssumeRoleWithWebIdentity&";
	int is_web = strncmp(f->body, web, strlen(web)) == 0;

	give(f, is_web ? "AssumeRoleWithWebIdentity" : "AssumeRole", r);
}

static void metadata(struct fakekeys *f, struct scripted_reply *r)
{
	if (strcmp(f->method, "PUT") == 0) {
		if (strcmp(f->target, "/latest/api/token") != 0)
			answer(r, 404, "");
		else if (strcmp(f->metadata_ttl, "21600") != 0)
			answer(r, 400, "");
		else
			answer(r, 200, "METATOKEN");
	} else if (strcmp(f->metadata_token, "METATOKEN") != 0) {
		answer(r, 401, "");
	} else if (strcmp(f->target, ROLES) == 0) {
		answer(r, 200, "the-role\n");
	} else if (strcmp(f->target, ROLES "the-role") == 0) {
		give(f, "", r);
	} else {
		answer(r, 404, "");
	}
}

static void serve(void *arg, const struct scripted_request *req,
		  struct scripted_reply *r)
{
	struct fakekeys *f = arg;

	pthread_mutex_lock(&f->mutex);
	(void)snprintf(f->method, sizeof(f->method), "%s", req->method);
	(void)snprintf(f->target, sizeof(f->target), "%.255s", req->target);
	(void)snprintf(f->body, sizeof(f->body), "%.*s", (int)req->body_len,
		       req->body != NULL ? req->body : "");
	scripted_header(req, "authorization", f->authorization,
			sizeof(f->authorization));
	scripted_header(req, "x-amz-security-token", f->security_token,
			sizeof(f->security_token));
	scripted_header(req, "x-aws-ec2-metadata-token", f->metadata_token,
			sizeof(f->metadata_token));
	scripted_header(req, "x-aws-ec2-metadata-token-ttl-seconds",
			f->metadata_ttl, sizeof(f->metadata_ttl));
	if (f->status != 0)
		answer(r, f->status, f->raw != NULL ? f->raw : "");
	else if (strcmp(req->method, "POST") == 0)
		sts(f, r);
	else if (strcmp(req->target, "/container") == 0)
		give(f, "", r);
	else
		metadata(f, r);
	pthread_mutex_unlock(&f->mutex);
}

void fakekeys_set(const char *name, const char *value)
{
	assert_int_equal(
		value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

int fakekeys_begin(struct fakekeys *f)
{
	size_t i;

	memset(f, 0, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/dg-fakekeys-XXXXXX");
	if (mkdtemp(f->dir) == NULL || pthread_mutex_init(&f->mutex, NULL) ||
	    scripted_new(&f->server, serve, f) != 0)
		return -1;
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u",
		       scripted_port(f->server));
	(void)snprintf(f->credentials, sizeof(f->credentials), "%s/credentials",
		       f->dir);
	(void)snprintf(f->config, sizeof(f->config), "%s/config", f->dir);
	(void)snprintf(f->token, sizeof(f->token), "%s/token", f->dir);
	(void)snprintf(f->program, sizeof(f->program), "%s/program", f->dir);
	f->now_ms = 1700000000000;
	f->lasts_s = 3600;
	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		fakekeys_set(variables[i], NULL);
	fakekeys_set("AWS_SHARED_CREDENTIALS_FILE", f->credentials);
	fakekeys_set("AWS_CONFIG_FILE", f->config);
	fakekeys_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", f->url);
	fakekeys_set("AWS_ENDPOINT_URL_STS", f->url);
	/*
	 * Metadata must not go through one, whatever is set; nothing listens
	 * there.  STS may, but not through that.
	 */
	fakekeys_set("http_proxy", "http://127.0.0.1:1");
	fakekeys_set("no_proxy", "*");
	return 0;
}

void fakekeys_end(struct fakekeys *f)
{
	scripted_free(f->server);
	(void)unlink(f->credentials);
	(void)unlink(f->config);
	(void)unlink(f->token);
	(void)unlink(f->program);
	assert_int_equal(rmdir(f->dir), 0);
	pthread_mutex_destroy(&f->mutex);
}

void fakekeys_write(const char *path, const char *fmt, ...)
{
	FILE *out = fopen(path, "w");
	va_list ap;

	assert_non_null(out);
	va_start(ap, fmt);
	assert_true(vfprintf(out, fmt, ap) >= 0);
	va_end(ap);
	assert_int_equal(fclose(out), 0);
}

void fakekeys_pass(struct fakekeys *f, int s)
{
	f->now_ms += s * 1000LL;
}

void fakekeys_status(struct fakekeys *f, int status, const char *raw)
{
	pthread_mutex_lock(&f->mutex);
	f->status = status;
	f->raw = raw;
	pthread_mutex_unlock(&f->mutex);
}

static int64_t clock_ms(void *arg, clockid_t id)
{
	struct fakekeys *f = arg;

	(void)id;
	return f->now_ms;
}

struct s3_credentials_conf fakekeys_conf(struct fakekeys *f)
{
	return (struct s3_credentials_conf){ .clock_ms = clock_ms,
					     .clock_arg = f };
}
