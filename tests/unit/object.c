/* Metadata: what is written comes back, what is strange does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fs/attr.h"
#include "fs/object.h"
#include "fs/sums.h"

static const struct attr_defaults defaults = { 5, 6, 0640, 0750 };

static void set(struct store_stat *st, const char *name, const char *value)
{
	assert_int_equal(meta_set(&st->meta, name, value), 0);
}

static void attributes_round_trip(void **state)
{
	static const struct timespec times[] = { { 0, 0 },
						 { 1700000000, 1 },
						 { 1700000000, 999999999 },
						 { -1, 0 },
						 { -1, 500000000 },
						 { -2, 999999999 },
						 { 253402300799, 5 } };
	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct attr a = { .mode = S_IFREG | 04751,
				  .uid = 4294967294u,
				  .gid = 0,
				  .mtime = times[i],
				  .atime = times[(i + 1) % 7],
				  .ctime = times[(i + 2) % 7] };
		struct store_stat st = { 0 };
		struct attr b;

		assert_int_equal(attr_write(&a, &st.meta), 0);
		attr_read(&b, &st, &defaults, 0);
		assert_int_equal(a.mode, b.mode);
		assert_int_equal(a.uid, b.uid);
		assert_int_equal(a.gid, b.gid);
		assert_true(attr_time_equal(&a.mtime, &b.mtime));
		assert_true(attr_time_equal(&a.atime, &b.atime));
		assert_true(attr_time_equal(&a.ctime, &b.ctime));
	}
}

/* Fifos, sockets and devices; what is no device's number makes none. */
static void attributes_of_no_files(void **state)
{
	static const char *const bad[] = {
		"", "8", "8,", ",1", "8,x", "a,1", "8,1,", "9999999999,1"
	};
	const mode_t types[] = { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		struct attr a = { .mode = types[k] | 0604,
				  .rdev = makedev(259, 70000) };
		struct store_stat st = { 0 };
		struct attr b;

		assert_int_equal(attr_write(&a, &st.meta), 0);
		attr_read(&b, &st, &defaults, 0);
		assert_int_equal(b.mode, a.mode);
		assert_int_equal(b.rdev, k < 2 ? 0 : a.rdev);
	}
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
		struct store_stat st = { 0 };
		struct attr b;

		set(&st, "mode", "8630"); /* a character device, 0666 */
		if (*bad[k])
			set(&st, "dg-rdev", bad[k]);
		attr_read(&b, &st, &defaults, 0);
		assert_int_equal(b.mode, S_IFREG | 0666);
		assert_int_equal(b.rdev, 0);
	}
}

static void attributes_of_others(void **state)
{
	struct store_stat st = { .mtime = { 1000, 0 } };
	struct attr a;

	(void)state;
	attr_read(&a, &st, &defaults, 0);
	assert_int_equal(a.mode, S_IFREG | 0640);
	assert_int_equal(a.uid, 5);
	assert_int_equal(a.gid, 6);
	assert_int_equal(a.mtime.tv_sec, 1000);
	attr_read(&a, &st, &defaults, 1);
	assert_int_equal(a.mode, S_IFDIR | 0750);
	/* As s3fs writes them, and as rclone does. */
	set(&st, "mode", "33188");
	set(&st, "uid", "12");
	set(&st, "mtime", "1700000000.25");
	attr_read(&a, &st, &defaults, 0);
	assert_int_equal(a.mode, S_IFREG | 0644);
	assert_int_equal(a.uid, 12);
	assert_int_equal(a.mtime.tv_sec, 1700000000);
	assert_int_equal(a.mtime.tv_nsec, 250000000);
	/* Nonsense is as if it were not there. */
	set(&st, "mode", "rwxr-xr-x");
	set(&st, "uid", "-1");
	set(&st, "mtime", "yesterday");
	attr_read(&a, &st, &defaults, 0);
	assert_int_equal(a.mode, S_IFREG | 0640);
	assert_int_equal(a.uid, 5);
	assert_int_equal(a.mtime.tv_sec, 1000);
	/* A file cannot claim to be a directory. */
	set(&st, "mode", "16877");
	attr_read(&a, &st, &defaults, 0);
	assert_true(S_ISREG(a.mode));
}

static struct object_facts facts_of(const char *name, const uint8_t *digest,
				    const struct attr *a)
{
	return (struct object_facts){
		.name = name, .size = 123456789, .digest = digest, .attr = a
	};
}

static void objects_round_trip(void **state)
{
	uint8_t digest[DIGEST_LEN] = { 0 }, ref[DIGEST_LEN], out[DIGEST_LEN];
	struct attr a = { .mode = S_IFREG | 0644 };
	struct object_facts f = facts_of("caf\xc3\xa9 100%.zip", digest, &a);
	struct store_stat st = { .len = 123456789, .etag = "e1" };
	struct sketch sketch, back;
	struct object o;
	char text[META_VALUE_MAX];

	(void)state;
	memset(digest, 0xa5, sizeof(digest));
	memset(ref, 0x5a, sizeof(ref));
	memset(&sketch, 7, sizeof(sketch));
	f.sketch = &sketch;
	assert_int_equal(object_write(&f, &st.meta), 0);
	object_read(&o, &st);
	assert_int_equal(o.form, OBJECT_PLAIN);
	assert_int_equal(o.size, 123456789);
	assert_true(o.has_digest);
	assert_memory_equal(o.digest, digest, DIGEST_LEN);
	assert_string_equal(o.etag, "e1");
	assert_int_equal(object_sketch(&st.meta, &back), 0);
	assert_memory_equal(&back, &sketch, sizeof(back));
	assert_int_equal(
		meta_get(&st.meta, "dg-compression", text, sizeof(text)), 0);
	assert_string_equal(text, "none");

	f.ref_key = "a b/.dg/refs/x/reference.bin";
	f.ref_digest = ref;
	f.delta_size = 4711;
	st = (struct store_stat){ .len = 4711, .content_type = OBJECT_TYPE };
	assert_int_equal(object_write(&f, &st.meta), 0);
	object_read(&o, &st);
	assert_int_equal(o.form, OBJECT_DELTA);
	assert_int_equal(o.size, 123456789);
	assert_int_equal(o.stored, 4711);
	assert_int_equal(object_digest(&st.meta, "dg-ref-sha256", out), 0);
	assert_memory_equal(out, ref, DIGEST_LEN);
}

/* What passes 2 KB goes in the documented order; what matters stays. */
static void too_much_is_dropped_in_order(void **state)
{
	uint8_t digest[DIGEST_LEN] = { 1 };
	struct attr a = { .mode = S_IFREG | 0644 };
	char name[256] = "", key[1001], text[META_VALUE_MAX];
	struct object_facts f = facts_of(name, digest, &a);
	struct sketch sketch = { { 1 } };
	struct meta m;

	(void)state;
	memset(name, 0xc3, sizeof(name) - 1);
	name[255] = '\0';
	memset(key, 'k', sizeof(key) - 1);
	key[1000] = '\0';
	f.ref_key = key;
	f.ref_digest = digest;
	f.sketch = &sketch;
	assert_int_equal(object_write(&f, &m), 0);
	assert_true(meta_cost(&m) <= META_S3_MAX);
	assert_int_equal(meta_get(&m, "dg-delta-cmd", text, sizeof(text)),
			 -ENOENT);
	assert_int_equal(meta_get(&m, "dg-original-name", text, sizeof(text)),
			 -ENOENT);
	assert_int_equal(meta_get(&m, "dg-file-sha256", text, sizeof(text)), 0);
	assert_int_equal(meta_get(&m, "mtime", text, sizeof(text)), 0);
}

/* A patch repeats nothing: all that reads it stays, or there is no patch. */
static void bsdiff_keeps_what_it_needs(void **state)
{
	uint8_t digest[DIGEST_LEN] = { 1 }, ref[DIGEST_LEN] = { 2 };
	static const char *const needed[] = { "dg-codec",      "dg-file-sha256",
					      "dg-file-size",  "dg-ref-key",
					      "dg-ref-sha256", "dg-ref-size" };
	struct attr a = { .mode = S_IFREG | 0644 };
	char name[256] = "", key[1801], text[META_VALUE_MAX];
	struct object_facts f = facts_of(name, digest, &a);
	struct store_stat st = { .len = 4711 };
	struct sketch sketch = { { 1 } };
	struct object o;
	uint64_t len;

	(void)state;
	memset(name, 0xc3, sizeof(name) - 1);
	memset(key, 'k', sizeof(key) - 1);
	key[1000] = '\0';
	f.codec = CODEC_BSDIFF;
	f.ref_key = key;
	f.ref_digest = ref;
	f.ref_len = 98765;
	f.delta_size = 4711;
	f.sketch = &sketch;
	assert_int_equal(object_write(&f, &st.meta), 0);
	assert_true(meta_cost(&st.meta) <= META_S3_MAX);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		assert_int_equal(
			meta_get(&st.meta, needed[i], text, sizeof(text)), 0);
	object_read(&o, &st);
	assert_int_equal(o.form, OBJECT_BSDIFF);
	assert_true(object_is_delta(&o));
	assert_int_equal(o.size, 123456789);
	assert_int_equal(o.stored, 4711);
	assert_memory_equal(o.digest, digest, DIGEST_LEN);
	assert_int_equal(object_size(&st.meta, "dg-ref-size", &len), 0);
	assert_int_equal(len, 98765);
	/* Whatever type it has been given on the way. */
	memcpy(st.content_type, OBJECT_TYPE, sizeof(OBJECT_TYPE));
	object_read(&o, &st);
	assert_int_equal(o.form, OBJECT_BSDIFF);
	st.content_type[0] = '\0';
	meta_remove(&st.meta, "dg-ref-sha256");
	object_read(&o, &st);
	assert_int_equal(o.form, OBJECT_FOREIGN);
	assert_int_equal(o.size, 4711);
	assert_false(o.has_digest);
	key[1000] = 'k';
	key[1800] = '\0';
	assert_int_equal(object_write(&f, &st.meta), -ENOSPC);
	memset(key, 0xc3, 1000);
	assert_int_equal(object_write(&f, &st.meta), -ENOSPC);
	f.codec = CODEC_NATIVE;
	assert_int_equal(object_write(&f, &st.meta), 0);
}

static void a_stale_digest_is_not_ours(void **state)
{
	uint8_t digest[DIGEST_LEN] = { 1 };
	struct attr a = { .mode = S_IFREG | 0644 };
	struct object_facts f = facts_of("n", digest, &a);
	struct store_stat st = { .len = 5 };
	struct object o;

	(void)state;
	/* Another tool replaced the bytes and kept the metadata. */
	assert_int_equal(object_write(&f, &st.meta), 0);
	object_read(&o, &st);
	assert_int_equal(o.form, OBJECT_FOREIGN);
	assert_int_equal(o.size, 5);
	/* A container without its metadata has to be asked. */
	st = (struct store_stat){ .len = 500, .content_type = OBJECT_TYPE };
	object_read(&o, &st);
	assert_int_equal(o.form, OBJECT_DELTA);
	assert_false(o.has_size);
}

static void sums_check_blocks(void **state)
{
	static uint8_t data[300000];
	struct bytes table = BYTES_INIT, copy = BYTES_INIT;
	uint8_t digest[DIGEST_LEN];
	struct sums_maker *m;
	struct sums s;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(sums_maker_new(&m, sizeof(data)), 0);
	assert_int_equal(sums_maker_feed(m, data, 100001), 0);
	assert_int_equal(sums_maker_finish(m, &table), -EINVAL);
	assert_int_equal(
		sums_maker_feed(m, data + 100001, sizeof(data) - 100001), 0);
	assert_int_equal(sums_maker_finish(m, &table), 0);
	sums_maker_free(m);
	assert_int_equal(table.len, sums_table_len(sizeof(data)));
	assert_int_equal(digest_buffer(table.data, table.len, digest), 0);
	assert_int_equal(bytes_append(&copy, table.data, table.len), 0);
	copy.data[30] ^= 1;
	assert_int_equal(sums_parse(&s, &copy, sizeof(data), digest), -EBADMSG);
	assert_int_equal(sums_parse(&s, &table, sizeof(data) + 70000, digest),
			 -EBADMSG);
	assert_int_equal(sums_parse(&s, &table, sizeof(data), digest), 0);
	assert_int_equal(sums_check(&s, data, sizeof(data), 0), 0);
	assert_int_equal(sums_check(&s, data + 65536, 65536, 65536), 0);
	assert_int_equal(
		sums_check(&s, data + 262144, sizeof(data) - 262144, 262144),
		0);
	assert_int_equal(sums_check(&s, data + 65536, 65536, 0), -EBADMSG);
	assert_int_equal(sums_check(&s, data, 1000, 0), -EBADMSG);
	assert_int_equal(sums_check(&s, data + 1, 65536, 1), -EBADMSG);
	data[70000] ^= 1;
	assert_int_equal(sums_check(&s, data + 65536, 65536, 65536), -EBADMSG);
	assert_int_equal(sums_check(&s, data, 65536, 0), 0);
	sums_clear(&s);
	bytes_clear(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_round_trip),
		cmocka_unit_test(attributes_of_no_files),
		cmocka_unit_test(attributes_of_others),
		cmocka_unit_test(objects_round_trip),
		cmocka_unit_test(too_much_is_dropped_in_order),
		cmocka_unit_test(bsdiff_keeps_what_it_needs),
		cmocka_unit_test(a_stale_digest_is_not_ours),
		cmocka_unit_test(sums_check_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
