#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

#define DIGEST_LEN 32 /* SHA-256, bytes */
#define DIGEST_HEX (2 * DIGEST_LEN + 1) /* as text, with its NUL */

struct digest; /* opaque: one running SHA-256, or MD5 */

/* NULL if out of memory.  The caller frees it with digest_free(). */
struct digest *digest_new(void);
MUST_CHECK int digest_update(struct digest *d, const void *data, size_t len);

#define DIGEST_MD5_LEN 16
/* As digest_new(): an MD5, which S3 makes ETags from, and of no other use. */
struct digest *digest_md5_new(void);

/*
 * Store the digest in `out`, of which an MD5 fills DIGEST_MD5_LEN bytes, and
 * reset `d` for another message.  0 or -EIO.
 */
MUST_CHECK int digest_final(struct digest *d, uint8_t *out);
void digest_free(struct digest *d); /* free(NULL)-like */

/* One call for one buffer.  0, -ENOMEM or -EIO. */
MUST_CHECK int digest_buffer(const void *data, size_t len,
			     uint8_t out[DIGEST_LEN]);

/* The MD5 of one buffer.  0 or -EIO: there is none. */
MUST_CHECK int digest_md5(const void *data, size_t len,
			  uint8_t out[DIGEST_MD5_LEN]);

/* HMAC-SHA256, as AWS Signature V4 and HKDF want it.  0, -ENOMEM or -EIO. */
MUST_CHECK int digest_hmac(const uint8_t *key, size_t key_len, const void *data,
			   size_t len, uint8_t out[DIGEST_LEN]);

#endif
