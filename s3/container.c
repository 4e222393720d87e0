/* The keys of a container's role: Amazon ECS, and EKS with Pod Identity. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "s3/credentials_private.h"
#include "s3/error.h"

#define TIMEOUT_S 2
#define RELATIVE  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL      "AWS_CONTAINER_CREDENTIALS_FULL_URI"

int container_configured(void)
{
	return cred_env(RELATIVE) != NULL || cred_env(FULL) != NULL;
}

/* Only these are asked without TLS: nobody on the way reads along. */
static int is_near(const struct cred_url *url)
{
	static const char *const v4[] = { "169.254.170.2", "169.254.170.23" };
	struct in6_addr pod, a6;
	struct in_addr a4, known;
	char host[64];
	size_t len = url->host_len;
	const char *colon;
	size_t i;

	if (url->host[0] == '[') {
		const char *end = memchr(url->host, ']', len);

		len = end != NULL ? (size_t)(end - url->host) - 1 : 0;
		if (len == 0 || len >= sizeof(host))
			return 0;
		memcpy(host, url->host + 1, len);
		host[len] = '\0';
		return inet_pton(AF_INET6, host, &a6) == 1 &&
		       inet_pton(AF_INET6, "fd00:ec2::23", &pod) == 1 &&
		       (IN6_IS_ADDR_LOOPBACK(&a6) ||
			memcmp(&a6, &pod, sizeof(pod)) == 0);
	}
	colon = memchr(url->host, ':', len);
	if (colon != NULL)
		len = (size_t)(colon - url->host);
	if (len >= sizeof(host))
		return 0;
	memcpy(host, url->host, len);
	host[len] = '\0';
	if (strcasecmp(host, "localhost") == 0)
		return 1;
	if (inet_pton(AF_INET, host, &a4) != 1)
		return 0;
	for (i = 0; i < 2; i++)
		if (inet_pton(AF_INET, v4[i], &known) == 1 &&
		    a4.s_addr == known.s_addr)
			return 1;
	return ntohl(a4.s_addr) >> 24 == 127;
}

static int url_find(char *out, size_t cap, const struct store_call *call)
{
	const char *relative = cred_env(RELATIVE);
	const char *full = cred_env(FULL);
	struct cred_url url;
	int n;

	if (relative == NULL && full == NULL)
		return store_fail(call, -ENOENT,
				  "neither " RELATIVE " nor " FULL " is set");
	if (relative != NULL && *relative != '/')
		return store_fail(call, -EINVAL,
				  RELATIVE " does not begin with a slash");
	n = relative != NULL
		    ? snprintf(out, cap, "http://169.254.170.2%s", relative)
		    : snprintf(out, cap, "%s", full);
	if (n < 0 || (size_t)n >= cap || cred_url(&url, out) != 0)
		return store_fail(call, -EINVAL, "%s is not a URL",
				  relative != NULL ? RELATIVE : FULL);
	if (!url.is_https && !is_near(&url))
		return store_fail(call, -EINVAL,
				  FULL
				  ": without https only this machine and "
				  "the addresses of ECS and EKS are asked");
	return 0;
}

/* The value of "authorization", with its NUL; nothing if there is none. */
static int authorization(struct bytes *out, const struct store_call *call)
{
	const char *file = cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");

	if (file != NULL)
		return cred_file(out, file, call);
	if (token == NULL)
		return 0;
	if (strpbrk(token, "\r\n") != NULL)
		return store_fail(call, -EINVAL,
				  "AWS_CONTAINER_AUTHORIZATION_TOKEN has more "
				  "than one line");
	if (bytes_append(out, token, strlen(token) + 1) != 0)
		return store_fail(call, -ENOMEM, "out of memory");
	return 0;
}

static int ask(const char *what, const struct cred_request *req,
	       const struct store_call *call, struct bytes *out)
{
	struct cred_answer answer;
	char why[48];
	int rc;

	rc = cred_http(req, call, &answer);
	if (rc != 0)
		return rc;
	if (answer.status == 200) {
		*out = answer.body;
		return 0;
	}
	bytes_clear(&answer.body);
	(void)snprintf(why, sizeof(why), "status %d", answer.status);
	if (answer.status >= 500 || answer.status == 429)
		return store_again(call, EIO, "%s: %s", what, why);
	return store_fail(call, -EACCES, "%s: %s", what, why);
}

int container_fetch(const struct cred_conf *conf, const struct store_call *call,
		    struct cred_keys *out)
{
	struct bytes token = BYTES_INIT;
	struct sigv4_pair header = { "authorization", NULL };
	char url[2048];
	char what[256];
	struct cred_request req = { .what = what,
				    .method = "GET",
				    .url = url,
				    .headers = &header,
				    .ca_file = conf->ca_file,
				    .timeout_s = TIMEOUT_S };
	struct cred_url parts;
	struct bytes body;
	int rc;

	rc = url_find(url, sizeof(url), call);
	if (rc == 0)
		rc = cred_url(&parts, url); /* it is one by now */
	if (rc == 0)
		rc = authorization(&token, call);
	if (rc != 0)
		return rc;
	/* The path may be all that a caller has to know. */
	(void)snprintf(what, sizeof(what), "container credentials at %.*s",
		       (int)(parts.host + parts.host_len - url), url);
	req.no_proxy = !parts.is_https;
	header.value = (char *)token.data;
	req.headers_len = token.data != NULL;
	rc = ask(what, &req, call, &body);
	bytes_clear(&token);
	if (rc != 0)
		return rc;
	rc = cred_json(out, what, CRED_FORM_ENDPOINT, &body, call);
	return rc == 0 ? cred_current(out, what, conf->now_s, call) : rc;
}
