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

static int read_size(const struct meta *m, const char *name, uint64_t *out)
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

void object_read(struct object *out, const struct store_stat *st)
{
	char codec[META_VALUE_MAX], tool[META_VALUE_MAX];
	const struct meta *m = &st->meta;
	uint64_t size;

	*out = (struct object){ .form = OBJECT_FOREIGN,
				.stored = st->len,
				.size = st->len,
				.has_size = 1 };
	memcpy(out->etag, st->etag, sizeof(out->etag));
	if (!strcmp(st->content_type, OBJECT_TYPE) ||
	    !strcmp(st->content_encoding, OBJECT_ENCODING) ||
	    (!meta_get(m, "dg-codec", codec, sizeof(codec)) &&
	     !strcmp(codec, "native")))
		out->form = OBJECT_DELTA;
	else if (!meta_get(m, "dg-tool", tool, sizeof(tool)) &&
		 !strncmp(tool, "deltaglider-fs/", 15) &&
		 !read_size(m, "dg-file-size", &size) && size == st->len)
		out->form = OBJECT_PLAIN;
	if (out->form == OBJECT_FOREIGN)
		return;
	out->has_digest = !object_digest(m, "dg-file-sha256", out->digest);
	out->has_sums = !object_digest(m, "dg-sums-sha256", out->sums_digest);
	if (out->form == OBJECT_DELTA)
		out->has_size = !read_size(m, "dg-file-size", &out->size) &&
				out->has_digest;
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
	int err;

	err = meta_set(m, "dg-codec", "native");
	if (!err)
		err = set_text(m, "dg-ref-key", f->ref_key);
	if (!err)
		err = set_hex(m, "dg-ref-sha256", f->ref_digest, DIGEST_LEN);
	if (!err)
		err = set_number(m, "dg-delta-size", f->delta_size);
	if (!err)
		err = meta_set(m, "dg-delta-cmd", TOOL " native");
	return err;
}

int object_write(const struct object_facts *f, struct meta *m)
{
	static const char *const dispensable[] = {
		"dg-delta-cmd", "dg-created-at", "dg-original-name",
		"dg-sketch",    "dg-ref-key",    "dg-ref-sha256"
	};
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
	if (err)
		return -ENOSPC;
	for (size_t i = 0; meta_cost(m) > META_S3_MAX &&
			   i < sizeof(dispensable) / sizeof(dispensable[0]);
	     i++)
		meta_remove(m, dispensable[i]);
	return meta_cost(m) > META_S3_MAX ? -ENOSPC : 0;
}
