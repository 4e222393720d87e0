/* Hints as they are stored: what goes in comes out, and nothing else does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "fs/hint.h"

static struct hint sample(const char *name)
{
	struct hint h = { .name = name,
			  .xattr = "%7B%22user.a%22%3A%22YQ%3D%3D%22%7D",
			  .object = { .form = OBJECT_DELTA,
				      .etag = "0123456789abcdef-2",
				      .written = { 1700000000, -1 },
				      .stored = 77,
				      .size = 12345678901,
				      .has_size = 1,
				      .has_digest = 1,
				      .has_sums = 1 },
			  .attr = { .mode = S_IFCHR | 04640,
				    .uid = 4000000000u,
				    .gid = 100,
				    .atime = { -5, 999999999 },
				    .mtime = { 1700000000, 1 },
				    .ctime = { 1700000001, 2 },
				    .rdev = makedev(8, 1),
				    .assumed = ATTR_GID } };

	memset(h.object.digest, 0xd1, DIGEST_LEN);
	memset(h.object.sums_digest, 0x5a, DIGEST_LEN);
	return h;
}

static void same(const struct hint *a, const struct hint *b)
{
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->xattr, b->xattr);
	assert_string_equal(a->object.etag, b->object.etag);
	assert_int_equal(a->object.form, b->object.form);
	assert_int_equal(a->object.written.tv_sec, b->object.written.tv_sec);
	assert_int_equal(a->object.written.tv_nsec, b->object.written.tv_nsec);
	assert_int_equal(a->object.written_by, b->object.written_by);
	assert_int_equal(a->object.stored, b->object.stored);
	assert_int_equal(a->object.size, b->object.size);
	assert_int_equal(a->object.has_digest, b->object.has_digest);
	assert_memory_equal(a->object.digest, b->object.digest, DIGEST_LEN);
	assert_int_equal(a->object.has_sums, b->object.has_sums);
	assert_memory_equal(a->object.sums_digest, b->object.sums_digest,
			    DIGEST_LEN);
	assert_int_equal(a->attr.mode, b->attr.mode);
	assert_int_equal(a->attr.uid, b->attr.uid);
	assert_int_equal(a->attr.gid, b->attr.gid);
	assert_int_equal(a->attr.rdev, b->attr.rdev);
	assert_int_equal(a->attr.assumed, b->attr.assumed);
	assert_true(attr_time_equal(&a->attr.atime, &b->attr.atime));
	assert_true(attr_time_equal(&a->attr.mtime, &b->attr.mtime));
	assert_true(attr_time_equal(&a->attr.ctime, &b->attr.ctime));
}

static void comes_back(void **state)
{
	struct hint a = sample("a b\xff\n"), b = sample("z"), got;
	struct bytes file = BYTES_INIT;
	size_t at, end;

	(void)state;
	b.object.form = OBJECT_FOREIGN;
	b.object.has_digest = b.object.has_sums = 0;
	b.object.size = b.object.stored;
	b.object.written_by = 1;
	b.object.written.tv_nsec = 0;
	memset(b.object.digest, 0, DIGEST_LEN);
	memset(b.object.sums_digest, 0, DIGEST_LEN);
	b.xattr = "";
	assert_int_equal(hint_file_begin(&file, "d/e/"), 0);
	assert_int_equal(hint_append(&file, &a), 0);
	assert_int_equal(hint_append(&file, &b), 0);
	assert_int_equal(hint_file_end(&file), 0);
	assert_int_equal(hint_file_check(&file, "d/e/", &at, &end), 0);
	assert_int_equal(hint_read(file.data, end, &at, &got), 0);
	same(&got, &a);
	assert_int_equal(hint_read(file.data, end, &at, &got), 0);
	same(&got, &b);
	assert_int_equal(at, end);
	bytes_clear(&file);
}

static void another_directory_or_damage_is_refused(void **state)
{
	struct hint a = sample("a");
	struct bytes file = BYTES_INIT;
	size_t at, end;

	(void)state;
	assert_int_equal(hint_file_begin(&file, "d/"), 0);
	assert_int_equal(hint_append(&file, &a), 0);
	assert_int_equal(hint_file_end(&file), 0);
	assert_int_equal(hint_file_check(&file, "e/", &at, &end), -EBADMSG);
	assert_int_equal(hint_file_check(&file, "", &at, &end), -EBADMSG);
	for (size_t k = 0; k < file.len; k++) {
		file.data[k] ^= 1;
		assert_int_equal(hint_file_check(&file, "d/", &at, &end),
				 -EBADMSG);
		file.data[k] ^= 1;
	}
	assert_int_equal(hint_file_check(&file, "d/", &at, &end), 0);
	for (; file.len; file.len--)
		if (hint_file_check(&file, "d/", &at, &end) == 0)
			assert_int_equal(end + DIGEST_LEN, file.len);
	bytes_clear(&file);
}

/* What no listing and no program of ours can have written. */
static void impossible_hints_are_refused(void **state)
{
	struct hint bad[8], got;

	(void)state;
	for (size_t k = 0; k < 8; k++)
		bad[k] = sample("a");
	bad[0].name = "";
	bad[1].name = "a/b";
	bad[2].object.etag[0] = '\0';
	bad[3].object.form = OBJECT_PLAIN; /* with a size of its own */
	bad[4].object.has_size = 0;
	bad[5].attr.mode = S_IFDIR | 0755;
	bad[6].attr.mtime.tv_nsec = 1000000000;
	bad[7].object.has_digest = 0;
	for (size_t k = 0; k < 8; k++) {
		struct bytes b = BYTES_INIT;
		size_t at = 0;

		assert_int_equal(hint_append(&b, &bad[k]), 0);
		assert_int_equal(hint_read(b.data, b.len, &at, &got), -EBADMSG);
		assert_int_equal(at, 0);
		bytes_clear(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(another_directory_or_damage_is_refused),
		cmocka_unit_test(impossible_hints_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
