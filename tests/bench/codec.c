/*
 * The codec alone, in memory, on one thread: what tests/bench/delta sets beside
 * its peers.
 *
 *	bench_codec REFERENCE TARGET...
 *
 * A line a target: bytes, delta bytes, and CPU seconds to index the reference,
 * to encode, to decode all of it, and for a random 128 KiB read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "delta/encode.h"
#include "delta/index.h"
#include "delta/reader.h"

#define PIECE ((size_t)1 << 20)
#define READ  ((size_t)128 << 10)
#define READS 200

static double cpu(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int slurp(const char *path, struct bytes *out)
{
	FILE *f = fopen(path, "re");
	int err = f ? 0 : -errno;

	while (!err && !feof(f)) {
		err = bytes_reserve(out, 8 * PIECE);
		if (err)
			break;
		out->len += fread(out->data + out->len, 1, 8 * PIECE, f);
		if (ferror(f))
			err = -EIO;
	}
	if (f)
		(void)fclose(f);
	if (err)
		(void)fprintf(stderr, "%s: %s\n", path, strerrordesc_np(-err));
	return err;
}

static int write_bytes(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int read_bytes(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	if (off > b->len || len > b->len - off)
		return -EIO;
	memcpy(buf, b->data + off, len);
	return 0;
}

static int encode(const struct delta_index *ix, const struct bytes *ref,
		  const struct bytes *target, struct bytes *out)
{
	struct delta_info info = { .target_len = target->len,
				   .ref_len = ref->len };
	struct delta_encoder_conf conf = { .ix = ix,
					   .max_len = UINT64_MAX,
					   .write = write_bytes,
					   .write_arg = out };
	struct delta_encoder *e;
	uint64_t len;
	int err;

	err = delta_encoder_new(&e, &conf, info.ref_digest);
	if (err)
		return err;
	for (size_t off = 0; !err && off < target->len; off += PIECE)
		err = delta_encoder_feed(e, target->data + off,
					 target->len - off < PIECE ?
						 target->len - off :
						 PIECE);
	if (!err)
		err = delta_encoder_finish(e, &info, &len);
	delta_encoder_free(e);
	return err;
}

static int read_all(struct delta_reader *r, const struct bytes *target,
		    uint8_t *buf)
{
	int err = 0;

	for (size_t off = 0; !err && off < target->len; off += PIECE)
		err = delta_reader_read(r, buf + off,
					target->len - off < PIECE ?
						target->len - off :
						PIECE,
					off);
	if (!err && memcmp(buf, target->data, target->len) != 0)
		err = -EBADMSG;
	return err;
}

static int read_some(struct delta_reader *r, const struct bytes *target,
		     uint8_t *buf)
{
	uint64_t seed = 1;
	int err = 0;

	if (target->len < READ)
		return 0;
	for (int i = 0; !err && i < READS; i++) {
		uint64_t off;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		off = (seed >> 11) % (target->len - READ + 1);
		err = delta_reader_read(r, buf, READ, off);
		if (!err && memcmp(buf, target->data + off, READ) != 0)
			err = -EBADMSG;
	}
	return err;
}

static int decode(struct bytes *ref, struct bytes *object,
		  const struct bytes *target, double *all, double *some)
{
	struct delta_reader_conf conf = { .ref = { ref->len, read_bytes, ref },
					  .read_object = read_bytes,
					  .object_arg = object };
	uint8_t *buf = malloc(target->len + 1);
	struct delta_reader *r;
	struct delta_table *t;
	size_t need;
	double start;
	int err;

	if (!buf)
		return -ENOMEM;
	memset(buf, 0, target->len); /* the pages are ours before it counts */
	start = cpu();
	err = delta_table_parse(&t, object->data, object->len, object->len,
				&need);
	if (err)
		goto free_buf;
	conf.table = t;
	err = delta_reader_new(&r, &conf);
	if (err)
		goto free_table;
	err = read_all(r, target, buf);
	*all = cpu() - start;
	start = cpu();
	if (!err)
		err = read_some(r, target, buf);
	*some = (cpu() - start) / READS;
	delta_reader_free(r);
free_table:
	delta_table_free(t);
free_buf:
	free(buf);
	return err;
}

static int one(const struct delta_index *ix, double indexing,
	       struct bytes *ref, const char *path)
{
	struct bytes target = BYTES_INIT, object = BYTES_INIT;
	double start, encoding = 0, decoding = 0, reading = 0;
	int err;

	err = slurp(path, &target);
	start = cpu();
	if (!err)
		err = encode(ix, ref, &target, &object);
	encoding = cpu() - start;
	if (!err)
		err = decode(ref, &object, &target, &decoding, &reading);
	if (err)
		(void)fprintf(stderr, "%s: %s\n", path, strerrordesc_np(-err));
	else
		(void)printf("%s\t%zu\t%zu\t%.6f\t%.6f\t%.6f\t%.6f\n", path,
			     target.len, object.len, indexing, encoding,
			     decoding, reading);
	bytes_clear(&target);
	bytes_clear(&object);
	return err;
}

int main(int argc, char **argv)
{
	struct bytes ref = BYTES_INIT;
	struct delta_index *ix;
	double start;
	int err = argc < 3 ? -EINVAL : 0;

	if (err) {
		(void)fprintf(stderr, "usage: bench_codec REFERENCE TARGET...\n");
		return 2;
	}
	err = slurp(argv[1], &ref);
	if (err)
		return 1;
	start = cpu();
	err = delta_index_new(&ix, ref.data, ref.len);
	if (err)
		return 1;
	start = cpu() - start;
	for (int i = 2; !err && i < argc; i++)
		err = one(ix, start, &ref, argv[i]);
	delta_index_free(ix);
	bytes_clear(&ref);
	return err ? 1 : 0;
}
