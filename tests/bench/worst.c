/*
 * How slow the encoder gets on inputs that are made to be slow: see
 * tests/support/recipes.h.
 *
 *	bench_worst [-fast|-default|-best] [MIB [RECIPE]]
 *
 * A line a recipe whose name begins with RECIPE: MB/s of target encoded, by CPU
 * time, with the index and without digests; MB/s decoded; size in per cent of the target.
 * Targets are of MIB mebibytes, 8 unless told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/codec.h"
#include "tests/support/recipes.h"

static double cpu(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int one(const struct recipe *r, size_t n, enum delta_level level)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	struct bytes object = BYTES_INIT, out = BYTES_INIT;
	double start, hashing, encoding, decoding;
	uint8_t digest[DIGEST_LEN];
	int err;

	r->make(r, &ref, &target, n);
	/* codec_encode() does this as well, and it is not meant. */
	start = cpu();
	err = digest_buffer(ref.data, ref.len, digest);
	if (!err)
		err = digest_buffer(target.data, target.len, digest);
	hashing = cpu() - start;
	start = cpu();
	if (!err)
		err = codec_encode(&ref, &target, level, CODEC_KEY, target.len,
				   0, &object);
	encoding = cpu() - start - hashing;
	start = cpu();
	if (!err)
		err = codec_decode(&ref, &object, target.len, &out);
	decoding = cpu() - start;
	if (err)
		(void)fprintf(stderr, "%s: %s\n", r->name,
			      strerrordesc_np(-err));
	else
		(void)printf("%8.1f\t%8.1f\t%6.2f\t%s\t%s\n",
			     (double)target.len / encoding / 1e6,
			     (double)target.len / decoding / 1e6,
			     100 * (double)object.len / (double)target.len,
			     r->name, r->what);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&object);
	bytes_clear(&out);
	return err;
}

int main(int argc, char **argv)
{
	static const char *const levels[] = { "fast", "default", "best" };
	enum delta_level level = DELTA_DEFAULT;
	const char *name = "";
	const struct recipe *r;
	size_t mib = 8;
	int err = 0;

	for (int i = 0; argc > 1 && i < 3; i++)
		if (argv[1][0] == '-' && !strcmp(argv[1] + 1, levels[i])) {
			level = (enum delta_level)i;
			argc--;
			argv++;
			break;
		}
	if (argc > 1)
		mib = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		name = argv[2];
	if (!mib || mib > 1024 || argc > 3) {
		(void)fprintf(
			stderr,
			"usage: bench_worst [-fast|-default|-best] [MIB [RECIPE]]\n");
		return 2;
	}
	for (size_t i = 0; !err && (r = recipe_get(i)); i++)
		if (!strncmp(r->name, name, strlen(name)))
			err = one(r, mib << 20, level);
	return err ? 1 : 0;
}
