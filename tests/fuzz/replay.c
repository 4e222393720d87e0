/*
 * Runs a fuzz target on files and on all files of folders: the corpus as a
 * test, without a fuzzer.
 *
 *	fuzz_TARGET PATH...
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int one(const char *path)
{
	struct bytes b = BYTES_INIT;
	uint8_t *exact;
	int err = codec_slurp(path, &b);

	if (err) {
		(void)fprintf(stderr, "%s: %s\n", path, strerrordesc_np(-err));
		return err;
	}
	exact = malloc(b.len ? b.len : 1);
	if (!exact)
		abort();
	if (b.len)
		memcpy(exact, b.data, b.len);
	/* Named before it is run: this is who crashed. */
	(void)fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(exact, b.len);
	free(exact);
	bytes_clear(&b);
	return 0;
}

static int folder(const char *path, DIR *dir, unsigned *count)
{
	struct dirent *e;
	char *name;
	int err = 0;

	while (!err && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		if (asprintf(&name, "%s/%s", path, e->d_name) < 0)
			return -ENOMEM;
		err = one(name);
		free(name);
		(*count)++;
	}
	return err;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	int err = 0;

	for (int i = 1; !err && i < argc; i++) {
		DIR *dir = opendir(argv[i]);

		if (dir) {
			err = folder(argv[i], dir, &count);
			(void)closedir(dir);
		} else {
			err = one(argv[i]);
			count++;
		}
	}
	(void)printf("%u inputs\n", count);
	return err || !count ? 1 : 0;
}
