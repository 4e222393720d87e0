/*
 * The codec alone, in memory, on one thread: what tests/bench/delta sets beside
 * its peers.
 *
 *	bench_codec [-fast|-default|-best] REFERENCE TARGET...
 *
 * A line a target: bytes, delta bytes, and CPU seconds to index the reference
 * (0 if it was indexed already, or needed no index), to encode apart from that,
 * to decode all of it, and for a random 128 KiB read.
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

static enum delta_level level = DELTA_DEFAULT;

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

/* The index is built when it is first asked for, and its time kept apart. */
struct indexed {
	const struct bytes *ref;
	struct delta_index *ix;
	double seconds;
};

static int get_index(void *arg, const struct delta_index **out)
{
	struct indexed *i = arg;
	double start = cpu();
	int err = 0;

	if (!i->ix) {
		err = delta_index_new(&i->ix, i->ref->data, i->ref->len,
				      SIZE_MAX);
		i->seconds = cpu() - start;
	}
	if (!err)
		*out = i->ix;
	return err;
}

static int encode(struct indexed *indexed, const struct bytes *target,
		  struct bytes *out)
{
	const struct bytes *ref = indexed->ref;
	struct delta_info info = { .target_len = target->len,
				   .ref_len = ref->len };
	struct delta_encoder_conf conf = { .ref = ref->data,
					   .ref_len = ref->len,
					   .index = get_index,
					   .index_arg = indexed,
					   .level = level,
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
		err = delta_encoder_feed(
			e, target->data + off,
			target->len - off < PIECE ? target->len - off : PIECE);
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
		err = delta_reader_read(
			r, buf + off,
			target->len - off < PIECE ? target->len - off : PIECE,
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

static int one(struct indexed *indexed, struct bytes *ref, const char *path)
{
	struct bytes target = BYTES_INIT, object = BYTES_INIT;
	double start, built = indexed->seconds, encoding = 0, decoding = 0;
	double reading = 0;
	int err;

	err = slurp(path, &target);
	start = cpu();
	if (!err)
		err = encode(indexed, &target, &object);
	encoding = cpu() - start - (indexed->seconds - built);
	if (!err)
		err = decode(ref, &object, &target, &decoding, &reading);
	if (err)
		(void)fprintf(stderr, "%s: %s\n", path, strerrordesc_np(-err));
	else
		(void)printf("%s\t%zu\t%zu\t%.6f\t%.6f\t%.6f\t%.6f\n", path,
			     target.len, object.len, indexed->seconds - built,
			     encoding, decoding, reading);
	bytes_clear(&target);
	bytes_clear(&object);
	return err;
}

int main(int argc, char **argv)
{
	static const char *const levels[] = { "fast", "default", "best" };
	struct bytes ref = BYTES_INIT;
	struct indexed indexed = { .ref = &ref };
	int err = 0, first = 1;

	for (int i = 0; argc > 1 && i < 3; i++)
		if (argv[1][0] == '-' && !strcmp(argv[1] + 1, levels[i])) {
			level = (enum delta_level)i;
			first = 2;
		}
	if (argc < first + 2) {
		(void)fprintf(
			stderr,
			"usage: bench_codec [-fast|-default|-best] REFERENCE TARGET...\n");
		return 2;
	}
	err = slurp(argv[first], &ref);
	for (int i = first + 1; !err && i < argc; i++)
		err = one(&indexed, &ref, argv[i]);
	delta_index_free(indexed.ix);
	bytes_clear(&ref);
	return err ? 1 : 0;
}
