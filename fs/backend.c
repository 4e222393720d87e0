#include "fs/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "crypto/clock.h"
#include "fs/format.h"
#include "fs/keysource.h"
#include "fs/log.h"
#include "fs/options.h"
#include "fs/spec.h"
#include "s3/client.h"
#include "s3/credentials.h"
#include "s3/error.h"
#include "s3/local.h"

#define CHECK_MS          8000 /* is it there at all? */
#define KEYS_MS           8000 /* temporary keys, where they are to be had */
#define KEYS_AGAIN_MS     500
#define PROBE_MS          30000 /* some 25 requests to one that is */
#define CONNECT_TIMEOUT_S 5
#define SSE_KMS           2 /* of the row "sse" */

static int past_deadline(void *arg)
{
	const uint64_t *deadline = arg;

	return clock_ms() > *deadline;
}

static void on_retry(void *arg, const char *verb, const char *key,
		     const struct store_error *why, unsigned attempt)
{
	(void)arg;
	/* One that comes and goes is nobody's business; nor is each of many. */
	if (attempt >= 2 && (attempt & (attempt - 1)) == 0)
		log_warning("%s \"%s\": try %u failed: %s", verb, key, attempt,
			    why->text);
	else
		log_debug("%s \"%s\": try %u failed: %s", verb, key, attempt,
			  why->text);
}

/* The endpoint and region of the profile, where nothing else gave one. */
static const char *setting(struct s3_credentials *c, const char *given,
			   const char *name, char *buf, size_t cap)
{
	if (given || s3_credentials_setting(c, name, buf, cap))
		return given;
	return buf;
}

/* What a row of the table cannot say of itself. */
static int check_options(const struct options *o, struct store_error *error)
{
	static const char *const archives[] = { "GLACIER", "DEEP_ARCHIVE" };

	if (o->client_key && !o->client_cert)
		return store_error_set(
			error, -EINVAL,
			"client_key: give client_cert= as well, whose key it is");
	if (o->sse_kms_key_id && o->sse != SSE_KMS)
		return store_error_set(error, -EINVAL,
				       "sse_kms_key_id: give sse=aws:kms too");
	if (o->sse_customer_key_file && o->sse)
		return store_error_set(
			error, -EINVAL,
			"sse_customer_key_file: not together with sse=");
	for (size_t i = 0; i < sizeof(archives) / sizeof(archives[0]); i++)
		if (o->storage_class &&
		    !strcasecmp(o->storage_class, archives[i]))
			return store_error_set(
				error, -EINVAL,
				"storage_class=%s: what is stored so can only be read after hours: give one that is read at once",
				o->storage_class);
	return 0;
}

/* 0; -errno with the line. */
static int customer_key(const struct options *o, struct aead_key *key,
			struct store_error *error)
{
	const struct keysource source = { .from = KEYSOURCE_FILE,
					  .what = o->sse_customer_key_file };
	char why[OPTION_WHY] = "";
	int err;

	if (!source.what)
		return 0;
	err = keysource_load(&source, key, why);
	return err ? store_error_set(error, err, "sse_customer_key_file: %s",
				     why)
		   : 0;
}

/* Those of a role or a program have to be fetched: see that they can be. */
static int fetch_keys(struct s3_credentials *c, struct store_error *error)
{
	const struct timespec pause = { .tv_nsec = KEYS_AGAIN_MS * 1000000L };
	uint64_t deadline = clock_ms() + KEYS_MS;
	const struct store_call call = { .cancel = past_deadline,
					 .cancel_arg = &deadline,
					 .error = error };
	char source[S3_CREDENTIALS_SOURCE];
	struct s3_keys keys;
	int err;

	while ((err = s3_credentials_get(c, &call, &keys)) == -EAGAIN) {
		/* What it says is better than that the time is over. */
		if (clock_ms() + KEYS_AGAIN_MS > deadline)
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

static int make_credentials(struct backend *b, const struct options *o,
			    struct store_error *error)
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

	return s3_credentials_new(&b->credentials, &cred, error);
}

/* What the options say; the rest is the caller's. */
static struct s3_conf conf_of(const struct spec *spec, const struct options *o)
{
	static const char *const sse[] = { NULL, "AES256", "aws:kms" };

	return (struct s3_conf){
		.bucket = spec->bucket,
		.path_style = (enum s3_path_style)o->path_style,
		.ca_file = o->ca_file,
		.client_cert = o->client_cert,
		.client_key = o->client_key,
		.upload_rate = o->max_upload_rate,
		.download_rate = o->max_download_rate,
		.storage_class = o->storage_class,
		.acl = o->acl,
		.sse = sse[o->sse],
		.sse_kms_key_id = o->sse_kms_key_id,
		.look_will_do = o->exclusive || o->conflict,
		.requester_pays = (int)o->requester_pays,
		.part_size = o->part_size,
		.timeout_s = (unsigned)(o->timeout_ms / 1000),
		.connect_timeout_s = CONNECT_TIMEOUT_S,
		.connections = (unsigned)o->connections,
		.retries = S3_RETRIES_ANY,
		.on_retry = on_retry,
	};
}

/* All that takes no network. */
static int make_client(struct backend *b, const struct spec *spec,
		       const struct options *o, struct store_error *error)
{
	struct s3_conf conf = conf_of(spec, o);
	char uploads[STORE_KEY_MAX + 32];
	struct aead_key key;
	struct store *below;
	int err;

	err = check_options(o, error);
	if (!err)
		err = make_credentials(b, o, error);
	if (!err)
		err = customer_key(o, &key, error);
	if (err)
		return err;
	(void)snprintf(uploads, sizeof(uploads), "%s.dg/uploads/",
		       spec->prefix);
	conf.uploads_prefix = o->read_only ? NULL : uploads;
	conf.sse_customer_key = o->sse_customer_key_file ? key.bytes : NULL;
	conf.endpoint = setting(b->credentials, o->endpoint, "endpoint_url",
				b->endpoint, sizeof(b->endpoint));
	conf.region = setting(b->credentials, o->region, "region", b->region,
			      sizeof(b->region));
	err = s3_client_new(&below, &conf, b->credentials, error);
	bytes_wipe(&key, sizeof(key));
	if (err)
		return err;
	err = s3_retry_new(&b->store, below, &conf);
	if (err)
		below->ops->free(below);
	else
		b->client = below;
	return err;
}

static int open_client(struct backend *b, const struct spec *spec,
		       const struct options *o, struct store_error *error)
{
	int err = make_client(b, spec, o, error);

	return err ? err : fetch_keys(b->credentials, error);
}

int backend_check(const struct spec *spec, const struct options *o, char *why)
{
	struct store_error error = { 0 };
	struct backend b = { 0 };
	int err = spec->local ? 0 : make_client(&b, spec, o, &error);

	if (err)
		(void)snprintf(why, OPTION_WHY, "%s",
			       error.text[0] ? error.text
					     : strerrordesc_np(-err));
	backend_close(&b);
	return err;
}

/* What killed mounts have begun to upload; no reason not to mount. */
static void sweep(struct backend *b, const struct store_call *call)
{
	unsigned aborted;
	int err = s3_uploads_sweep(b->client, call, &aborted);

	if (err)
		log_warning("uploads left by other mounts not looked at: %s",
			    call->error->text);
	if (aborted)
		log_info("%u uploads that a mount had left behind aborted",
			 aborted);
}

/* What a server makes of a value it does not know may not name it. */
static void blame_options(const struct options *o, struct store_error *error)
{
	size_t len = strlen(error->text);

	if (error->http_status == 400 &&
	    (o->storage_class || o->acl || o->sse || o->sse_customer_key_file))
		(void)snprintf(error->text + len, sizeof(error->text) - len,
			       ": does it take%s%s%s?",
			       o->storage_class ? " storage_class=" : "",
			       o->acl ? " acl=" : "",
			       o->sse || o->sse_customer_key_file ? " sse="
								  : "");
}

/* The mount must not hang where the server does: one deadline for it all. */
static int validate(struct backend *b, const struct spec *spec,
		    const struct options *o, struct store_error *error)
{
	uint64_t deadline = clock_ms() + CHECK_MS;
	struct store_call call = { .cancel = past_deadline,
				   .cancel_arg = &deadline,
				   .error = error };
	struct store *s = b->store;
	char prefix[STORE_KEY_MAX + 32];
	int err;

	err = s->ops->check(s, &call);
	deadline = clock_ms() + PROBE_MS;
	if (!err && !o->read_only) {
		(void)snprintf(prefix, sizeof(prefix), "%s.dg/probe/",
			       spec->prefix);
		err = s->ops->probe(s, prefix, &call);
		if (err)
			blame_options(o, error);
	}
	if (!err)
		err = format_check(s, spec->prefix, !o->read_only, &call);
	if (!err && b->client && !o->read_only)
		sweep(b, &call);
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

	err = spec->local ? local_new(&b.store, spec->dir,
				      (unsigned)(o->timeout_ms / 1000), &error)
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

/* Once, so that nobody has to find out: what holds without is in the manual. */
static void tell_conditions(const struct store_caps *c)
{
	const struct {
		int kept;
		const char *what;
	} all[] = { { c->put_if_absent && c->put_if_match, "PUT" },
		    { c->complete_if_absent && c->complete_if_match,
		      "the end of an upload in parts" },
		    { c->remove_if_match, "DELETE" },
		    { c->copy_if_absent && c->copy_if_match, "copies" } };
	char list[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!all[i].kept && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len,
						"%s%s", len ? ", " : "",
						all[i].what);
	if (!c->put_if_match || !c->put_if_absent)
		log_warning(
			"the server keeps no conditions (%s): of two that write a file at once the last one wins, and nobody is told",
			list);
	else if (len)
		log_info(
			"the server keeps no conditions of %s: what others store at that very moment may be replaced",
			list);
}

void backend_tell(const struct backend *b)
{
	char source[S3_CREDENTIALS_SOURCE];
	struct store_caps caps;

	if (!b->credentials)
		return;
	s3_credentials_source(b->credentials, source);
	log_info("credentials from %s", source);
	b->store->ops->caps(b->store, &caps);
	if (!caps.probed)
		return; /* nothing will be written */
	tell_conditions(&caps);
	if (!caps.copies)
		log_warning(
			"the server does not copy objects: mv copies their bytes, and attributes of files above 16 MiB cannot be changed");
	if (!caps.keeps_metadata)
		log_warning(
			"the server does not keep metadata: attributes, and digests of files stored as they are, are lost");
}
