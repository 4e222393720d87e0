/* Digests of what goes up, and whether it has arrived as it was sent. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/clock.h"
#include "s3/client_private.h"
#include "s3/error.h"

#define STEP ((size_t)256 << 10) /* bytes hashed between looks at `cancel` */

/* Both digests of one body; `md5` is NULL where nobody asks for it. */
struct hashing {
	struct digest *sha256, *md5;
	uint8_t *buf;
};

static int hashing_step(struct hashing *h, const struct store_source *src,
			uint64_t off, size_t len)
{
	int rc = src->read(src->arg, h->buf, len, off);

	if (rc == 0)
		rc = digest_update(h->sha256, h->buf, len);
	if (rc == 0 && h->md5 != NULL)
		rc = digest_update(h->md5, h->buf, len);
	return rc;
}

static int hashing_end(struct hashing *h, struct s3_digests *out)
{
	uint8_t sum[DIGEST_LEN];
	int rc = digest_final(h->sha256, sum);

	if (rc != 0)
		return rc;
	hex_encode(out->sha256, sum, DIGEST_LEN);
	out->md5[0] = '\0';
	if (h->md5 == NULL)
		return 0;
	rc = digest_final(h->md5, sum);
	if (rc == 0)
		hex_encode(out->md5, sum, DIGEST_MD5_LEN);
	return rc;
}

int s3_hash(struct s3 *s, struct s3_digests *out,
	    const struct store_source *src, uint64_t off, uint64_t len,
	    const struct store_call *call)
{
	struct store_caps caps = s3_caps(s);
	uint64_t start = clock_ms();
	struct hashing h = { 0 };
	uint64_t done = 0;
	int rc = -ENOMEM;

	h.sha256 = digest_new();
	/* Costs time: only where the server does not look itself. */
	if (caps.etag_md5 && !caps.checks_sha256)
		h.md5 = digest_md5_new();
	h.buf = malloc(STEP);
	if (h.sha256 == NULL || h.buf == NULL) {
		(void)store_fail(call, rc, "out of memory");
		goto free_all;
	}
	rc = 0;
	while (rc == 0 && done < len) {
		size_t n = len - done < STEP ? (size_t)(len - done) : STEP;

		if (store_cancelled(call)) {
			rc = store_fail(call, -EINTR, "interrupted");
			break;
		}
		rc = hashing_step(&h, src, off + done, n);
		done += n;
	}
	if (rc == 0)
		rc = hashing_end(&h, out);
	/* No time of the server's. */
	deadline_excuse(call->deadline, clock_ms() - start);
free_all:
	/* It was the user's data. */
	if (h.buf != NULL)
		bytes_wipe(h.buf, STEP);
	free(h.buf);
	digest_free(h.md5);
	digest_free(h.sha256);
	return rc;
}

int s3_is_damaged(const struct s3_digests *sent, const char *etag)
{
	return sent->md5[0] != '\0' && strcasecmp(sent->md5, etag) != 0;
}

int s3_damaged(const struct store_call *call, const char *etag, const char *fmt,
	       ...)
{
	char text[sizeof(call->error->text)];
	va_list ap;

	if (call->error == NULL)
		return -EIO;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)store_fail(call, -EIO, "%s", text);
	(void)snprintf(call->error->etag, sizeof(call->error->etag), "%s",
		       etag);
	return -EIO;
}

int s3_stored_check(struct s3 *s, const char *key, uint64_t len,
		    const char *etag, const struct store_call *call)
{
	struct store_call plain = s3_unconditional(call);
	struct store_stat st;

	plain.error = NULL;
	/* What cannot be asked, or is somebody else's by now, proves nothing. */
	if (s3_head(&s->store, key, &plain, &st) != 0 || etag[0] == '\0' ||
	    strcmp(st.etag, etag) != 0 || st.len == len)
		return 0;
	return s3_damaged(call, etag,
			  "%.80s keeps %llu bytes of \"%.80s\", of which it "
			  "got %llu",
			  s->name, (unsigned long long)st.len, key,
			  (unsigned long long)len);
}
