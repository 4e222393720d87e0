/* Keys for a role, from the Security Token Service. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "s3/credentials_private.h"
#include "s3/error.h"
#include "s3/xml.h"

#define TIMEOUT_S 10
#define FORM      "application/x-www-form-urlencoded; charset=utf-8"
#define PAIRS_MAX 8

/* One request: what it asks, and what it is sent with. */
struct sts {
	const struct cred_conf *conf;
	const struct store_call *call;
	const char *action;
	const char *what; /* for messages */
	char region[64];
	char url[512];
	char host[256];
	const char *path;
	char session[80];
	struct sigv4_pair pairs[PAIRS_MAX];
	size_t pairs_len;
	struct bytes body;
	char sha[DIGEST_HEX];
	char date[SIGV4_DATE_MAX];
	struct bytes authorization;
	struct sigv4_pair headers[6];
	size_t headers_len;
};

static void pair(struct sts *s, const char *name, const char *value)
{
	if (value != NULL && *value != '\0')
		s->pairs[s->pairs_len++] = (struct sigv4_pair){ name, value };
}

static void header(struct sts *s, const char *name, const char *value)
{
	s->headers[s->headers_len++] = (struct sigv4_pair){ name, value };
}

/* Where to: what is given, or AWS's of the region. */
static int find_endpoint(struct sts *s)
{
	const char *given = cred_env("AWS_ENDPOINT_URL_STS");
	const char *region = s->conf->region;
	struct cred_url url;
	const char *p;
	size_t len;

	if (region == NULL || *region == '\0')
		region = "us-east-1";
	/* It becomes part of a host name. */
	for (p = region; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		      *p == '-'))
			break;
	if (*p != '\0' || strlen(region) >= sizeof(s->region))
		return store_fail(s->call, -EINVAL,
				  "%s: region \"%.60s\" is none: give region=",
				  s->what, region);
	(void)snprintf(s->region, sizeof(s->region), "%s", region);
	if (given == NULL)
		given = cred_env("AWS_ENDPOINT_URL");
	if (given == NULL)
		(void)snprintf(s->url, sizeof(s->url),
			       "https://sts.%s.amazonaws.com%s/", region,
			       strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
	len = given != NULL ? strlen(given) : 0;
	if (len + 2 > sizeof(s->url) ||
	    (given != NULL && cred_url(&url, given) != 0))
		return store_fail(s->call, -EINVAL,
				  "%s: AWS_ENDPOINT_URL_STS is not a URL",
				  s->what);
	if (given != NULL)
		(void)snprintf(s->url, sizeof(s->url), "%s%s", given,
			       *url.path == '\0' ? "/" : "");
	if (cred_url(&url, s->url) != 0)
		return store_fail(s->call, -EINVAL, "%s: no URL", s->what);
	memcpy(s->host, url.host, url.host_len);
	s->host[url.host_len] = '\0';
	s->path = url.path;
	return 0;
}

static int make_body(struct sts *s, const struct sts_role *role)
{
	const char *session = role->session_name;
	uint8_t digest[DIGEST_LEN];
	int rc;

	if (session == NULL)
		(void)snprintf(s->session, sizeof(s->session),
			       "deltaglider-%lld", (long long)s->conf->now_s);
	pair(s, "Action", s->action);
	pair(s, "Version", "2011-06-15");
	pair(s, "RoleArn", role->arn);
	pair(s, "RoleSessionName", session != NULL ? session : s->session);
	pair(s, "DurationSeconds", role->duration_s);
	pair(s, "ExternalId", role->external_id);
	rc = sigv4_query(&s->body, s->pairs, s->pairs_len);
	if (rc == 0)
		rc = digest_buffer(s->body.data, s->body.len, digest);
	if (rc != 0)
		return store_fail(s->call, rc, "%s: %s", s->what,
				  store_strerror(rc));
	hex_encode(s->sha, digest, sizeof(digest));
	header(s, "content-type", FORM);
	return 0;
}

static int sign(struct sts *s, const struct s3_keys *with)
{
	const struct sigv4_scope scope = { with->access_key, with->secret_key,
					   s->region, "sts", s->date };
	struct sigv4_request to_sign = { .method = "POST",
					 .path = s->path,
					 .headers = s->headers,
					 .payload = s->sha };
	int rc;

	rc = sigv4_date(s->date, (time_t)s->conf->now_s);
	header(s, "host", s->host);
	header(s, "x-amz-date", s->date);
	if (with->session_token[0] != '\0')
		header(s, "x-amz-security-token", with->session_token);
	to_sign.headers_len = s->headers_len;
	if (rc == 0)
		rc = sigv4_authorization(&s->authorization, &to_sign, &scope);
	if (rc == 0)
		rc = bytes_append(&s->authorization, "", 1);
	if (rc != 0)
		return store_fail(s->call, rc, "cannot sign a request: %s",
				  store_strerror(rc));
	/* It is signed; cred_http() sends it by itself. */
	s->headers[1] = (struct sigv4_pair){ "authorization",
					     (char *)s->authorization.data };
	return 0;
}

/* What an answer has, good or bad. */
struct answer {
	const char *action;
	char access[128], secret[256], token[4096], expires[40];
	char code[64], message[128];
	int too_long;
};

static void text_take(struct answer *a, char *out, size_t cap, const char *text)
{
	if (strlen(text) >= cap)
		a->too_long = 1;
	else
		memcpy(out, text, strlen(text) + 1);
}

static int on_element(void *arg, const char *path, const char *text)
{
	struct answer *a = arg;
	char root[128];
	size_t len;

	len = (size_t)snprintf(root, sizeof(root),
			       "%sResponse/%sResult/Credentials/", a->action,
			       a->action);
	/* The error of AWS, and that of servers that answer as S3 does. */
	if (strncmp(path, "ErrorResponse/", 14) == 0)
		path += 14;
	if (strcmp(path, "Error/Code") == 0)
		(void)snprintf(a->code, sizeof(a->code), "%s", text);
	else if (strcmp(path, "Error/Message") == 0)
		(void)snprintf(a->message, sizeof(a->message), "%s", text);
	if (strncmp(path, root, len) != 0)
		return 0;
	path += len;
	if (strcmp(path, "AccessKeyId") == 0)
		text_take(a, a->access, sizeof(a->access), text);
	else if (strcmp(path, "SecretAccessKey") == 0)
		text_take(a, a->secret, sizeof(a->secret), text);
	else if (strcmp(path, "SessionToken") == 0)
		text_take(a, a->token, sizeof(a->token), text);
	else if (strcmp(path, "Expiration") == 0)
		text_take(a, a->expires, sizeof(a->expires), text);
	return 0;
}

static int refused(const struct sts *s, int status, const struct answer *a)
{
	static const char *const again[] = {
		"Throttling",           "ThrottlingException",
		"RequestLimitExceeded", "IDPCommunicationError",
		"InternalFailure",      "ServiceUnavailable"
	};
	char why[256];
	size_t i;

	(void)snprintf(why, sizeof(why), "status %d %s: %s", status, a->code,
		       a->message);
	for (i = 0; i < sizeof(again) / sizeof(again[0]); i++)
		if (strcmp(a->code, again[i]) == 0)
			status = 503;
	if (status >= 500 || status == 429)
		return store_again(s->call, EIO, "%s: %s", s->what, why);
	return store_fail(s->call, -EACCES, "%s: %s", s->what, why);
}

static int take(const struct sts *s, const struct answer *a,
		struct cred_keys *out)
{
	const char *const parts[3] = { a->access, a->secret, a->token };
	struct cred_keys k = { .renewable = 1 };
	int rc;

	rc = a->too_long ? -ENOENT : cred_take(&k, s->what, parts, s->call);
	if (rc == -ENOENT)
		rc = store_fail(s->call, -EIO,
				"%s: an answer without keys: is this STS?",
				s->what);
	if (rc == 0 && a->expires[0] != '\0')
		rc = cred_expiry(&k, s->what, a->expires, s->call);
	if (rc == 0)
		rc = cred_current(&k, s->what, s->conf->now_s, s->call);
	(void)snprintf(k.source, sizeof(k.source), "%s", s->what);
	if (rc == 0)
		*out = k;
	bytes_wipe(&k, sizeof(k));
	return rc;
}

static int exchange(struct sts *s, struct cred_keys *out)
{
	const struct cred_request req = { .what = s->what,
					  .method = "POST",
					  .url = s->url,
					  .headers = s->headers,
					  .headers_len = s->headers_len,
					  .body = &s->body,
					  .ca_file = s->conf->ca_file,
					  .timeout_s = TIMEOUT_S };
	struct cred_answer http;
	struct answer *a;
	int rc;

	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return store_fail(s->call, -ENOMEM, "out of memory");
	a->action = s->action;
	rc = cred_http(&req, s->call, &http);
	if (rc != 0)
		goto free_answer;
	rc = xml_parse(http.body.data, http.body.len, on_element, a);
	bytes_clear(&http.body);
	if (http.status != 200)
		rc = refused(s, http.status, a);
	else if (rc != 0)
		(void)store_fail(s->call, rc,
				 "%s: what it answers is no XML: is this STS?",
				 s->what);
	else
		rc = take(s, a, out);
free_answer:
	bytes_wipe(a, sizeof(*a));
	free(a);
	return rc;
}

static struct sts *begin(const struct cred_conf *conf, const char *action,
			 const char *what, const struct store_call *call)
{
	struct sts *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		(void)store_fail(call, -ENOMEM, "out of memory");
		return NULL;
	}
	s->conf = conf;
	s->call = call;
	s->action = action;
	s->what = what;
	return s;
}

static void end(struct sts *s)
{
	bytes_clear(&s->body);
	bytes_clear(&s->authorization);
	free(s);
}

int sts_assume_role(const struct cred_conf *conf, const struct sts_role *role,
		    const struct s3_keys *with, const struct store_call *call,
		    struct cred_keys *out)
{
	char what[S3_CREDENTIALS_SOURCE];
	struct sts *s;
	int rc;

	(void)snprintf(what, sizeof(what), "STS, for role %.120s", role->arn);
	s = begin(conf, "AssumeRole", what, call);
	if (s == NULL)
		return -ENOMEM;
	rc = find_endpoint(s);
	if (rc == 0)
		rc = make_body(s, role);
	if (rc == 0)
		rc = sign(s, with);
	if (rc == 0)
		rc = exchange(s, out);
	end(s);
	return rc;
}

int sts_web_identity(const struct cred_conf *conf, const struct sts_role *role,
		     const struct store_call *call, struct cred_keys *out)
{
	struct bytes token = BYTES_INIT;
	char what[S3_CREDENTIALS_SOURCE];
	struct sts *s;
	int rc;

	(void)snprintf(what, sizeof(what), "STS, for role %.120s", role->arn);
	s = begin(conf, "AssumeRoleWithWebIdentity", what, call);
	if (s == NULL)
		return -ENOMEM;
	rc = find_endpoint(s);
	/* Each time: whoever issues it replaces it before it ends. */
	if (rc == 0)
		rc = cred_file(&token, role->token_file, call);
	if (rc == 0) {
		pair(s, "WebIdentityToken", (char *)token.data);
		rc = make_body(s, role);
	}
	if (rc == 0)
		rc = exchange(s, out);
	bytes_clear(&token);
	end(s);
	return rc;
}
