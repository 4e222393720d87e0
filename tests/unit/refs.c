#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "delta/index.h"
#include "tests/support/refsfixture.h"

static void fetched_once_then_cached(void **state)
{
	struct fixture *x = *state;
	struct source s;
	struct seen st;
	struct ref *ref;
	uint64_t disk;
	char name[256], hex[DIGEST_HEX];

	source_init(&s, 1, 3 * PAGE + 1000);
	ref = get_ref(x, &s);
	assert_memory_equal(ref_digest(ref), s.digest, DIGEST_LEN);
	assert_int_equal(ref_length(ref), s.len);
	expect_ref(ref, &s, 0, (size_t)s.len);
	expect_ref(ref, &s, 5, PAGE);
	expect_ref(ref, &s, s.len - 1, 1);
	expect_ref(ref, &s, s.len, 0);
	expect_ref(ref, &s, PAGE - 1, 2 * PAGE + 2);
	assert_int_equal(ref_read(ref, name, 1, s.len), -ERANGE);
	assert_int_equal(ref_read(ref, name, 2, s.len - 1), -ERANGE);
	assert_int_equal(ref_read(ref, name, 2, UINT64_MAX), -ERANGE);

	/* Nothing of the content, the digest included, is in the name. */
	hex_encode(hex, s.digest, DIGEST_LEN);
	assert_int_equal(files_of(x->dir, &disk, name), !x->memory);
	if (!x->memory) {
		assert_int_equal(strlen(name), 32);
		assert_null(strstr(hex, name));
		name[8] = '\0';
		assert_null(strstr(hex, name));
	}

	st = seen(x);
	assert_int_equal(st.in_use, 1);
	ref_put(ref);
	assert_int_equal(get_cached(x, &s), 0);
	st = seen(x);
	assert_int_equal(s.fetches, 1);
	assert_int_equal(st.hits, 1);
	assert_int_equal(st.misses, 1);
	assert_int_equal(st.entries, 1);
	assert_int_equal(st.in_use, 0);
	assert_int_equal(st.fetched_bytes, s.len);
	assert_true(st.bytes >= disk);
	source_clear(&s);
	ref_put(NULL);
}

static void an_empty_one(void **state)
{
	struct fixture *x = *state;
	const struct delta_index *ix;
	const uint8_t *text;
	struct source s;
	struct ref *ref;

	source_init(&s, 1, 0);
	ref = get_ref(x, &s);
	expect_ref(ref, &s, 0, 0);
	assert_int_equal(ref_index(ref, &ix), 0);
	assert_int_equal(ref_text(ref, &text), 0);
	ref_put(ref);
	source_clear(&s);
}

static void what_is_wrong_is_refused(void **state)
{
	struct fixture *x = *state;
	struct source s;
	struct ref *ref = NULL;
	uint64_t disk;

	source_init(&s, 2, 2 * PAGE + 5);
	s.flipped = 1;
	s.flip = PAGE + 77;
	assert_int_equal(refs_get(x->refs, s.digest, s.len,
				  &(struct refs_source){ .fetch = source_fetch,
							 .arg = &s },
				  &ref),
			 -EBADMSG);
	s.flipped = 0;
	s.extra = 1;
	assert_int_equal(refs_get(x->refs, s.digest, s.len,
				  &(struct refs_source){ .fetch = source_fetch,
							 .arg = &s },
				  &ref),
			 -EBADMSG);
	s.extra = -1;
	assert_int_equal(refs_get(x->refs, s.digest, s.len,
				  &(struct refs_source){ .fetch = source_fetch,
							 .arg = &s },
				  &ref),
			 -EBADMSG);
	s.extra = 0;
	s.fail = -ETIMEDOUT;
	assert_int_equal(refs_get(x->refs, s.digest, s.len,
				  &(struct refs_source){ .fetch = source_fetch,
							 .arg = &s },
				  &ref),
			 -ETIMEDOUT);
	assert_null(ref);
	assert_int_equal(files_of(x->dir, &disk, NULL), 0);
	assert_int_equal(seen(x).bytes, 0);
	assert_int_equal(seen(x).entries, 0);
	s.fail = 0;
	ref = get_ref(x, &s);
	expect_ref(ref, &s, 0, (size_t)s.len);

	/* A wrong length asked for does not disturb the right one. */
	struct ref *wrong = NULL;
	assert_int_equal(refs_get(x->refs, s.digest, s.len - 1,
				  &(struct refs_source){ .fetch = source_fetch,
							 .arg = &s },
				  &wrong),
			 -EBADMSG);
	assert_null(wrong);
	expect_ref(ref, &s, 0, (size_t)s.len);
	ref_put(ref);
	assert_int_equal(get_cached(x, &s), 0);
	source_clear(&s);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct fixture *x = *state;
	struct source s[5];
	struct ref *held;

	refs_make(x, ROOM(3, MIB), 0);
	for (unsigned i = 0; i < 5; i++)
		source_init(&s[i], 10 + i, MIB);
	for (unsigned i = 0; i < 3; i++)
		ref_put(get_ref(x, &s[i]));
	assert_int_equal(get_cached(x, &s[0]), 0); /* now 1 is the oldest */
	held = get_ref(x, &s[2]);
	ref_put(get_ref(x, &s[3]));
	assert_int_equal(seen(x).evictions, 1);
	assert_int_equal(get_cached(x, &s[0]), 0);
	assert_int_equal(get_cached(x, &s[3]), 0);
	ref_put(get_ref(x, &s[4])); /* 0 makes way: 2, older, is held */
	assert_int_equal(seen(x).evictions, 2);
	assert_int_equal(get_cached(x, &s[3]), 0);
	assert_int_equal(get_cached(x, &s[4]), 0);
	/* A miss takes its room before it fetches, so these come last. */
	assert_int_equal(get_cached(x, &s[0]), -ENOTCONN);
	assert_int_equal(get_cached(x, &s[1]), -ENOTCONN);
	expect_ref(held, &s[2], 0, (size_t)MIB);
	assert_int_equal(get_cached(x, &s[2]), 0);
	ref_put(held);
	for (unsigned i = 0; i < 5; i++)
		source_clear(&s[i]);
}

static void beyond_the_budget_it_is_used_and_not_kept(void **state)
{
	struct fixture *x = *state;
	struct source small, big;
	struct ref *a, *b;
	uint64_t disk;

	refs_make(x, MIB, 0);
	source_init(&small, 20, MIB / 2);
	source_init(&big, 21, 3 * MIB);
	ref_put(get_ref(x, &small));
	a = get_ref(x, &big);
	b = get_ref(x, &big); /* shared while it is in use */
	assert_int_equal(big.fetches, 1);
	expect_ref(a, &big, 0, (size_t)big.len);
	expect_ref(b, &big, 12345, 100000);
	if (!x->memory)
		assert_int_equal(files_of(x->dir, &disk, NULL), 1);
	assert_true(seen(x).bytes <= MIB);
	assert_int_equal(seen(x).unkept, 1);
	assert_int_equal(x->events[CACHE_TOO_LARGE], big.len);
	ref_put(a);
	ref_put(b);
	assert_int_equal(get_cached(x, &big), -ENOTCONN);
	/* What can never fit has cost nobody his place. */
	assert_int_equal(get_cached(x, &small), 0);
	assert_int_equal(seen(x).evictions, 0);
	source_clear(&small);
	source_clear(&big);
}

static void clear_while_in_use(void **state)
{
	struct fixture *x = *state;
	uint64_t disk;
	struct source s, idle;
	struct ref *ref, *again;
	char name[256];

	source_init(&s, 30, 5 * PAGE);
	source_init(&idle, 31, 5 * PAGE);
	ref = get_ref(x, &s);
	ref_put(get_ref(x, &idle));
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(get_cached(x, &idle), -ENOTCONN);
	if (!x->memory) {
		assert_int_equal(files_of(x->dir, &disk, name), 1);
		assert_non_null(strstr(name, ".doomed"));
	}
	assert_int_equal(seen(x).clear_pending, 1);
	assert_int_equal(seen(x).clears, 1);
	expect_ref(ref, &s, 0, (size_t)s.len);

	again = get_ref(x, &s);
	assert_int_equal(s.fetches, 2);
	expect_ref(again, &s, 0, (size_t)s.len);
	assert_int_equal(seen(x).entries, 1);
	assert_int_equal(seen(x).in_use, 2);
	ref_put(ref);
	assert_int_equal(seen(x).clear_pending, 0);
	assert_int_equal(seen(x).entries, 1);
	ref_put(again);
	assert_int_equal(get_cached(x, &s), 0);
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(seen(x).bytes, 0);
	assert_int_equal(seen(x).entries, 0);
	source_clear(&s);
	source_clear(&idle);
}

static void clear_from_the_fetch(struct source *s)
{
	assert_int_equal(refs_clear(s->hook_arg), 0);
}

static void clear_while_it_is_fetched(void **state)
{
	struct fixture *x = *state;
	struct source s;
	struct ref *ref;

	source_init(&s, 33, 5 * PAGE);
	s.hook = clear_from_the_fetch;
	s.hook_arg = x->refs;
	ref = get_ref(x, &s);
	expect_ref(ref, &s, 0, (size_t)s.len);
	assert_int_equal(seen(x).clear_pending, 1);
	assert_int_equal(seen(x).entries, 0);
	ref_put(ref);
	assert_int_equal(get_cached(x, &s), -ENOTCONN);
	assert_int_equal(seen(x).clear_pending, 0);
	source_clear(&s);
}

static void damage_is_found_and_mended(void **state)
{
	struct fixture *x = *state;
	const struct delta_index *ix;
	struct source s;
	struct ref *ref, *other;
	char name[256];
	uint64_t disk;
	uint8_t c;
	int fd;

	source_init(&s, 40, 4 * PAGE);
	ref = get_ref(x, &s);
	other = get_ref(x, &s);
	assert_int_equal(files_of(x->dir, &disk, name), 1);
	fd = openat(x->dirfd, name, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, 2 * (off_t)PAGE + 500), 1);
	c ^= 16;
	assert_int_equal(pwrite(fd, &c, 1, 2 * (off_t)PAGE + 500), 1);
	close(fd);

	expect_ref(ref, &s, 0, 100);
	assert_int_equal(ref_read(ref, &c, 1, 2 * PAGE), -EBADMSG);
	assert_int_equal(ref_read(other, &c, 1, 2 * PAGE + 9), -EBADMSG);
	assert_int_equal(ref_index(other, &ix), -EBADMSG);
	assert_int_equal(seen(x).memory_bytes, 0);
	assert_int_equal(seen(x).corruptions, 1);
	assert_int_equal(x->events[CACHE_DAMAGED], 1);
	assert_int_equal(seen(x).clear_pending, 1);
	ref_put(ref);
	ref = get_ref(x, &s);
	assert_int_equal(s.fetches, 2);
	expect_ref(ref, &s, 0, (size_t)s.len);
	ref_put(other);
	ref_put(ref);
	assert_int_equal(seen(x).entries, 1);
	source_clear(&s);
}

static void index_is_shared_and_kept_within_its_budget(void **state)
{
	struct fixture *x = *state;
	uint64_t each = MIB + delta_index_cost((size_t)MIB);
	const struct delta_index *ix, *same;
	const uint8_t *text;
	struct source s[3];
	struct ref *ref[3];

	refs_make(x, 64 * MIB, 2 * each);
	for (unsigned i = 0; i < 3; i++) {
		source_init(&s[i], 50 + i, MIB);
		ref[i] = get_ref(x, &s[i]);
	}
	assert_int_equal(ref_index(ref[0], &ix), 0);
	assert_int_equal(ref_index(ref[0], &same), 0);
	assert_ptr_equal(ix, same);
	assert_int_equal(ref_text(ref[0], &text), 0);
	assert_memory_equal(text, s[0].data, MIB);
	assert_int_equal(seen(x).memory_bytes, each);
	expect_ref(ref[0], &s[0], 100, 3 * PAGE);
	assert_int_equal(ref_index(ref[1], &ix), 0);
	assert_int_equal(ref_index(ref[2], &ix), -ENOMEM);
	assert_int_equal(seen(x).memory_bytes, 2 * each);

	/* Kept after the last put, dropped when another wants the room. */
	ref_put(ref[0]);
	assert_int_equal(seen(x).memory_bytes, 2 * each);
	ref[0] = get_ref(x, &s[0]);
	assert_int_equal(ref_index(ref[0], &ix), 0);
	assert_ptr_equal(ix, same);
	ref_put(ref[0]);
	assert_int_equal(ref_index(ref[2], &ix), 0);
	assert_int_equal(seen(x).memory_bytes, 2 * each);
	assert_int_equal(get_cached(x, &s[0]), 0); /* its file stayed */
	assert_int_equal(seen(x).evictions, 0);
	ref_put(ref[1]);
	ref_put(ref[2]);
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(seen(x).memory_bytes, 0);
	for (unsigned i = 0; i < 3; i++)
		source_clear(&s[i]);
}

/* Plain text outlives its last user only as far as it may. */
/* The text fits; for its index there is less and less room. */
static void a_tight_budget_makes_a_sparse_index(void **state)
{
	struct fixture *x = *state;
	const struct {
		uint64_t room;
		int err;
	} cases[] = { { MIB + 64, 0 },       { MIB / 2, 0 },
		      { MIB / 8, 0 },        { MIB / 16 + 4, 0 },
		      { MIB / 17, -ENOMEM }, { 0, -ENOMEM } };
	const struct delta_index *ix;
	const uint8_t *text;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct source s;
		struct ref *ref;

		refs_make(x, 64 * MIB, MIB + cases[i].room);
		source_init(&s, 1, MIB);
		ref = get_ref(x, &s);
		assert_int_equal(ref_text(ref, &text), cases[i].err);
		assert_int_equal(ref_index(ref, &ix), cases[i].err);
		assert_true(seen(x).memory_bytes <= MIB + cases[i].room);
		ref_put(ref);
		source_clear(&s);
	}
}

static void idle_memory_is_bounded(void **state)
{
	struct fixture *x = *state;
	uint64_t each = MIB + delta_index_cost((size_t)MIB);
	const struct delta_index *ix;
	struct source s[3];
	struct ref *ref[3];

	refs_begin(x, 64 * MIB, 4 * each, each);
	for (unsigned i = 0; i < 3; i++) {
		source_init(&s[i], 70 + i, MIB);
		ref[i] = get_ref(x, &s[i]);
		assert_int_equal(ref_index(ref[i], &ix), 0);
	}
	assert_int_equal(seen(x).memory_bytes, 3 * each);
	for (unsigned i = 0; i < 3; i++)
		ref_put(ref[i]);
	assert_int_equal(seen(x).memory_bytes, each);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(get_cached(x, &s[i]),
				 0); /* the files stayed */
	assert_int_equal(seen(x).evictions, 0);
	for (unsigned i = 0; i < 3; i++)
		source_clear(&s[i]);
}

static void a_full_disk_moves_it_to_memory(void **state)
{
	struct fixture *x = *state;
	struct source idle, s;
	struct ref *ref;
	int dirfd;

	if (mount("none", x->dir, "tmpfs", 0, "size=1m,mode=0700") < 0) {
		print_message("no tmpfs here (%s): skipped\n", strerror(errno));
		skip();
	}
	dirfd = x->dirfd;
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY);
	assert_true(x->dirfd >= 0);
	refs_begin(x, 64 * MIB, 3 * MIB, 3 * MIB);
	source_init(&idle, 80, MIB / 2);
	source_init(&s, 81, 2 * MIB);
	ref_put(get_ref(x, &idle));
	ref = get_ref(x, &s);
	assert_int_equal(s.fetches, 1);
	expect_ref(ref, &s, 0, (size_t)s.len);
	expect_ref(ref, &s, 77, 3 * PAGE);
	assert_int_equal(seen(x).memory_bytes,
			 medium_memory_cost(reffile_size(s.len)));
	assert_int_equal(seen(x).entries, 0); /* the idle one made way first */
	assert_int_equal(seen(x).unkept, 1);
	ref_put(ref);
	assert_int_equal(seen(x).memory_bytes, 0);

	/* And where memory is full too: an error, and nothing is left. */
	refs_begin(x, 64 * MIB, MIB, MIB);
	assert_int_equal(refs_get(x->refs, s.digest, s.len,
				  &(struct refs_source){ .fetch = source_fetch,
							 .arg = &s },
				  &ref),
			 -ENOSPC);
	assert_int_equal(seen(x).bytes, 0);
	assert_int_equal(seen(x).memory_bytes, 0);
	refs_end(x);
	close(x->dirfd);
	x->dirfd = dirfd;
	assert_int_equal(umount(x->dir), 0);
	source_clear(&idle);
	source_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fetched_once_then_cached),
		TEST(an_empty_one),
		TEST(what_is_wrong_is_refused),
		TEST(the_least_recently_used_goes_first),
		TEST(beyond_the_budget_it_is_used_and_not_kept),
		TEST(clear_while_in_use),
		TEST(clear_while_it_is_fetched),
		TEST(damage_is_found_and_mended),
		TEST(index_is_shared_and_kept_within_its_budget),
		TEST(a_tight_budget_makes_a_sparse_index),
		TEST(idle_memory_is_bounded),
		TEST(a_full_disk_moves_it_to_memory),
		IN_MEMORY(fetched_once_then_cached),
		IN_MEMORY(an_empty_one),
		IN_MEMORY(what_is_wrong_is_refused),
		IN_MEMORY(the_least_recently_used_goes_first),
		IN_MEMORY(beyond_the_budget_it_is_used_and_not_kept),
		IN_MEMORY(clear_while_in_use),
		IN_MEMORY(clear_while_it_is_fetched),
	};

	return cmocka_run_group_tests_name("refs", tests, NULL, NULL);
}
