#include "fs/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/attr.h"

#define TOOL "deltaglider-fs/" DG_VERSION

int object_digest(const struct meta *m, const char *name,
		  uint8_t out[DIGEST_LEN])
{
	char hex[META_VALUE_MAX];
	uint8_t digest[DIGEST_LEN];

	if (meta_get(m, name, hex, sizeof(hex)) ||
	    hex_decode(digest, sizeof(digest), hex))
		return -ENOENT;
	memcpy(out, digest, sizeof(digest));
	return 0;
}

int object_sketch(const struct meta *m, struct sketch *out)
{
	char hex[META_VALUE_MAX];
	struct sketch s = { { 0 } };

	if (meta_get(m, "dg-sketch", hex, sizeof(hex)) ||
	    hex_decode(s.bin, sizeof(s.bin), hex))
		return -ENOENT;
	*out = s;
	return 0;
}

static const char *const codec_names[] = {
	[CODEC_NATIVE] = "native", [CODEC_BSDIFF] = "bsdiff"
};

const char *codec_name(enum codec codec)
{
	return codec_names[codec];
}

void codec_head(enum codec codec, struct store_head *out)
{
	out->content_type =
		codec == CODEC_BSDIFF ? OBJECT_BSDIFF_TYPE : OBJECT_TYPE;
	/* bsdiff's own bytes and nothing else: whoever downloads it has them. */
	out->content_encoding = codec == CODEC_BSDIFF ? NULL : OBJECT_ENCODING;
}

int object_size(const struct meta *m, const char *name, uint64_t *out)
{
	char text[META_VALUE_MAX], *end;
	unsigned long long v;

	if (meta_get(m, name, text, sizeof(text)))
		return -ENOENT;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v > INT64_MAX)
		return -ENOENT;
	*out = v;
	return 0;
}

/* A patch says nothing of itself: its metadata do, all of it, or it is none. */
static int read_bsdiff(struct object *out, const struct meta *m)
{
	uint8_t digest[DIGEST_LEN], ref[DIGEST_LEN];
	uint64_t size;

	if (object_digest(m, "dg-file-sha256", digest) ||
	    object_size(m, "dg-file-size", &size) ||
	    object_digest(m, "dg-ref-sha256", ref))
		return -ENOENT;
	out->form = OBJECT_BSDIFF;
	out->size = size;
	memcpy(out->digest, digest, sizeof(digest));
	out->has_digest = 1;
	return 0;
}

/* A second that is over: nothing else can have been written in it. */
#define SETTLED_S 2

static void set_written(struct object *o, const struct store_stat *st)
{
	o->written = (struct timespec){ 0 };
	o->written_by = !st->mtime.tv_sec;
	if (o->written_by)
		o->written.tv_sec = st->date_s;
	else if (st->date_s - st->mtime.tv_sec >= SETTLED_S)
		o->written = (struct timespec){ st->mtime.tv_sec, -1 };
}

void object_rewritten(struct object *o, const struct store_stat *st)
{
	memcpy(o->etag, st->etag, sizeof(o->etag));
	o->written = (struct timespec){ .tv_sec = st->date_s };
	o->written_by = 1;
}

int object_is_listed(struct object *o, const char *etag, uint64_t len,
		     const struct timespec *written)
{
	if (!etag[0] || strcmp(o->etag, etag) != 0 || o->stored != len ||
	    !o->written.tv_sec)
		return 0;
	if (o->written_by) {
		if (written->tv_sec > o->written.tv_sec)
			return 0;
	} else if (written->tv_sec != o->written.tv_sec ||
		   (o->written.tv_nsec >= 0 &&
		    written->tv_nsec != o->written.tv_nsec)) {
		return 0;
	}
	o->written = *written;
	o->written_by = 0;
	return 1;
}

/*
 * Another length than we have written is that of other bytes, by somebody who
 * keeps metadata that he does not know.  But not none, with an ETag of some.
 */
static int is_no_length(const struct store_stat *st)
{
	return !st->len && st->etag_is_md5 &&
	       strcmp(st->etag, "d41d8cd98f00b204e9800998ecf8427e") != 0;
}

void object_read(struct object *out, const struct store_stat *st)
{
	char codec[META_VALUE_MAX], tool[META_VALUE_MAX];
	const struct meta *m = &st->meta;
	uint64_t size = 0;

	*out = (struct object){ .form = OBJECT_FOREIGN,
				.stored = st->len,
				.size = st->len,
				.has_size = 1 };
	memcpy(out->etag, st->etag, sizeof(out->etag));
	set_written(out, st);
	if (meta_get(m, "dg-codec", codec, sizeof(codec)))
		codec[0] = '\0';
	if (!strcmp(codec, "bsdiff") && !read_bsdiff(out, m))
		return;
	if (!strcmp(st->content_type, OBJECT_TYPE) ||
	    !strcmp(st->content_encoding, OBJECT_ENCODING) ||
	    !strcmp(codec, "native"))
		out->form = OBJECT_DELTA;
	else if (!meta_get(m, "dg-tool", tool, sizeof(tool)) &&
		 !strncmp(tool, "deltaglider-fs/", 15) &&
		 !object_size(m, "dg-file-size", &size) &&
		 (size == st->len || is_no_length(st)))
		out->form = OBJECT_PLAIN;
	if (out->form == OBJECT_PLAIN)
		out->size = out->stored = size;
	if (out->form == OBJECT_FOREIGN)
		return;
	out->has_digest = !object_digest(m, "dg-file-sha256", out->digest);
	out->has_sums = !object_digest(m, "dg-sums-sha256", out->sums_digest);
	if (out->form == OBJECT_DELTA)
		out->has_size = !object_size(m, "dg-file-size", &out->size) &&
				out->has_digest;
}

int object_is_whole(const struct object *o, const struct store_stat *st)
{
	uint64_t len;

	if (o->form == OBJECT_PLAIN)
		return o->stored == o->size;
	return object_size(&st->meta, "dg-delta-size", &len) || len == st->len;
}

static int set_hex(struct meta *m, const char *name, const void *data,
		   size_t len)
{
	char hex[SKETCH_HEX > DIGEST_HEX ? SKETCH_HEX : DIGEST_HEX];

	hex_encode(hex, data, len);
	return meta_set(m, name, hex);
}

static int set_number(struct meta *m, const char *name, uint64_t v)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return meta_set(m, name, text);
}

static int set_text(struct meta *m, const char *name, const char *value)
{
	char text[META_VALUE_MAX];
	int err;

	err = meta_encode(text, sizeof(text), value, strlen(value));
	/* Too long to be kept at all: it is among what may be dropped. */
	return err ? 0 : meta_set(m, name, text);
}

static int set_now(struct meta *m, const char *name)
{
	struct timespec now = attr_now();
	struct tm tm;
	char date[32], text[64];

	if (!gmtime_r(&now.tv_sec, &tm) ||
	    !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm))
		return 0;
	(void)snprintf(text, sizeof(text), "%s.%06ldZ", date,
		       now.tv_nsec / 1000);
	return meta_set(m, name, text);
}

static int write_delta(const struct object_facts *f, struct meta *m)
{
	char cmd[64], text[META_VALUE_MAX];
	int err;

	err = meta_set(m, "dg-codec", codec_name(f->codec));
	if (!err)
		err = set_text(m, "dg-ref-key", f->ref_key);
	if (!err && f->codec == CODEC_BSDIFF)
		err = meta_get(m, "dg-ref-key", text, sizeof(text));
	if (!err && f->codec == CODEC_BSDIFF)
		err = set_number(m, "dg-ref-size", f->ref_len);
	if (!err)
		err = set_hex(m, "dg-ref-sha256", f->ref_digest, DIGEST_LEN);
	if (!err)
		err = set_number(m, "dg-delta-size", f->delta_size);
	(void)snprintf(cmd, sizeof(cmd), TOOL " %s", codec_name(f->codec));
	return err ? err : meta_set(m, "dg-delta-cmd", cmd);
}

int object_fit(struct meta *m, enum object_form form)
{
	static const char *const dispensable[] = {
		"dg-delta-cmd", "dg-created-at", "dg-original-name",
		"dg-sketch",    "dg-ref-key",    "dg-ref-sha256"
	};
	size_t n = sizeof(dispensable) / sizeof(dispensable[0]);

	if (form == OBJECT_BSDIFF)
		n -= 2;
	for (size_t i = 0; meta_cost(m) > META_S3_MAX && i < n; i++)
		meta_remove(m, dispensable[i]);
	return meta_cost(m) > META_S3_MAX ? -ENOSPC : 0;
}

int object_write(const struct object_facts *f, struct meta *m)
{
	int err;

	*m = (struct meta){ 0 };
	err = meta_set(m, "dg-tool", TOOL);
	if (!err)
		err = set_text(m, "dg-original-name", f->name);
	if (!err)
		err = set_hex(m, "dg-file-sha256", f->digest, DIGEST_LEN);
	if (!err)
		err = set_number(m, "dg-file-size", f->size);
	if (!err)
		err = set_now(m, "dg-created-at");
	if (!err && f->sketch)
		err = set_hex(m, "dg-sketch", f->sketch->bin, SKETCH_BINS);
	if (!err && f->sums_digest)
		err = set_hex(m, "dg-sums-sha256", f->sums_digest, DIGEST_LEN);
	if (!err)
		err = f->ref_key ? write_delta(f, m)
				 : meta_set(m, "dg-compression", "none");
	if (!err)
		err = attr_write(f->attr, m);
	if (!err && f->xattr && f->xattr[0])
		err = meta_set(m, "xattr", f->xattr);
	if (err)
		return -ENOSPC;
	return object_fit(m, f->ref_key && f->codec == CODEC_BSDIFF
				     ? OBJECT_BSDIFF
				     : OBJECT_PLAIN);
}
