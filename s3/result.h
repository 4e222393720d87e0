#ifndef S3_RESULT_H
#define S3_RESULT_H

#include <stddef.h>

#include "crypto/bytes.h"
#include "s3/store.h"

/* What the server's XML says.  Pure; the input is hostile. */

struct result_error {
	char code[64], message[160], region[64];
};

/* 0; -EIO if it is no <Error> (which "" is not), -ENOMEM. */
MUST_CHECK int result_error(struct result_error *out, const void *xml,
			    size_t len);

#define RESULT_UPLOAD_ID_MAX 1024

/* 0; -EIO if it is not the result asked for, and whole; -ENOMEM. */
MUST_CHECK int result_upload_id(char out[RESULT_UPLOAD_ID_MAX], const void *xml,
				size_t len);
/*
 * `root`: "CopyObjectResult" or "CompleteMultipartUploadResult".  The ETag is
 * "" where the result has none: radosgw 16 leaves it out of Complete's.
 */
MUST_CHECK int result_etag(char out[STORE_ETAG_MAX], const char *root,
			   const void *xml, size_t len);

/* Copy an ETag without its quotes; "" if there is none or it is too long. */
void result_unquote(char out[STORE_ETAG_MAX], const char *etag);

struct result_entry {
	char *key;
	int is_prefix;
	uint64_t len;
	struct timespec mtime;
	char etag[STORE_ETAG_MAX];
};

struct result_list {
	struct result_entry *entries; /* in the order of their keys */
	size_t len, cap;
	int is_truncated;
	char *token; /* for the next page, or NULL */
	int has_count; /* "KeyCount", which version 1 has not */
	int token_is_lost; /* go on behind the last key instead */
};

/*
 * A page of ListObjectsV2, keys decoded.  radosgw 16 encodes the keys, but puts
 * the token and other repetitions of a key there as they are, which need not
 * be XML: such are blotted out, and the token is lost.  0; -EIO; -ENOMEM.  The caller frees
 * it with result_list_clear(), also after an error.
 */
MUST_CHECK int result_list(struct result_list *out, const void *xml,
			   size_t len);
void result_list_clear(struct result_list *list);

#endif
