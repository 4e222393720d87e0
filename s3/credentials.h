#ifndef S3_CREDENTIALS_H
#define S3_CREDENTIALS_H

#include <stdint.h>
#include <time.h>

#include "crypto/bytes.h"

struct store_call;
struct store_error;

/* What a request is signed with.  Wiped by its owner with bytes_wipe(). */
struct s3_keys {
	char access_key[128];
	char secret_key[256];
	char session_token[4096]; /* "" for none */
};

/* All is copied, but for `clock_arg`. */
struct s3_credentials_conf {
	/* As given with -o or in the config file; NULL where not. */
	const char *access_key, *secret_key, *session_token;
	const char *profile; /* NULL: $AWS_PROFILE, else "default" */
	int anonymous; /* sign nothing */
	const char *region; /* of STS; NULL: the profile's, else us-east-1 */
	const char *ca_file; /* as in struct http_conf, for https */
	/* Milliseconds of CLOCK_REALTIME and CLOCK_MONOTONIC; NULL: the
	   system's. */
	int64_t (*clock_ms)(void *arg, clockid_t id);
	void *clock_arg;
};

/*
 * Where keys come from, in this order:
 *	given
 *	AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless a profile was given
 *	AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, unless a profile was given
 *	the profile, in $AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials and
 *	$AWS_CONFIG_FILE or ~/.aws/config: its role, keys, or process
 *	AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
 *	EC2 metadata, version 2
 * Which it is, is settled when it is made.  Keys that end are replaced five
 * minutes before, by our clock: one that is wrong by more than that has the
 * server say that they have expired, which replaces them as well.  Those of a
 * profile also when one of the two files has changed.  Thread-safe.
 */
struct s3_credentials;

/*
 * Asks nobody over a network and runs nothing: s3_credentials_get() does.
 * 0; -ENOENT if there are none, -EINVAL if a file is malformed or the profile
 * is missing, -EACCES: `error` names what was looked at and the remedy.
 */
MUST_CHECK int s3_credentials_new(struct s3_credentials **out,
				  const struct s3_credentials_conf *conf,
				  struct store_error *error);

/*
 * The keys to sign the next request with.  Only who is the first to ask when
 * they are about to end waits for new ones; others do only where there are
 * none that are valid.  `call` may be NULL; its conditions do not matter.  0;
 * -ENOENT for anonymous; -EAGAIN with the cause: their source cannot be
 * reached; -EINTR; -EACCES: refused, or it has none; -EIO, -EINVAL, -ENOMEM
 * and what running a process gives.
 */
MUST_CHECK int s3_credentials_get(struct s3_credentials *c,
				  const struct store_call *call,
				  struct s3_keys *out);

/*
 * The server has refused `used` with that status and the error `code` ("" if
 * it did not say).  If that may be because they have ended or were replaced, get others, once in
 * 15 s at most.  Non-zero if the request is worth repeating.  Leaves
 * `call->error` alone.
 */
int s3_credentials_expired(struct s3_credentials *c, const struct s3_keys *used,
			   int status, const char *code,
			   const struct store_call *call);

/* "region", "endpoint_url" of the profile; -ENOENT, -ERANGE. */
MUST_CHECK int s3_credentials_setting(struct s3_credentials *c,
				      const char *name, char *out, size_t cap);

#define S3_CREDENTIALS_SOURCE 256
/* Where the keys came from, for the log: "environment", "profile ci in FILE". */
void s3_credentials_source(struct s3_credentials *c,
			   char out[S3_CREDENTIALS_SOURCE]);
void s3_credentials_free(struct s3_credentials *c);

#endif
