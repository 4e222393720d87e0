#include "tests/support/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "delta/index.h"
#include "delta/reader.h"

static int sink(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

int codec_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	if (off > b->len || len > b->len - off)
		abort();
	if (len)
		memcpy(buf, b->data + off, len);
	return 0;
}

struct indexed {
	const struct bytes *ref;
	struct delta_index *ix;
};

static int get_index(void *arg, const struct delta_index **out)
{
	struct indexed *i = arg;
	int err;

	if (i->ix)
		abort(); /* it is asked for once */
	err = delta_index_new(&i->ix, i->ref->data, i->ref->len, SIZE_MAX);
	if (!err)
		*out = i->ix;
	return err;
}

static int describe(const struct bytes *ref, const struct bytes *target,
		    const char *key, struct delta_info *info)
{
	int err;

	*info = (struct delta_info){ .target_len = target->len,
				     .ref_len = ref->len };
	if (strlen(key) > DELTA_KEY_MAX)
		return -EINVAL;
	(void)snprintf(info->ref_key, sizeof(info->ref_key), "%s", key);
	err = digest_buffer(target->data, target->len, info->target_digest);
	return err ? err : digest_buffer(ref->data, ref->len, info->ref_digest);
}

struct lazy {
	void (*fn)(void *task);
	void *task;
};

static void *start_lazy(void *arg, void (*fn)(void *task), void *task)
{
	struct lazy *l = malloc(sizeof(*l));

	(void)arg;
	if (!l)
		abort();
	*l = (struct lazy){ fn, task };
	return l;
}

static void wait_lazy(void *arg, void *started)
{
	struct lazy *l = started;

	(void)arg;
	l->fn(l->task);
	free(l);
}

int codec_encode(const struct bytes *ref, const struct bytes *target,
		 enum delta_level level, const char *key, size_t piece,
		 int lazy, struct bytes *out)
{
	static const struct delta_tasks tasks = { .width = 3,
						  .start = start_lazy,
						  .wait = wait_lazy };
	struct indexed indexed = { .ref = ref };
	struct delta_encoder_conf conf = { .ref = ref->data,
					   .ref_len = ref->len,
					   .index = get_index,
					   .index_arg = &indexed,
					   .level = level,
					   .max_len = UINT64_MAX,
					   .write = sink,
					   .write_arg = out,
					   .tasks = lazy ? &tasks : NULL };
	size_t before = out->len, n;
	struct delta_encoder *e;
	struct delta_info info;
	uint64_t len = 0;
	int err;

	err = describe(ref, target, key, &info);
	if (err)
		return err;
	err = delta_encoder_new(&e, &conf, info.ref_digest);
	if (err)
		return err;
	for (size_t off = 0; !err && off < target->len; off += n) {
		n = target->len - off < piece ? target->len - off : piece;
		err = delta_encoder_feed(e, target->data + off, n);
	}
	if (!err)
		err = delta_encoder_finish(e, &info, &len);
	if (!err && len != out->len - before)
		abort();
	delta_encoder_free(e);
	delta_index_free(indexed.ix);
	return err;
}

int codec_identity(const struct bytes *ref, const char *key, struct bytes *out)
{
	struct delta_info info;
	int err = describe(ref, ref, key, &info);

	return err ? err : delta_identity(&info, out);
}

/* In pieces of an odd size, so that reads end within blocks. */
static int read_all(struct delta_reader *r, size_t len, struct bytes *out)
{
	const size_t piece = 300007;
	int err = bytes_reserve(out, len ? len : 1);
	size_t n;

	for (size_t off = 0; !err && off < len; off += n) {
		n = len - off < piece ? len - off : piece;
		err = delta_reader_read(r, out->data + out->len, n, off);
		out->len += n;
	}
	return err;
}

int codec_decode(const struct bytes *ref, const struct bytes *object,
		 size_t max, struct bytes *out)
{
	struct bytes from = *ref,
		     stored = *object; /* to be asked, not changed */
	struct delta_reader_conf conf = { .ref = { ref->len, codec_read,
						   &from },
					  .read_object = codec_read,
					  .object_arg = &stored };
	struct delta_reader *r;
	struct delta_table *t;
	size_t need;
	int err;

	err = delta_table_parse(&t, object->data, object->len, object->len,
				&need);
	if (err)
		return err;
	conf.table = t;
	if (delta_table_info(t)->target_len > max) {
		err = -EFBIG;
	} else if (delta_table_info(t)->ref_len != ref->len) {
		err = -EINVAL;
	} else {
		err = delta_reader_new(&r, &conf);
		if (!err) {
			err = read_all(r,
				       (size_t)delta_table_info(t)->target_len,
				       out);
			delta_reader_free(r);
		}
	}
	delta_table_free(t);
	return err;
}

int codec_slurp(const char *path, struct bytes *out)
{
	const size_t piece = (size_t)1 << 20;
	FILE *f = fopen(path, "re");
	int err = f ? 0 : -errno;

	while (!err && !feof(f)) {
		err = bytes_reserve(out, piece);
		if (err)
			break;
		out->len += fread(out->data + out->len, 1, piece, f);
		if (ferror(f))
			err = -EIO;
	}
	if (f)
		(void)fclose(f);
	return err;
}
