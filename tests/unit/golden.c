/*
 * Containers that were written once are read for ever: see tests/golden/make.
 * That the encoder would write them the same today is nobody's promise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "crypto/digest.h"
#include "tests/support/codec.h"

#define TARGET_MAX ((size_t)64 << 20)

static struct bytes slurp(const char *name, const char *suffix)
{
	struct bytes b = BYTES_INIT;
	char *path;

	assert_true(asprintf(&path, "%s/%s%s", DG_GOLDEN, name, suffix) > 0);
	assert_int_equal(codec_slurp(path, &b), 0);
	free(path);
	return b;
}

static struct bytes reference(const char *name)
{
	struct bytes packed = slurp(name, ".ref.zst"), b = BYTES_INIT;
	unsigned long long len =
		ZSTD_getFrameContentSize(packed.data, packed.len);

	assert_true(len < TARGET_MAX);
	assert_int_equal(bytes_reserve(&b, (size_t)len + 1), 0);
	b.len = (size_t)len;
	assert_int_equal(
		ZSTD_decompress(b.data, b.len, packed.data, packed.len), len);
	bytes_clear(&packed);
	return b;
}

static void check(const char *name, const char *ref_name, const char *digest)
{
	struct bytes ref = reference(ref_name), object = slurp(name, ".delta");
	struct bytes target = BYTES_INIT;
	uint8_t sum[DIGEST_LEN];
	char hex[DIGEST_HEX];
	int err = codec_decode(&ref, &object, TARGET_MAX, &target);

	if (err)
		fail_msg("%s: %s", name, strerrordesc_np(-err));
	assert_int_equal(digest_buffer(target.data, target.len, sum), 0);
	hex_encode(hex, sum, sizeof(sum));
	if (strcmp(hex, digest) != 0)
		fail_msg("%s: another target", name);
	bytes_clear(&target);
	bytes_clear(&object);
	bytes_clear(&ref);
}

static void all_are_read(void **state)
{
	struct bytes list = slurp("list", "");
	char name[64], ref[64], digest[DIGEST_HEX];
	size_t count = 0, at = 0;
	const char *line;
	int used;

	(void)state;
	assert_int_equal(bytes_append(&list, "", 1), 0);
	for (; at < list.len - 1; at += (size_t)used, count++) {
		line = (const char *)list.data + at;
		used = 0;
		assert_int_equal(sscanf(line, "%63s %63s %64s\n%n", name, ref,
					digest, &used),
				 3);
		assert_true(used > 0);
		check(name, ref, digest);
	}
	assert_true(count >= 20);
	bytes_clear(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
