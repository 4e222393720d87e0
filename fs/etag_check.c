#include "fs/etag_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"

struct etag_check {
	uint8_t md5[DIGEST_MD5_LEN]; /* what the ETag says */
	uint64_t len;
	int failed;
	uint8_t seen[DIGEST_LEN]; /* SHA-256 of what did not match */
	struct digest *digest; /* of the bytes up to `next` */
	uint64_t next;
};

int etag_is_md5(const char *etag)
{
	uint8_t md5[DIGEST_MD5_LEN];

	return strlen(etag) == 2 * sizeof(md5) &&
	       !hex_decode(md5, sizeof(md5), etag);
}

int etag_check_new(struct etag_check **out, const char *etag, uint64_t len)
{
	struct etag_check *c;

	if (!etag_is_md5(etag))
		return -ENOTSUP;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (hex_decode(c->md5, sizeof(c->md5), etag)) {
		free(c);
		return -ENOTSUP;
	}
	c->len = len;
	*out = c;
	return 0;
}

void etag_check_free(struct etag_check *c)
{
	if (!c)
		return;
	digest_free(c->digest);
	free(c);
}

int etag_check_whole(struct etag_check *c, const uint8_t *data, size_t len,
		     int is_md5)
{
	uint8_t md5[DIGEST_MD5_LEN], seen[DIGEST_LEN];
	int err;

	if (len != c->len)
		return -EBADMSG;
	err = digest_md5(data, len, md5);
	if (err || !memcmp(md5, c->md5, sizeof(md5)))
		return err;
	if (is_md5)
		return -EBADMSG;
	err = digest_buffer(data, len, seen);
	if (err)
		return err;
	if (c->failed && !memcmp(seen, c->seen, sizeof(seen)))
		return 0;
	c->failed = 1;
	memcpy(c->seen, seen, sizeof(seen));
	return -EBADMSG;
}

int etag_check_next(struct etag_check *c, const uint8_t *data, size_t len,
		    uint64_t off)
{
	uint8_t md5[DIGEST_MD5_LEN];
	int err = 0;

	if (c->failed)
		return -EBADMSG;
	/* Behind a gap nothing can be said; before `next` it was said. */
	if (off > c->next || off + len <= c->next)
		return 0;
	if (!c->digest)
		c->digest = digest_md5_new();
	if (!c->digest)
		return -ENOMEM;
	data += c->next - off;
	len -= (size_t)(c->next - off);
	err = digest_update(c->digest, data, len);
	c->next += len;
	if (err || c->next < c->len)
		return err;
	err = digest_final(c->digest, md5);
	if (!err && memcmp(md5, c->md5, sizeof(md5)) != 0) {
		c->failed = 1;
		err = -EBADMSG;
	}
	return err;
}
