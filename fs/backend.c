#include "fs/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/format.h"
#include "fs/log.h"
#include "fs/options.h"
#include "fs/spec.h"
#include "s3/client.h"
#include "s3/credentials.h"
#include "s3/local.h"

#define CHECK_MS          8000 /* is it there at all? */
#define KEYS_MS           8000 /* temporary keys, where they are to be had */
#define KEYS_AGAIN_MS     500
#define PROBE_MS          30000 /* some 25 requests to one that is */
#define CONNECT_TIMEOUT_S 5
#define RETRIES           10

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int past_deadline(void *arg)
{
	const uint64_t *deadline = arg;

	return now_ms() > *deadline;
}

static void on_retry(void *arg, const char *verb, const char *key,
		     const struct store_error *why, unsigned attempt)
{
	(void)arg;
	log_warning("%s %s: try %u failed: %s", verb, key, attempt, why->text);
}

/* The endpoint and region of the profile, where nothing else gave one. */
static const char *setting(struct s3_credentials *c, const char *given,
			   const char *name, char *buf, size_t cap)
{
	if (given || s3_credentials_setting(c, name, buf, cap))
		return given;
	return buf;
}

/* Those of a role or a program have to be fetched: see that they can be. */
static int fetch_keys(struct s3_credentials *c, struct store_error *error)
{
	const struct timespec pause = { .tv_nsec = KEYS_AGAIN_MS * 1000000L };
	uint64_t deadline = now_ms() + KEYS_MS;
	const struct store_call call = { .cancel = past_deadline,
					 .cancel_arg = &deadline,
					 .error = error };
	char source[S3_CREDENTIALS_SOURCE];
	struct s3_keys keys;
	int err;

	while ((err = s3_credentials_get(c, &call, &keys)) == -EAGAIN) {
		/* What it says is better than that the time is over. */
		if (now_ms() + KEYS_AGAIN_MS > deadline)
			return error->cause > 0 ? -error->cause : -EIO;
		(void)nanosleep(&pause, NULL);
	}
	bytes_wipe(&keys, sizeof(keys));
	if (err == -ENOENT)
		return 0; /* anonymous */
	if (err == -EINTR) {
		err = -ETIMEDOUT;
		s3_credentials_source(c, source);
		(void)snprintf(error->text, sizeof(error->text),
			       "no keys within %d s: %.120s does not give them",
			       KEYS_MS / 1000, source);
	}
	return err;
}

static int open_client(struct backend *b, const struct spec *spec,
		       const struct options *o, struct store_error *error)
{
	const struct s3_credentials_conf cred = {
		.access_key = o->access_key_id,
		.secret_key = o->secret_access_key,
		.session_token = o->session_token,
		.profile = o->profile,
		.anonymous = (int)o->anonymous,
		.region = o->region,
		.ca_file = o->ca_file,
	};
	struct s3_conf conf = {
		.bucket = spec->bucket,
		.path_style = (enum s3_path_style)o->path_style,
		.ca_file = o->ca_file,
		.part_size = o->part_size,
		.timeout_s = (unsigned)(o->timeout_ms / 1000),
		.connect_timeout_s = CONNECT_TIMEOUT_S,
		.connections = (unsigned)o->connections,
		.retries = RETRIES,
		.on_retry = on_retry,
	};
	struct store *below;
	int err;

	err = s3_credentials_new(&b->credentials, &cred, error);
	if (!err)
		err = fetch_keys(b->credentials, error);
	if (err)
		return err;
	conf.endpoint = setting(b->credentials, o->endpoint, "endpoint_url",
				b->endpoint, sizeof(b->endpoint));
	conf.region = setting(b->credentials, o->region, "region", b->region,
			      sizeof(b->region));
	err = s3_client_new(&below, &conf, b->credentials, error);
	if (err)
		return err;
	err = s3_retry_new(&b->store, below, &conf);
	if (err)
		below->ops->free(below);
	return err;
}

/* The mount must not hang where the server does: one deadline for it all. */
static int validate(struct backend *b, const struct spec *spec,
		    const struct options *o, struct store_error *error)
{
	uint64_t deadline = now_ms() + CHECK_MS;
	struct store_call call = { .cancel = past_deadline,
				   .cancel_arg = &deadline,
				   .error = error };
	struct store *s = b->store;
	char prefix[STORE_KEY_MAX + 32];
	int err;

	err = s->ops->check(s, &call);
	deadline = now_ms() + PROBE_MS;
	if (!err && !o->read_only) {
		(void)snprintf(prefix, sizeof(prefix), "%s.dg/probe/",
			       spec->prefix);
		err = s->ops->probe(s, prefix, &call);
	}
	if (!err)
		err = format_check(s, spec->prefix, !o->read_only, &call);
	if (err == -EINTR) {
		err = -ETIMEDOUT;
		(void)snprintf(
			error->text, sizeof(error->text),
			"%s did not answer in time: is it the right endpoint, and up?",
			o->endpoint ? o->endpoint : "the S3 server");
	}
	return err;
}

int backend_open(struct backend *out, const struct spec *spec,
		 const struct options *o, char *why)
{
	struct backend b = { 0 };
	struct store_error error = { 0 };
	int err;

	err = spec->local ? local_new(&b.store, spec->dir, &error)
			  : open_client(&b, spec, o, &error);
	if (!err)
		err = validate(&b, spec, o, &error);
	if (err) {
		(void)snprintf(why, OPTION_WHY, "%s",
			       error.text[0] ? error.text
					     : strerrordesc_np(-err));
		backend_close(&b);
		return err;
	}
	*out = b;
	return 0;
}

void backend_close(struct backend *b)
{
	if (b->store)
		b->store->ops->free(b->store);
	s3_credentials_free(b->credentials);
	*b = (struct backend){ 0 };
}
