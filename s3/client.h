#ifndef S3_CLIENT_H
#define S3_CLIENT_H

#include <limits.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "s3/store.h"

struct s3_credentials;

enum s3_path_style { S3_PATH_STYLE_AUTO, S3_PATH_STYLE_ON, S3_PATH_STYLE_OFF };

#define S3_RETRIES_ANY      UINT_MAX
#define S3_CUSTOMER_KEY_LEN 32

struct s3_conf {
	const char
		*endpoint; /* "https://host[:port]"; NULL: AWS's for region */
	const char *region; /* NULL: us-east-1, and what the server says */
	const char *bucket;
	enum s3_path_style path_style;
	const char
		*ca_file; /* who vouches for the server; NULL: the system's */
	const char *client_cert, *client_key; /* PEM files, or NULL */
	uint64_t upload_rate, download_rate; /* bytes a second; 0: no limit */
	/* Asked for with each object; NULL: the bucket's own defaults. */
	const char *storage_class, *acl; /* "STANDARD_IA", "private" */
	const char *sse, *sse_kms_key_id; /* "AES256", "aws:kms" */
	const uint8_t *sse_customer_key; /* S3_CUSTOMER_KEY_LEN bytes */
	int requester_pays;
	/* Where uploads in parts are noted while under way, which ends in '/';
	   NULL: nowhere.  See s3_uploads_sweep(). */
	const char *uploads_prefix;
	/* Where completing an upload in parts keeps no condition, a look just
	   before will do: large files go in parts all the same. */
	int look_will_do;
	uint64_t copy_max; /* bytes that one CopyObject takes; 0: 5 GiB */
	uint64_t part_size; /* bytes; smallest part of an upload in parts */
	/* Without getting further, of an operation over all its attempts; an
	   attempt has half of it for the next byte. */
	unsigned timeout_s;
	unsigned connect_timeout_s;
	unsigned connections; /* most at once */
	unsigned retries; /* in a row, most; S3_RETRIES_ANY: till the timeout */
	/* Told of each failed attempt before the next.  May be NULL. */
	void (*on_retry)(void *arg, const char *verb, const char *key,
			 const struct store_error *why, unsigned attempt);
	void *on_retry_arg;
};

/*
 * A store that speaks S3, one attempt a call, but for a wrong region or clock,
 * which is learned from the answer, and the parts of an upload and its
 * completion, of which each is repeated by itself `retries` times.  `conf` and
 * its strings are copied; `cred` is borrowed.  0, -EINVAL with `error`, or
 * -ENOMEM.  Zeros in `conf` stand for 16 MiB, 60 s, 5 s (which is also the
 * most), 8 connections, no retries.
 *
 * What has more than four times `part_size` is uploaded in parts, if the server
 * is known to keep on completion what the call asks for, or it asks for
 * nothing, or `look_will_do`; else in one PUT up to 5 GiB.  Parts grow so that 10,000 suffice.
 */
MUST_CHECK int s3_client_new(struct store **out, const struct s3_conf *conf,
			     struct s3_credentials *cred,
			     struct store_error *error);

/*
 * Abort the uploads in parts that mounts which are no more have left behind:
 * only such as are noted below `uploads_prefix`, by a process of this machine
 * that has ended, or by one that has not been heard of for S3_UPLOADS_SILENT_S.
 * `client` is what s3_client_new() made; `*aborted` counts them.  0 or why not
 * all could be looked at.
 */
MUST_CHECK int s3_uploads_sweep(struct store *client,
				const struct store_call *call,
				unsigned *aborted);

#define S3_UPLOADS_SILENT_S 21600

/* What `s` counted so far; all 0 for a store that does not count. */
void store_count(struct store *s, struct store_counters *out);

/*
 * A store that repeats what `below` answers with -EAGAIN until an operation has
 * got no further for `timeout_s`, with capped exponential backoff and full
 * jitter, Retry-After where the server sent one, and a budget of repeats that
 * all operations share.  Within an errand (s3/errand.h) that time is one for all
 * of its operations.  A get goes on behind the last byte taken, of the same version; a list
 * behind the last entry.  A condition that fails after an answer was lost is
 * no failure if what is there has our length and all of our metadata: it is
 * our own write.  Owns `below` from then on, unless it fails.
 */
MUST_CHECK int s3_retry_new(struct store **out, struct store *below,
			    const struct s3_conf *conf);

#endif
