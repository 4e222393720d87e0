/*
 * A container of one file by another, for tests/golden/make and for looking at
 * one by hand.
 *
 *	golden_encode fast|default|best|identity KEY REFERENCE TARGET OBJECT
 *
 * "identity" is how a file that equals its reference is stored.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/codec.h"

#define IDENTITY 3

static int run(char **argv, int level)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, out = BYTES_INIT;
	FILE *f;
	int err;

	err = codec_slurp(argv[3], &ref);
	if (!err)
		err = codec_slurp(argv[4], &target);
	if (!err)
		err = level == IDENTITY
			      ? codec_identity(&ref, argv[2], &out)
			      : codec_encode(&ref, &target,
					     (enum delta_level)level, argv[2],
					     target.len, 0, &out);
	if (!err) {
		f = fopen(argv[5], "we");
		if (!f || fwrite(out.data, 1, out.len, f) != out.len)
			err = -EIO;
		if (f && fclose(f))
			err = -EIO;
	}
	if (err)
		(void)fprintf(stderr, "golden_encode: %s: %s\n", argv[4],
			      strerrordesc_np(-err));
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&out);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const char *const levels[] = { "fast", "default", "best",
					      "identity" };

	for (int i = 0; argc == 6 && i <= IDENTITY; i++)
		if (!strcmp(argv[1], levels[i]))
			return run(argv, i);
	(void)fprintf(
		stderr,
		"usage: golden_encode fast|default|best|identity KEY REFERENCE TARGET OBJECT\n");
	return 2;
}
