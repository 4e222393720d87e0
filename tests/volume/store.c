/* What is stored, in which form, and that it comes back. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/object.h"

#define LEN ((size_t)600000)

static void small_files_are_plain(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(put(x, "a", "hello", 5), 0);
	assert_int_equal(put(x, "b", "hello", 5), 0);
	expect(x, "a", "hello", 5);
	fixture_mount(x);
	expect(x, "a", "hello", 5);
	expect_storage(x, "a", "plain");
	expect_storage(x, "b", "plain");
}

static void stat_is_kept(void **state)
{
	struct fixture *x = *state;
	struct stat want = { 0 }, st;
	struct change c = { &want,
			    SET_MODE | SET_UID | SET_GID | SET_MTIME |
				    SET_ATIME,
			    NULL };
	struct inode *i;

	assert_int_equal(put(x, "a", "hello", 5), 0);
	i = at(x, "a");
	want.st_mode = 0640;
	want.st_uid = 12;
	want.st_gid = 13;
	want.st_mtim = (struct timespec){ 1234567890, 123456789 };
	want.st_atim = (struct timespec){ -5, 250000000 };
	assert_int_equal(volume_setattr(x->v, &somebody, i, &c, &st), 0);
	inode_forget(x->v, i, 1);
	fixture_mount(x);
	i = at(x, "a");
	assert_int_equal(volume_getattr(x->v, &somebody, i, &st), 0);
	inode_forget(x->v, i, 1);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_uid, 12);
	assert_int_equal(st.st_gid, 13);
	assert_int_equal(st.st_mtim.tv_sec, 1234567890);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(st.st_atim.tv_sec, -5);
	assert_int_equal(st.st_atim.tv_nsec, 250000000);
	expect(x, "a", "hello", 5);
}

/* A second version: the first becomes the reference, both come back. */
static void versions_become_deltas(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(1, LEN), *two = noise(1, LEN);
	char *ref;

	memcpy(two + 1000, "changed", 7);
	memmove(two + 300000, two + 300100, LEN - 300100);
	assert_int_equal(put(x, "v1", one, LEN), 0);
	expect_storage(x, "v1", "plain");
	assert_int_equal(put(x, "v2", two, LEN - 100), 0);
	expect_storage(x, "v1", "delta");
	expect_storage(x, "v2", "delta");
	expect(x, "v1", one, LEN);
	expect(x, "v2", two, LEN - 100);
	ref = xattr(x, "v2", "reference");
	assert_true(memstore_has(x->store, ref));
	free(ref);
	fixture_mount(x);
	expect(x, "v2", two, LEN - 100);
	expect(x, "v1", one, LEN);
	/* A third one finds the reference in the bucket. */
	two[77]++;
	assert_int_equal(put(x, "v3", two, LEN - 100), 0);
	expect_storage(x, "v3", "delta");
	expect(x, "v3", two, LEN - 100);
	free(one);
	free(two);
}

static void the_same_again_costs_nothing(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(2, LEN);
	char *stored;

	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, "v2", one, LEN), 0);
	stored = xattr(x, "v2", "stored_size");
	assert_true(strtoul(stored, NULL, 10) < 1000);
	free(stored);
	expect(x, "v2", one, LEN);
	free(one);
}

static void unrelated_files_stay_plain(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(3, LEN), *two = noise(4, LEN);
	struct volume_stats s;

	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, "v2", two, LEN), 0);
	expect_storage(x, "v1", "plain");
	expect_storage(x, "v2", "plain");
	volume_stats(x->v, &s);
	assert_int_equal(s.promotions, 0);
	assert_int_equal(memstore_count(x->store, MEMSTORE_COPY), 0);
	free(one);
	free(two);
}

/* Alike, but by less than max_ratio: encoded, found too large, not kept. */
static void what_does_not_pay_is_not_kept(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(5, LEN), *two = noise(6, LEN);
	struct volume_stats s;

	memcpy(two, one, LEN * 2 / 5);
	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, "v2", two, LEN), 0);
	expect_storage(x, "v1", "plain");
	expect_storage(x, "v2", "plain");
	expect(x, "v2", two, LEN);
	volume_stats(x->v, &s);
	assert_int_equal(s.deltas_refused, 1);
	free(one);
	free(two);
}

static void without_delta_all_is_plain(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(7, LEN);

	x->conf.delta = 0;
	fixture_mount(x);
	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, "v2", one, LEN), 0);
	expect_storage(x, "v2", "plain");
	free(one);
}

/* A server without conditional PUT: nothing of anybody's is ever replaced. */
static void no_conditions_no_promotion(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(8, LEN);
	struct store_caps none = { 0 };

	memstore_set_caps(x->store, &none);
	fixture_mount(x);
	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, "v2", one, LEN), 0);
	expect_storage(x, "v1", "plain");
	expect_storage(x, "v2", "delta");
	x->conf.exclusive = 1;
	fixture_mount(x);
	assert_int_equal(put(x, "w1", one, LEN), 0);
	expect_storage(x, "w1", "delta");
	expect(x, "v1", one, LEN);
	free(one);
}

static int give(void *arg, void *buf, size_t len, uint64_t off)
{
	memcpy(buf, (const uint8_t *)arg + off, len);
	return 0;
}

static void put_foreign(struct fixture *x, const char *key, uint8_t *data,
			size_t len)
{
	struct store_source src = { len, give, data };

	assert_int_equal(x->store->ops->put(x->store, key, &src,
					    &(struct store_head){ 0 },
					    &(struct store_call){ 0 }, NULL),
			 0);
}

/* Others' objects serve as references and stay what they are. */
static void foreign_objects_are_used_not_replaced(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(9, LEN), *two = noise(9, LEN);

	put_foreign(x, "theirs", one, LEN);
	two[5]++;
	expect(x, "theirs", one, LEN);
	assert_int_equal(put(x, "ours", two, LEN), 0);
	expect_storage(x, "ours", "delta");
	expect_storage(x, "theirs", "plain");
	expect(x, "ours", two, LEN);
	fixture_mount(x);
	expect(x, "ours", two, LEN);
	expect(x, "theirs", one, LEN);
	free(one);
	free(two);
}

/* Names as rsync makes them: the delta moves along with the rename. */
static void rename_keeps_the_form(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(10, LEN), *two = noise(10, LEN);
	struct rename r = { volume_root(x->v), volume_root(x->v), ".v2.Xy12Zz",
			    "v2", 0 };

	two[LEN / 2]++;
	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, ".v2.Xy12Zz", two, LEN), 0);
	assert_int_equal(volume_rename(x->v, &somebody, &r), 0);
	assert_null(at(x, ".v2.Xy12Zz"));
	expect_storage(x, "v2", "delta");
	expect(x, "v2", two, LEN);
	free(one);
	free(two);
}

/* A plain file that was renamed is still what the next one is compared with. */
static void a_renamed_file_becomes_the_reference(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(11, LEN);
	struct rename r = { volume_root(x->v), volume_root(x->v), "tmp", "v1",
			    0 };

	assert_int_equal(put(x, "other", "12345", 5), 0);
	assert_int_equal(put(x, "tmp", one, LEN), 0);
	assert_int_equal(volume_rename(x->v, &somebody, &r), 0);
	one[3]++;
	assert_int_equal(put(x, "v2", one, LEN), 0);
	expect_storage(x, "v1", "delta");
	expect_storage(x, "v2", "delta");
	one[3]--;
	expect(x, "v1", one, LEN);
	free(one);
}

/* A copy that lost its metadata can still be read: the container says it all. */
static void a_container_describes_itself(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(12, LEN);
	struct store_head bare = { .content_type = OBJECT_TYPE };

	assert_int_equal(put(x, "v1", one, LEN), 0);
	one[9]++;
	assert_int_equal(put(x, "v2", one, LEN), 0);
	assert_int_equal(x->store->ops->copy(x->store, "v2", "copied", &bare,
					     &(struct store_call){ 0 }, NULL),
			 0);
	expect(x, "copied", one, LEN);
	free(one);
}

static void large_plain_files_by_ranges(void **state)
{
	struct fixture *x = *state;
	size_t len = (9 << 20) + 12345;
	uint8_t *one = noise(13, len);

	assert_int_equal(put(x, "big", one, len), 0);
	fixture_mount(x);
	expect(x, "big", one, len);
	free(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(small_files_are_plain),
		TEST(stat_is_kept),
		TEST(versions_become_deltas),
		TEST(the_same_again_costs_nothing),
		TEST(unrelated_files_stay_plain),
		TEST(what_does_not_pay_is_not_kept),
		TEST(without_delta_all_is_plain),
		TEST(no_conditions_no_promotion),
		TEST(foreign_objects_are_used_not_replaced),
		TEST(rename_keeps_the_form),
		TEST(a_renamed_file_becomes_the_reference),
		TEST(a_container_describes_itself),
		TEST(large_plain_files_by_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
