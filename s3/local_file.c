#include "s3/local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/digest.h"
#include "s3/error.h"

#define VERSION 1
#define STEP    ((size_t)256 << 10) /* bytes moved between looks at `cancel` */

/* Where the fields are: LOCAL.md has the table. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_TRUNCATED = 12,
	AT_LEN = 16,
	AT_MTIME_S = 24,
	AT_MTIME_NS = 32,
	AT_META_LEN = 36,
	AT_ETAG = 40,
	AT_TYPE = 176,
	AT_ENCODING = 272,
	AT_KEY = 368,
	AT_META = 1400,
	AT_META_END = AT_META + META_MAX,
	AT_DIGEST = LOCAL_BODY_OFF - DIGEST_LEN
};

_Static_assert(AT_TYPE - AT_ETAG == STORE_ETAG_MAX, "etag");
_Static_assert(AT_ENCODING - AT_TYPE == STORE_TYPE_MAX, "type");
_Static_assert(AT_KEY - AT_ENCODING == STORE_TYPE_MAX, "encoding");
_Static_assert(AT_META - AT_KEY > STORE_KEY_MAX, "key");
_Static_assert((int)AT_META_END <= (int)AT_DIGEST, "metadata");

static const char magic[8] = "DGOBJECT";

static int string_put(uint8_t *at, size_t cap, const char *s)
{
	size_t len = strlen(s);

	if (len >= cap)
		return -EINVAL;
	memcpy(at, s, len + 1);
	return 0;
}

int local_file_describe(int fd, const char *key, const struct store_stat *st)
{
	uint8_t *page;
	int rc;

	page = calloc(1, LOCAL_BODY_OFF);
	if (page == NULL)
		return -ENOMEM;
	memcpy(page + AT_MAGIC, magic, sizeof(magic));
	le32_put(page + AT_VERSION, VERSION);
	le32_put(page + AT_TRUNCATED, st->meta.truncated != 0);
	le64_put(page + AT_LEN, st->len);
	le64_put(page + AT_MTIME_S, (uint64_t)st->mtime.tv_sec);
	le32_put(page + AT_MTIME_NS, (uint32_t)st->mtime.tv_nsec);
	le32_put(page + AT_META_LEN, (uint32_t)st->meta.len);
	memcpy(page + AT_META, st->meta.text, st->meta.len);
	rc = string_put(page + AT_ETAG, STORE_ETAG_MAX, st->etag);
	if (rc == 0)
		rc = string_put(page + AT_TYPE, STORE_TYPE_MAX,
				st->content_type);
	if (rc == 0)
		rc = string_put(page + AT_ENCODING, STORE_TYPE_MAX,
				st->content_encoding);
	if (rc == 0)
		rc = string_put(page + AT_KEY, STORE_KEY_MAX + 1, key);
	if (rc == 0)
		rc = digest_buffer(page, AT_DIGEST, page + AT_DIGEST);
	if (rc == 0)
		rc = local_file_write(fd, page, LOCAL_BODY_OFF, 0);
	free(page);
	return rc;
}

/* The metadata's lines, set one by one: what is malformed is not ours. */
static int meta_parse(struct meta *m, const uint8_t *text, size_t len)
{
	char line[META_MAX];
	char *p = line;

	if (len >= META_MAX)
		return -EIO;
	memcpy(line, text, len);
	line[len] = '\0';
	if (strlen(line) != len)
		return -EIO;
	while (*p) {
		char *nl = strchr(p, '\n');
		char *eq = strchr(p, '=');

		if (nl == NULL || eq == NULL || eq > nl)
			return -EIO;
		*nl = '\0';
		*eq = '\0';
		if (meta_set(m, p, eq + 1) != 0)
			return -EIO;
		p = nl + 1;
	}
	return 0;
}

static int string_is_ended(const uint8_t *at, size_t cap)
{
	return memchr(at, '\0', cap) != NULL;
}

static int page_parse(const uint8_t *page, const char *key,
		      struct store_stat *out)
{
	uint8_t digest[DIGEST_LEN];
	int rc;

	if (memcmp(page, magic, sizeof(magic)) != 0)
		return -EIO;
	if (le32_get(page + AT_VERSION) > VERSION)
		return -ENOTSUP;
	rc = digest_buffer(page, AT_DIGEST, digest);
	if (rc != 0)
		return rc;
	if (memcmp(digest, page + AT_DIGEST, DIGEST_LEN) != 0 ||
	    !string_is_ended(page + AT_ETAG, STORE_ETAG_MAX) ||
	    !string_is_ended(page + AT_TYPE, STORE_TYPE_MAX) ||
	    !string_is_ended(page + AT_ENCODING, STORE_TYPE_MAX) ||
	    !string_is_ended(page + AT_KEY, AT_META - AT_KEY) ||
	    strcmp((const char *)page + AT_KEY, key) != 0 ||
	    le32_get(page + AT_MTIME_NS) >= 1000000000)
		return -EIO;
	memset(out, 0, sizeof(*out));
	out->len = le64_get(page + AT_LEN);
	out->mtime.tv_sec = (time_t)le64_get(page + AT_MTIME_S);
	out->mtime.tv_nsec = (long)le32_get(page + AT_MTIME_NS);
	memcpy(out->etag, page + AT_ETAG, STORE_ETAG_MAX);
	memcpy(out->content_type, page + AT_TYPE, STORE_TYPE_MAX);
	memcpy(out->content_encoding, page + AT_ENCODING, STORE_TYPE_MAX);
	out->meta.truncated = le32_get(page + AT_TRUNCATED) != 0;
	return meta_parse(&out->meta, page + AT_META,
			  le32_get(page + AT_META_LEN));
}

int local_file_stat(int fd, const char *key, struct store_stat *out)
{
	struct store_stat parsed;
	struct stat st;
	uint8_t *page;
	int rc;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < LOCAL_BODY_OFF)
		return -EIO;
	page = malloc(LOCAL_BODY_OFF);
	if (page == NULL)
		return -ENOMEM;
	rc = local_file_read(fd, page, LOCAL_BODY_OFF, 0);
	if (rc == 0)
		rc = page_parse(page, key, &parsed);
	free(page);
	if (rc != 0)
		return rc;
	if (parsed.len != (uint64_t)st.st_size - LOCAL_BODY_OFF)
		return -EIO;
	*out = parsed;
	return 0;
}

int local_file_read(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

int local_file_write(int fd, const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

/* Has the kernel nothing to do it with, so that we have to? */
static int is_no_offload(int err)
{
	return err == EXDEV || err == EINVAL || err == ENOSYS ||
	       err == EOPNOTSUPP || err == EPERM || err == ETXTBSY;
}

/* How much the kernel copied by itself: 0 where it cannot. */
static int copy_offload(int to, int from, uint64_t len, uint64_t *done,
			const struct store_call *call)
{
	while (*done < len) {
		off_t in = (off_t)(LOCAL_BODY_OFF + *done);
		off_t out = in;
		uint64_t left = len - *done;
		size_t step = left < 64 * STEP ? (size_t)left : 64 * STEP;
		ssize_t n;

		if (store_cancelled(call))
			return -EINTR;
		n = copy_file_range(from, &in, to, &out, step, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return is_no_offload(errno) ? 0 : -errno;
		if (n == 0)
			return 0;
		*done += (uint64_t)n;
	}
	return 0;
}

/* Bytes of a file as a source. */
static int fd_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const int *fd = arg;

	return local_file_read(*fd, buf, len, LOCAL_BODY_OFF + off);
}

/* From a source, what is behind the first `done` bytes. */
static int fill_from(int to, const struct store_source *src, uint64_t done,
		     const struct store_call *call)
{
	uint8_t *buf;
	int rc = 0;

	if (done >= src->len)
		return 0;
	buf = malloc(STEP);
	if (buf == NULL)
		return -ENOMEM;
	while (rc == 0 && done < src->len) {
		uint64_t left = src->len - done;
		size_t step = left < STEP ? (size_t)left : STEP;

		if (store_cancelled(call)) {
			rc = -EINTR;
			break;
		}
		rc = src->read(src->arg, buf, step, done);
		if (rc == 0)
			rc = local_file_write(to, buf, step,
					      LOCAL_BODY_OFF + done);
		done += step;
	}
	free(buf);
	return rc;
}

int local_file_copy(int to, int from, uint64_t len,
		    const struct store_call *call)
{
	struct store_source src = { len, fd_read, &from };
	uint64_t done = 0;
	int rc;

	rc = copy_offload(to, from, len, &done, call);
	return rc != 0 ? rc : fill_from(to, &src, done, call);
}

int local_file_fill(int to, const struct store_source *src,
		    const struct store_call *call)
{
	return fill_from(to, src, 0, call);
}
