#include "s3/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/client_private.h"
#include "s3/credentials.h"
#include "s3/error.h"
#include "s3/known_stores.h"
#include "s3/upload_private.h"

#define PART_DEFAULT        ((uint64_t)16 << 20)
#define CONNECTIONS_DEFAULT 8
#define CONNECT_TIMEOUT     5 /* s; also the most that check() may take */
#define TIMEOUT_DEFAULT     60 /* s */

struct s3 *s3_of(struct store *s)
{
	return (struct s3 *)(void *)s;
}

struct store_call s3_unconditional(const struct store_call *call)
{
	struct store_call plain = *call;

	plain.if_match = NULL;
	plain.if_absent = 0;
	return plain;
}

struct store_caps s3_caps(struct s3 *s)
{
	struct store_caps caps;

	pthread_mutex_lock(&s->mutex);
	caps = s->caps;
	pthread_mutex_unlock(&s->mutex);
	return caps;
}

int s3_is_probed(struct s3 *s)
{
	int probed;

	pthread_mutex_lock(&s->mutex);
	probed = s->probed;
	pthread_mutex_unlock(&s->mutex);
	return probed;
}

void s3_etag_header(struct s3 *s, char out[STORE_ETAG_MAX + 2],
		    const char *etag, int puts)
{
	int bare;

	pthread_mutex_lock(&s->mutex);
	bare = puts && s->etag_bare;
	pthread_mutex_unlock(&s->mutex);
	(void)snprintf(out, STORE_ETAG_MAX + 2, bare ? "%.135s" : "\"%.135s\"",
		       etag);
}

struct s3_conditions s3_conditions(struct s3 *s, const struct store_call *call,
				   int keeps_match, int keeps_absent)
{
	int asked = call->if_match != NULL || call->if_absent;
	int kept = (call->if_match == NULL || keeps_match) &&
		   (!call->if_absent || keeps_absent);
	struct s3_conditions c;
	int probed = s3_is_probed(s);

	/* Before a probe nobody knows: ask for it, and look as well. */
	c.send = asked && (kept || !probed);
	c.guard = asked && !kept;
	return c;
}

int s3_guard(struct s3 *s, const char *key, const char *if_match, int if_absent,
	     const struct store_call *call)
{
	struct store_call plain = s3_unconditional(call);
	struct store_stat st;
	int rc;

	rc = s3_head(&s->store, key, &plain, &st);
	if (rc != 0 && rc != -ENOENT)
		return rc;
	if (if_match != NULL &&
	    (rc == -ENOENT || strcmp(st.etag, if_match) != 0))
		return store_fail(call, -ESTALE,
				  "\"%.80s\" was replaced or removed by "
				  "somebody else",
				  key);
	if (if_absent && rc == 0)
		return store_fail(call, -EEXIST, "there is a \"%.80s\" already",
				  key);
	return 0;
}

/* The server answers a list to whoever may read the bucket at all. */
static int s3_check(struct store *store, const struct store_call *call)
{
	struct s3 *s = s3_of(store);
	struct s3_request req = { .method = "GET", .counter = &s->count.list };
	struct result_list list;
	struct s3_answer answer;
	int rc;

	call = call != NULL ? call : &store_call_none;
	s3_query(&req, "list-type", "2");
	s3_query(&req, "max-keys", "1");
	rc = s3_send(s, &req, call, &answer);
	if (rc != 0)
		return rc;
	rc = result_list(&list, answer.body.data, answer.body.len);
	pthread_mutex_lock(&s->mutex);
	s->caps.list_version = list.has_count || list.token != NULL ? 2 : 1;
	pthread_mutex_unlock(&s->mutex);
	result_list_clear(&list);
	s3_answer_clear(&answer);
	if (rc != 0)
		return store_fail(call, rc,
				  "%s answers, but not like S3: is the "
				  "endpoint right?",
				  s->name);
	return 0;
}

static void s3_caps_op(struct store *store, struct store_caps *out)
{
	*out = s3_caps(s3_of(store));
}

static void s3_count(struct store *store, struct store_counters *out)
{
	struct s3 *s = s3_of(store);

	pthread_mutex_lock(&s->mutex);
	*out = s->count;
	pthread_mutex_unlock(&s->mutex);
}

void store_count(struct store *s, struct store_counters *out)
{
	memset(out, 0, sizeof(*out));
	if (s->ops->count != NULL)
		s->ops->count(s, out);
}

static void s3_free(struct store *store)
{
	struct s3 *s = s3_of(store);

	if (store == NULL)
		return;
	http_free(s->http);
	uploads_free(s->uploads);
	s3_object_conf_clear(&s->object);
	pthread_mutex_destroy(&s->mutex);
	free(s->scheme);
	free(s->host);
	free(s->bucket);
	free(s->name);
	free(s);
}

/* A bucket's name that may stand in a host name, and in its certificate. */
static int fits_host(const char *bucket, int https)
{
	const char *p;

	for (p = bucket; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		      (*p == '-' && p != bucket && p[1] != '\0') ||
		      (*p == '.' && !https && p != bucket && p[1] != '\0')))
			return 0;
	return p - bucket >= 3 && p - bucket <= 63;
}

/* Take the endpoint apart: scheme, host, port. */
static int set_endpoint(struct s3 *s, const char *endpoint,
			struct store_error *error)
{
	static const struct {
		const char *scheme, *port;
	} known[] = { { "http", ":80" }, { "https", ":443" } };
	const char *sep = endpoint != NULL ? strstr(endpoint, "://") : NULL;
	size_t scheme_len, len, port_len;
	size_t i;

	if (endpoint == NULL) {
		s->scheme = strdup("https");
		s->name = strdup("https://s3.amazonaws.com");
		return s->scheme != NULL && s->name != NULL ? 0 : -ENOMEM;
	}
	scheme_len = sep != NULL ? (size_t)(sep - endpoint) : 0;
	for (i = 0; i < 2; i++)
		if (strlen(known[i].scheme) == scheme_len &&
		    strncmp(endpoint, known[i].scheme, scheme_len) == 0)
			break;
	if (i == 2)
		return store_error_set(error, -EINVAL,
				       "endpoint \"%.100s\": give it as "
				       "http://HOST[:PORT] or "
				       "https://HOST[:PORT]",
				       endpoint);
	sep += 3;
	len = strcspn(sep, "/?#@ \\");
	if (len == 0 || (sep[len] != '\0' && strcmp(sep + len, "/") != 0))
		return store_error_set(error, -EINVAL,
				       "endpoint \"%.100s\": only a host and a "
				       "port may follow \"%s://\"",
				       endpoint, known[i].scheme);
	/* As it is left out of the header "Host", which is signed. */
	port_len = strlen(known[i].port);
	if (len > port_len &&
	    strncmp(sep + len - port_len, known[i].port, port_len) == 0)
		len -= port_len;
	s->scheme = strdup(known[i].scheme);
	s->host = strndup(sep, len);
	if (s->scheme == NULL || s->host == NULL)
		return -ENOMEM;
	s->name = strndup(endpoint, (size_t)(sep - endpoint) + len);
	return s->name != NULL ? 0 : -ENOMEM;
}

static int ends_in(const char *s, const char *end)
{
	size_t len = strlen(s);
	size_t end_len = strlen(end);

	return len >= end_len && strcmp(s + len - end_len, end) == 0;
}

static int set_bucket(struct s3 *s, const struct s3_conf *conf,
		      struct store_error *error)
{
	int https = strcmp(s->scheme, "https") == 0;
	int is_aws = s->host == NULL || ends_in(s->host, ".amazonaws.com") ||
		     ends_in(s->host, ".amazonaws.com.cn");
	const struct known_store *known =
		s->host != NULL ? known_store_find(s->host) : NULL;
	const char *region = conf->region;
	char guessed[sizeof(s->region)] = "us-east-1";
	size_t len = conf->bucket != NULL ? strlen(conf->bucket) : 0;

	if (len == 0 || len > 255 ||
	    strcspn(conf->bucket, "/?#%\\\"<> \t\r\n") != len)
		return store_error_set(
			error, -EINVAL, "\"%.100s\" is no bucket name",
			conf->bucket != NULL ? conf->bucket : "");
	if (known != NULL) {
		known_store_region(known, s->host, "us-east-1", guessed,
				   sizeof(guessed));
		s->caps.profile = known->name;
	}
	if (region == NULL || *region == '\0')
		region = guessed;
	if (strlen(region) >= sizeof(s->region) ||
	    strcspn(region, "/?#%\\\"<>@: \t\r\n") != strlen(region))
		return store_error_set(error, -EINVAL,
				       "\"%.100s\" is no region", region);
	memcpy(s->region, region, strlen(region) + 1);
	s->in_host = conf->path_style == S3_PATH_STYLE_OFF ||
		     (conf->path_style == S3_PATH_STYLE_AUTO &&
		      (is_aws || (known != NULL && known->in_host)) &&
		      fits_host(conf->bucket, https));
	if (s->in_host && !fits_host(conf->bucket, 0))
		return store_error_set(error, -EINVAL,
				       "bucket \"%.63s\" cannot be part of a "
				       "host name: use path_style=on",
				       conf->bucket);
	s->bucket = strdup(conf->bucket);
	return s->bucket != NULL ? 0 : -ENOMEM;
}

static unsigned or_default(unsigned value, unsigned fallback)
{
	return value != 0 ? value : fallback;
}

/* Whoever listens on the way would have the key. */
static int check_customer_key(const struct s3 *s, const struct s3_conf *conf,
			      struct store_error *error)
{
	size_t len = s->host != NULL ? strcspn(s->host, ":") : 0;

	if (conf->sse_customer_key == NULL || strcmp(s->scheme, "https") == 0 ||
	    (len == 9 && (strncmp(s->host, "127.0.0.1", len) == 0 ||
			  strncmp(s->host, "localhost", len) == 0)))
		return 0;
	return store_error_set(error, -EINVAL,
			       "%.100s: a customer key goes over https:// only",
			       s->name);
}

/* The fields that need nothing but memory; s3_free() undoes any part. */
static int set_conf(struct s3 *s, const struct s3_conf *conf,
		    struct store_error *error)
{
	unsigned timeout_s = or_default(conf->timeout_s, TIMEOUT_DEFAULT);
	unsigned connect_s =
		or_default(conf->connect_timeout_s, CONNECT_TIMEOUT);
	struct http_conf http = {
		.connections =
			or_default(conf->connections, CONNECTIONS_DEFAULT),
		.connect_ms =
			1000 * (connect_s < CONNECT_TIMEOUT ? connect_s
							    : CONNECT_TIMEOUT),
		/* So that there is time for another try. */
		.stall_ms = 500 * timeout_s,
		.ca_file = conf->ca_file,
		.client_cert = conf->client_cert,
		.client_key = conf->client_key,
		.upload_rate = conf->upload_rate,
		.download_rate = conf->download_rate,
	};
	int rc;

	rc = set_endpoint(s, conf->endpoint, error);
	if (rc == 0)
		rc = set_bucket(s, conf, error);
	if (rc == 0)
		rc = check_customer_key(s, conf, error);
	if (rc == 0)
		rc = s3_object_conf_init(&s->object, conf);
	if (rc == 0)
		rc = uploads_new(&s->uploads, s, conf->uploads_prefix);
	if (rc != 0)
		return rc;
	s->part_size = conf->part_size != 0 ? conf->part_size : PART_DEFAULT;
	if (s->part_size < S3_PART_MIN)
		s->part_size = S3_PART_MIN;
	if (s->part_size > S3_PUT_MAX)
		s->part_size = S3_PUT_MAX;
	s->copy_max = conf->copy_max != 0 && conf->copy_max < S3_PUT_MAX
			      ? conf->copy_max
			      : S3_PUT_MAX;
	s->connections = http.connections;
	s->retries = conf->retries;
	s->timeout_s = timeout_s;
	s->requester_pays = conf->requester_pays;
	s->look_will_do = conf->look_will_do;
	http.name = s->name;
	return http_new(&s->http, &http);
}

int s3_client_new(struct store **out, const struct s3_conf *conf,
		  struct s3_credentials *cred, struct store_error *error)
{
	static const struct store_ops ops = {
		.check = s3_check,
		.head = s3_head,
		.get = s3_get,
		.put = s3_put,
		.copy = s3_copy,
		.remove = s3_remove,
		.list = s3_list,
		.probe = s3_probe,
		.caps = s3_caps_op,
		.count = s3_count,
		.free = s3_free,
	};
	struct s3 *s;
	int rc;

	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return store_error_set(error, -ENOMEM, "out of memory");
	if (pthread_mutex_init(&s->mutex, NULL) != 0) {
		free(s);
		return store_error_set(error, -ENOMEM, "out of memory");
	}
	s->store.ops = &ops;
	s->cred = cred;
	rc = set_conf(s, conf, error);
	if (rc != 0) {
		if (rc == -ENOMEM)
			(void)store_error_set(error, rc, "out of memory");
		s3_free(&s->store);
		return rc;
	}
	*out = &s->store;
	return 0;
}
