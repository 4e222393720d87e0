#ifndef S3_CLIENT_H
#define S3_CLIENT_H

#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/store.h"

struct s3_credentials;

enum s3_path_style { S3_PATH_STYLE_AUTO, S3_PATH_STYLE_ON, S3_PATH_STYLE_OFF };

struct s3_conf {
	const char
		*endpoint; /* "https://host[:port]"; NULL: AWS's for region */
	const char *region; /* NULL: us-east-1, and what the server says */
	const char *bucket;
	enum s3_path_style path_style;
	uint64_t part_size; /* bytes; smallest part of an upload in parts */
	unsigned timeout_s; /* without a byte moving */
	unsigned connect_timeout_s;
	unsigned connections; /* most at once */
	unsigned retries; /* after the first try */
	/* Told of each failed attempt before the next.  May be NULL. */
	void (*on_retry)(void *arg, const char *verb, const char *key,
			 const struct store_error *why, unsigned attempt);
	void *on_retry_arg;
};

/*
 * A store that speaks S3, one attempt a call.  `conf` and its strings are
 * copied; `cred` is borrowed.  0, -EINVAL with `error`, or -ENOMEM.
 */
MUST_CHECK int s3_client_new(struct store **out, const struct s3_conf *conf,
			     struct s3_credentials *cred,
			     struct store_error *error);

/* What `s` counted so far; all 0 for a store that does not count. */
void store_count(struct store *s, struct store_counters *out);

/*
 * A store that repeats what `below` answers with -EAGAIN, with capped
 * exponential backoff and full jitter, and Retry-After where the server sent
 * one.  Owns `below` from then on, unless it fails.
 */
MUST_CHECK int s3_retry_new(struct store **out, struct store *below,
			    const struct s3_conf *conf);

#endif
