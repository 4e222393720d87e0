/*
 * The keys of an EC2 instance's role, from its metadata.  Version 2 only: what
 * can be had with a plain GET, a misled web server on the machine can be made
 * to get as well.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "s3/credentials_private.h"
#include "s3/error.h"

#define TIMEOUT_S 1
#define TOKEN_MAX 1024
#define TRIES     2
#define STALE_S   600 /* what it has no newer keys than is used for so long */
#define ROLES     "/latest/meta-data/iam/security-credentials/"

struct imds {
	char base[256];
	char what[300];
	char token[TOKEN_MAX];
};

int imds_disabled(void)
{
	const char *value = cred_env("AWS_EC2_METADATA_DISABLED");

	return value != NULL && strcasecmp(value, "true") == 0;
}

static int base_find(struct imds *m, const struct store_call *call)
{
	const char *given = cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	struct cred_url url;
	size_t len;

	if (given == NULL)
		given = mode != NULL && strcasecmp(mode, "IPv6") == 0
				? "http://[fd00:ec2::254]"
				: "http://169.254.169.254";
	len = strlen(given);
	if (cred_url(&url, given) != 0 || len >= sizeof(m->base))
		return store_fail(call, -EINVAL,
				  "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a "
				  "URL");
	while (len > 0 && given[len - 1] == '/')
		len--;
	memcpy(m->base, given, len);
	m->base[len] = '\0';
	(void)snprintf(m->what, sizeof(m->what), "EC2 metadata at %.200s",
		       m->base);
	return 0;
}

/* 0 for a 200; what another status means. */
static int verdict(const struct imds *m, int status, const char *at,
		   const struct store_call *call)
{
	char why[64];

	if (status == 200)
		return 0;
	(void)snprintf(why, sizeof(why), "status %d for %.40s", status, at);
	if (status >= 500 || status == 429)
		return store_again(call, EIO, "%s: %s", m->what, why);
	return store_fail(call, status == 404 ? -ENOENT : -EACCES, "%s: %s",
			  m->what, why);
}

/* One exchange; what does not answer is asked a second time. */
static int ask(const struct imds *m, const char *method, const char *path,
	       const struct store_call *call, struct bytes *out)
{
	int is_put = strcmp(method, "PUT") == 0;
	const struct sigv4_pair header = {
		is_put ? "x-aws-ec2-metadata-token-ttl-seconds"
		       : "x-aws-ec2-metadata-token",
		is_put ? "21600" : m->token
	};
	char url[1024];
	struct cred_request req = { .what = m->what,
				    .method = method,
				    .url = url,
				    .headers = &header,
				    .headers_len = 1,
				    .timeout_s = TIMEOUT_S,
				    .no_proxy = 1 };
	struct cred_answer answer;
	int rc = -EAGAIN;
	int i;

	if ((size_t)snprintf(url, sizeof(url), "%s%s", m->base, path) >=
	    sizeof(url))
		return store_fail(call, -EIO, "%s: a role's name too long",
				  m->what);
	for (i = 0; i < TRIES && rc == -EAGAIN; i++)
		rc = cred_http(&req, call, &answer);
	if (rc != 0)
		return rc;
	rc = verdict(m, answer.status, path, call);
	if (rc != 0) {
		bytes_clear(&answer.body);
		return rc;
	}
	*out = answer.body;
	return 0;
}

static int token_get(struct imds *m, const struct store_call *call)
{
	struct bytes body = BYTES_INIT;
	int cause;
	int rc;
	size_t i;

	rc = ask(m, "PUT", "/latest/api/token", call, &body);
	if (rc == -EAGAIN) {
		cause = call->error != NULL ? call->error->cause : EIO;
		return store_again(call, cause, "%s: %s", m->what,
				   "no answer: is this an EC2 instance?  In a "
				   "container the instance's hop limit for "
				   "metadata must be 2");
	}
	if (rc == -ENOENT || rc == -EACCES)
		return store_fail(call, rc,
				  "%s: it gives no token, which "
				  "version 2 needs: is metadata "
				  "turned on?",
				  m->what);
	if (rc != 0)
		return rc;
	if (body.len == 0 || body.len >= sizeof(m->token))
		rc = -EIO;
	for (i = 0; i < body.len && rc == 0; i++)
		if (body.data[i] <= 0x20 || body.data[i] > 0x7e)
			rc = -EIO;
	if (rc == 0)
		memcpy(m->token, body.data, body.len + 1);
	else
		(void)store_fail(call, rc, "%s: its token is none", m->what);
	bytes_clear(&body);
	return rc;
}

/* The path of the role's keys: the first line of a list. */
static int role_path(const struct imds *m, const struct store_call *call,
		     struct bytes *path)
{
	struct bytes list = BYTES_INIT;
	size_t len = 0;
	int rc;

	rc = ask(m, "GET", ROLES, call, &list);
	if (rc == -ENOENT)
		return store_fail(call, rc,
				  "%s: no role is attached to the instance",
				  m->what);
	if (rc != 0)
		return rc;
	while (len < list.len && list.data[len] > 0x20)
		len++;
	if (len == 0 || len > 256)
		rc = store_fail(call, -EIO, "%s: no role's name", m->what);
	if (rc == 0) {
		rc = bytes_append_str(path, ROLES);
		if (rc == 0)
			rc = sigv4_encode(path, list.data, len, 0);
		if (rc == 0)
			rc = bytes_append(path, "", 1);
		if (rc != 0)
			(void)store_fail(call, rc, "out of memory");
	}
	bytes_clear(&list);
	return rc;
}

int imds_fetch(const struct cred_conf *conf, const struct store_call *call,
	       struct cred_keys *out)
{
	struct imds m = { .base = "" };
	struct bytes path = BYTES_INIT;
	struct bytes body = BYTES_INIT;
	int rc;

	if (imds_disabled())
		return store_fail(call, -ENOENT,
				  "EC2 metadata is turned off by "
				  "AWS_EC2_METADATA_DISABLED");
	rc = base_find(&m, call);
	if (rc == 0)
		rc = token_get(&m, call);
	if (rc == 0)
		rc = role_path(&m, call, &path);
	if (rc == 0)
		rc = ask(&m, "GET", (char *)path.data, call, &body);
	bytes_clear(&path);
	bytes_wipe(m.token, sizeof(m.token));
	if (rc != 0)
		return rc;
	rc = cred_json(out, m.what, CRED_FORM_ENDPOINT, &body, call);
	if (rc != 0)
		return rc;
	/*
	 * It is known to have troubles in which it gives old keys, which S3
	 * goes on taking.
	 */
	if (out->expires_s != 0 && out->expires_s < conf->now_s + STALE_S)
		out->expires_s = conf->now_s + STALE_S;
	return 0;
}
