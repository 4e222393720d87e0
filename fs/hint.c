#include "fs/hint.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

#define MAGIC "DGHINT1\n"
#define HEAD  (sizeof(MAGIC) - 1)

/* The fixed part of a hint, bytes; texts and digests follow. */
#define LEN_AT     0
#define FORM_AT    4
#define FLAGS_AT   5
#define ASSUMED_AT 6
#define STORED_AT  8
#define SIZE_AT    16
#define WRITTEN_AT 24
#define MODE_AT    36
#define UID_AT     40
#define GID_AT     44
#define RDEV_AT    48
#define TIMES_AT   56
#define FIXED      (TIMES_AT + 3 * 12)

_Static_assert(FIXED == HINT_NAME_AT, "the name is the first text");

enum {
	HAS_SIZE = 1,
	HAS_DIGEST = 2,
	HAS_SUMS = 4,
	WRITTEN_BY = 8,
	ALL_FLAGS = 15
};

static void put_time(uint8_t *p, const struct timespec *t)
{
	le64_put(p, (uint64_t)(int64_t)t->tv_sec);
	le32_put(p + 8, (uint32_t)(int32_t)t->tv_nsec);
}

static void get_time(const uint8_t *p, struct timespec *t)
{
	t->tv_sec = (time_t)(int64_t)le64_get(p);
	t->tv_nsec = (int32_t)le32_get(p + 8);
}

int hint_append(struct bytes *out, const struct hint *h)
{
	const struct object *o = &h->object;
	const struct attr *a = &h->attr;
	uint8_t p[FIXED] = { 0 };
	size_t start = out->len;
	int err;

	p[FORM_AT] = (uint8_t)o->form;
	p[FLAGS_AT] = (uint8_t)((o->has_size ? HAS_SIZE : 0) |
				(o->has_digest ? HAS_DIGEST : 0) |
				(o->has_sums ? HAS_SUMS : 0) |
				(o->written_by ? WRITTEN_BY : 0));
	p[ASSUMED_AT] = (uint8_t)a->assumed;
	le64_put(p + STORED_AT, o->stored);
	le64_put(p + SIZE_AT, o->size);
	put_time(p + WRITTEN_AT, &o->written);
	le32_put(p + MODE_AT, a->mode);
	le32_put(p + UID_AT, a->uid);
	le32_put(p + GID_AT, a->gid);
	le32_put(p + RDEV_AT, major(a->rdev));
	le32_put(p + RDEV_AT + 4, minor(a->rdev));
	put_time(p + TIMES_AT, &a->mtime);
	put_time(p + TIMES_AT + 12, &a->atime);
	put_time(p + TIMES_AT + 24, &a->ctime);
	err = bytes_append(out, p, sizeof(p));
	if (!err)
		err = bytes_append(out, h->name, strlen(h->name) + 1);
	if (!err)
		err = bytes_append(out, o->etag, strlen(o->etag) + 1);
	if (!err)
		err = bytes_append(out, h->xattr, strlen(h->xattr) + 1);
	if (!err && o->has_digest)
		err = bytes_append(out, o->digest, DIGEST_LEN);
	if (!err && o->has_sums)
		err = bytes_append(out, o->sums_digest, DIGEST_LEN);
	if (err)
		out->len = start;
	else
		le32_put(out->data + start + LEN_AT,
			 (uint32_t)(out->len - start));
	return err;
}

/* What is left of a hint that is read. */
struct rest {
	const uint8_t *p, *end;
};

/* A text with its NUL, of `max` bytes at most with that; NULL: it is none. */
static const char *take_text(struct rest *r, size_t max)
{
	const char *text = (const char *)r->p;
	size_t left = (size_t)(r->end - r->p), len;

	len = strnlen(text, left < max ? left : max);
	if (len == left || len == max)
		return NULL;
	r->p += len + 1;
	return text;
}

static int take_digest(struct rest *r, uint8_t out[DIGEST_LEN])
{
	if ((size_t)(r->end - r->p) < DIGEST_LEN)
		return -EBADMSG;
	memcpy(out, r->p, DIGEST_LEN);
	r->p += DIGEST_LEN;
	return 0;
}

static int take_texts(struct rest *r, struct hint *out)
{
	const char *etag;

	out->name = take_text(r, NAME_MAX + 1);
	etag = out->name ? take_text(r, STORE_ETAG_MAX) : NULL;
	out->xattr = etag ? take_text(r, META_VALUE_MAX) : NULL;
	if (!out->xattr || !out->name[0] || !etag[0] ||
	    strchr(out->name, '/') != NULL)
		return -EBADMSG;
	memcpy(out->object.etag, etag, strlen(etag) + 1);
	return 0;
}

static int is_time(const struct timespec *t)
{
	return t->tv_nsec >= 0 && t->tv_nsec < 1000000000;
}

static int is_possible(const struct hint *h)
{
	const struct object *o = &h->object;
	mode_t type = h->attr.mode & S_IFMT;
	int plain = o->form == OBJECT_PLAIN || o->form == OBJECT_FOREIGN;

	return o->form <= OBJECT_BSDIFF && (!plain || o->size == o->stored) &&
	       (plain || (o->has_size && o->has_digest)) && o->has_size &&
	       o->size <= INT64_MAX && !(h->attr.mode & ~(mode_t)0177777) &&
	       (type == S_IFREG || type == S_IFLNK || type == S_IFIFO ||
		type == S_IFSOCK || type == S_IFCHR || type == S_IFBLK) &&
	       is_time(&h->attr.mtime) && is_time(&h->attr.atime) &&
	       is_time(&h->attr.ctime) && o->written.tv_nsec >= -1 &&
	       o->written.tv_nsec < 1000000000;
}

int hint_read(const uint8_t *data, size_t len, size_t *at, struct hint *out)
{
	const uint8_t *p = data + *at;
	struct rest r;
	uint32_t own;
	int err;

	if (len - *at < FIXED)
		return -EBADMSG;
	own = le32_get(p + LEN_AT);
	if (own < FIXED || own > len - *at || p[FLAGS_AT] & ~ALL_FLAGS ||
	    p[ASSUMED_AT] & ~ATTR_ALL || p[ASSUMED_AT + 1])
		return -EBADMSG;
	*out = (struct hint){
		.object = { .form = p[FORM_AT],
			    .has_size = !!(p[FLAGS_AT] & HAS_SIZE),
			    .has_digest = !!(p[FLAGS_AT] & HAS_DIGEST),
			    .has_sums = !!(p[FLAGS_AT] & HAS_SUMS),
			    .written_by = !!(p[FLAGS_AT] & WRITTEN_BY),
			    .stored = le64_get(p + STORED_AT),
			    .size = le64_get(p + SIZE_AT) },
		.attr = { .assumed = p[ASSUMED_AT],
			  .mode = le32_get(p + MODE_AT),
			  .uid = le32_get(p + UID_AT),
			  .gid = le32_get(p + GID_AT),
			  .rdev = makedev(le32_get(p + RDEV_AT),
					  le32_get(p + RDEV_AT + 4)) }
	};
	get_time(p + WRITTEN_AT, &out->object.written);
	get_time(p + TIMES_AT, &out->attr.mtime);
	get_time(p + TIMES_AT + 12, &out->attr.atime);
	get_time(p + TIMES_AT + 24, &out->attr.ctime);
	r = (struct rest){ p + FIXED, p + own };
	err = take_texts(&r, out);
	if (!err && out->object.has_digest)
		err = take_digest(&r, out->object.digest);
	if (!err && out->object.has_sums)
		err = take_digest(&r, out->object.sums_digest);
	if (err || r.p != r.end || !is_possible(out))
		return -EBADMSG;
	*at += own;
	return 0;
}

int hint_file_begin(struct bytes *out, const char *dir)
{
	int err;

	out->len = 0;
	err = bytes_append(out, MAGIC, HEAD);
	return err ? err : bytes_append(out, dir, strlen(dir) + 1);
}

int hint_file_end(struct bytes *out)
{
	uint8_t digest[DIGEST_LEN];
	int err;

	err = digest_buffer(out->data, out->len, digest);
	return err ? err : bytes_append(out, digest, sizeof(digest));
}

int hint_file_check(const struct bytes *file, const char *dir, size_t *first,
		    size_t *end)
{
	size_t own = HEAD + strlen(dir) + 1;
	uint8_t digest[DIGEST_LEN];
	int err;

	if (file->len < own + DIGEST_LEN ||
	    memcmp(file->data, MAGIC, HEAD) != 0 ||
	    memcmp(file->data + HEAD, dir, strlen(dir) + 1) != 0)
		return -EBADMSG;
	err = digest_buffer(file->data, file->len - DIGEST_LEN, digest);
	if (err)
		return err;
	if (memcmp(digest, file->data + file->len - DIGEST_LEN, DIGEST_LEN) !=
	    0)
		return -EBADMSG;
	*first = own;
	*end = file->len - DIGEST_LEN;
	return 0;
}
