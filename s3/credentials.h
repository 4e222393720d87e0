#ifndef S3_CREDENTIALS_H
#define S3_CREDENTIALS_H

#include "crypto/bytes.h"

struct store_error;

/* What a request is signed with.  Wiped by its owner with bytes_wipe(). */
struct s3_keys {
	char access_key[128];
	char secret_key[256];
	char session_token[4096]; /* "" for none */
};

struct s3_credentials_conf {
	/* As given with -o or in the config file; NULL where not. */
	const char *access_key, *secret_key, *session_token;
	const char *profile; /* NULL: $AWS_PROFILE, else "default" */
	int anonymous; /* sign nothing */
};

/*
 * Where keys come from, in this order: given; AWS_ACCESS_KEY_ID and
 * AWS_SECRET_ACCESS_KEY (unless a profile was given); the profile in
 * $AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, then in
 * $AWS_CONFIG_FILE or ~/.aws/config.  Thread-safe.
 */
struct s3_credentials;

/*
 * 0; -ENOENT if there are none, -EINVAL if a file is malformed or the profile
 * is missing, -EACCES: `error` names what was looked at and the remedy.
 */
MUST_CHECK int s3_credentials_new(struct s3_credentials **out,
				  const struct s3_credentials_conf *conf,
				  struct store_error *error);

/* The keys to sign the next request with.  0; -ENOENT for anonymous. */
MUST_CHECK int s3_credentials_get(struct s3_credentials *c,
				  struct s3_keys *out);

/* "region", "endpoint_url" of the profile; -ENOENT, -ERANGE. */
MUST_CHECK int s3_credentials_setting(struct s3_credentials *c,
				      const char *name, char *out, size_t cap);
/* Where the keys came from, for the log: "environment", "profile ci in FILE". */
const char *s3_credentials_source(const struct s3_credentials *c);
void s3_credentials_free(struct s3_credentials *c);

#endif
