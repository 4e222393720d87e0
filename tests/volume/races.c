/*
 * Other mounts and other threads in the middle of ours.  Each of these lost or
 * mixed something once.
 */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/object.h"

#define LEN ((size_t)300000)

/* Something that happens once, when the store is asked for something. */
struct moment {
	struct fixture *x;
	enum memstore_op op;
	const char *key; /* NULL: any */
	int after;
	int err;
	int times;
	void (*act)(struct moment *m);
	void *arg;
};

static int strike(void *arg, enum memstore_op op, const char *key, int after)
{
	struct moment *m = arg;

	if (op != m->op || after != m->after || !m->times ||
	    (m->key && strcmp(key, m->key) != 0))
		return 0;
	m->times--;
	if (m->act)
		m->act(m);
	return m->err;
}

static int give(void *arg, void *buf, size_t len, uint64_t off)
{
	memcpy(buf, (const uint8_t *)arg + off, len);
	return 0;
}

static void other_writer(struct fixture *x, const char *key, const char *text)
{
	struct store_source src = { strlen(text), give, (void *)text };

	assert_int_equal(x->store->ops->put(x->store, key, &src,
					    &(struct store_head){ 0 },
					    &(struct store_call){ 0 }, NULL),
			 0);
}

static struct handle *open_file(struct fixture *x, const char *path, int flags)
{
	struct inode *i = at(x, path);
	struct handle *h;
	int same;

	assert_non_null(i);
	assert_int_equal(volume_open(x->v, &somebody, i, flags, &h, &same), 0);
	inode_forget(x->v, i, 1);
	return h;
}

static void write_at(struct handle *h, const char *text, uint64_t off)
{
	assert_int_equal(handle_write(h, &somebody, text, strlen(text), off),
			 strlen(text));
}

static void stat_it(struct fixture *x, struct inode *i, struct stat *st)
{
	assert_int_equal(volume_getattr(x->v, &somebody, i, st), 0);
}

/*
 * Somebody replaced the file, and we have seen it, while it was open with a
 * spool: what is written then is stored nowhere, and must not pass for stored.
 */
static void superseded_is_told(void **state)
{
	struct fixture *x = *state;
	struct volume_stats s;
	struct handle *h;
	struct inode *i;

	assert_int_equal(put(x, "log", "one", 3), 0);
	h = open_file(x, "log", O_RDWR | O_APPEND);
	write_at(h, "+", 3);
	assert_int_equal(handle_fsync(h), 0);
	other_writer(x, "log", "theirs");
	i = at(x, "log"); /* sees it */
	assert_non_null(i);
	inode_forget(x->v, i, 1);
	write_at(h, "two", 4);
	assert_int_equal(handle_fsync(h), -ESTALE);
	assert_int_equal(handle_flush(h), -ESTALE);
	handle_release(h);
	volume_stats(x->v, &s);
	assert_true(s.conflicts > 0);
	assert_int_equal(s.lost_at_release, 1);
	expect(x, "log", "theirs", 6);
}

static void removed_elsewhere_is_told(void **state)
{
	struct fixture *x = *state;
	struct handle *h;

	assert_int_equal(put(x, "log", "one", 3), 0);
	h = open_file(x, "log", O_RDWR | O_APPEND);
	write_at(h, "+", 3);
	assert_int_equal(handle_fsync(h), 0);
	assert_int_equal(x->store->ops->remove(x->store, "log",
					       &(struct store_call){ 0 }),
			 0);
	assert_null(at(x, "log"));
	write_at(h, "two", 4);
	assert_int_equal(handle_flush(h), -ESTALE);
	handle_release(h);
}

/* Its form or its attributes changed elsewhere: it is still the same file. */
static void a_change_of_form_elsewhere_is_no_conflict(void **state)
{
	struct fixture *x = *state;
	struct store_stat st;
	struct handle *h;

	assert_int_equal(put(x, "f", "content", 7), 0);
	h = open_file(x, "f", O_RDWR | O_APPEND);
	write_at(h, "+", 7);
	/* As chmod on another mount does it: a new ETag, the same bytes. */
	assert_int_equal(x->store->ops->head(x->store, "f",
					     &(struct store_call){ 0 }, &st),
			 0);
	assert_int_equal(meta_set(&st.meta, "mode", "33152"), 0);
	assert_int_equal(
		x->store->ops->copy(x->store, "f", "f",
				    &(struct store_head){ .meta = &st.meta },
				    &(struct store_call){ 0 }, NULL),
		0);
	assert_int_equal(handle_flush(h), 0);
	handle_release(h);
	expect(x, "f", "content+", 8);
}

static void after_a_lost_answer_the_next_bytes_are_stored(void **state)
{
	struct fixture *x = *state;

	for (int fresh = 0; fresh < 2; fresh++) {
		struct moment m = { .x = x,
				    .op = MEMSTORE_PUT,
				    .after = 1,
				    .times = 1,
				    .err = -ETIMEDOUT };
		struct create c = { volume_root(x->v), "n", 0644,
				    O_RDWR | O_CREAT | O_EXCL };
		struct handle *h;
		struct inode *i;

		if (fresh) {
			assert_int_equal(
				volume_create(x->v, &somebody, &c, &i, &h), 0);
			inode_forget(x->v, i, 1);
		} else {
			assert_int_equal(put(x, "f", "0", 1), 0);
			h = open_file(x, "f", O_RDWR);
		}
		write_at(h, "a", 0);
		memstore_on_op(x->store, strike, &m);
		assert_int_equal(handle_fsync(h), -ETIMEDOUT);
		write_at(h, "b", 1);
		assert_int_equal(handle_fsync(h), 0);
		handle_release(h);
		memstore_on_op(x->store, NULL, NULL);
		expect(x, fresh ? "n" : "f", "ab", 2);
	}
}

static void change_mode(struct moment *m)
{
	struct stat want = { .st_mode = 0600 }, st;
	struct change c = { &want, SET_MODE, NULL };

	assert_int_equal(volume_setattr(m->x->v, &somebody, m->arg, &c, &st),
			 0);
}

/* An answer that was on its way when chmod succeeded does not undo it. */
static void an_old_answer_does_not_undo_chmod(void **state)
{
	struct fixture *x = *state;
	struct moment m = { .x = x,
			    .op = MEMSTORE_HEAD,
			    .key = "f",
			    .after = 1,
			    .times = 1,
			    .act = change_mode };
	struct handle *h;
	struct inode *i;
	struct stat st;

	assert_int_equal(put(x, "f", "hello", 5), 0);
	i = at(x, "f");
	m.arg = i;
	memstore_on_op(x->store, strike, &m);
	stat_it(x, i, &st);
	assert_int_equal(m.times, 0);
	memstore_on_op(x->store, NULL, NULL);
	stat_it(x, i, &st);
	assert_int_equal(st.st_mode & 07777, 0600);
	h = open_file(x, "f", O_WRONLY | O_APPEND);
	write_at(h, "x", 5);
	assert_int_equal(handle_flush(h), 0);
	handle_release(h);
	inode_forget(x->v, i, 1);
	fixture_mount(x);
	i = at(x, "f");
	stat_it(x, i, &st);
	assert_int_equal(st.st_mode & 07777, 0600);
	inode_forget(x->v, i, 1);
}

static void *release_it(void *h)
{
	handle_release(h);
	return NULL;
}

struct window {
	pthread_t thread;
	struct handle *h, *again;
};

/* Within a chmod, which holds the file's commit lock: the last close waits. */
static void in_the_window(struct moment *m)
{
	struct window *w = m->arg;

	assert_int_equal(pthread_create(&w->thread, NULL, release_it, w->h), 0);
	other_writer(m->x, "f", "THEIRS");
	w->again = open_file(m->x, "f", O_RDWR | O_APPEND);
}

/* An open between the last close and its end gets what the bucket has. */
static void a_spool_is_never_taken_for_a_newer_version(void **state)
{
	struct fixture *x = *state;
	struct window w = { .h = NULL };
	struct moment m = { .x = x,
			    .op = MEMSTORE_COPY,
			    .key = "f",
			    .times = 1,
			    .act = in_the_window,
			    .arg = &w };
	struct stat want = { .st_mode = 0600 }, st;
	struct change c = { &want, SET_MODE, NULL };
	char buf[32] = { 0 };
	struct inode *i;
	int err;

	assert_int_equal(put(x, "f", "ours", 4), 0);
	w.h = open_file(x, "f", O_RDWR | O_APPEND);
	write_at(w.h, "+1", 4);
	assert_int_equal(handle_fsync(w.h), 0);
	i = at(x, "f");
	memstore_on_op(x->store, strike, &m);
	err = volume_setattr(x->v, &somebody, i, &c, &st);
	assert_true(!err || err == -ESTALE);
	memstore_on_op(x->store, NULL, NULL);
	inode_forget(x->v, i, 1);
	assert_int_equal(pthread_join(w.thread, NULL), 0);
	assert_non_null(w.again);
	assert_int_equal(handle_read(w.again, &somebody, buf, 31, 0), 6);
	assert_string_equal(buf, "THEIRS");
	write_at(w.again, "+2", 6);
	assert_int_equal(handle_flush(w.again), 0);
	handle_release(w.again);
	expect(x, "f", "THEIRS+2", 8);
}

static void they_write(struct moment *m)
{
	other_writer(m->x, "f", "THEIRS");
}

/* A version that arrives between a rename's copy and its removal stays. */
static void a_rename_removes_only_what_it_copied(void **state)
{
	struct fixture *x = *state;
	struct moment m = { .x = x,
			    .op = MEMSTORE_COPY,
			    .after = 1,
			    .times = 1,
			    .act = they_write };
	struct rename r = { volume_root(x->v), volume_root(x->v), "f", "g", 0 };

	assert_int_equal(put(x, "f", "ours", 4), 0);
	memstore_on_op(x->store, strike, &m);
	assert_int_equal(volume_rename(x->v, &somebody, &r), 0);
	memstore_on_op(x->store, NULL, NULL);
	expect(x, "f", "THEIRS", 6);
	expect(x, "g", "ours", 4);
}

static int grab(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

/* Where a container that lost its metadata cannot be read, nothing is shown. */
static void a_container_is_never_shown_raw(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(1, LEN);
	struct moment m = {
		.x = x, .op = MEMSTORE_GET, .key = "c", .times = 99, .err = -EIO
	};
	struct store_head head = { .content_type = OBJECT_TYPE };
	struct bytes b = BYTES_INIT;
	struct store_source src = { .read = give };
	struct store_stat st;
	struct inode *i;

	assert_int_equal(put(x, "a", one, LEN), 0);
	one[1000] ^= 1;
	assert_int_equal(put(x, "b", one, LEN), 0);
	assert_int_equal(x->store->ops->head(x->store, "b",
					     &(struct store_call){ 0 }, &st),
			 0);
	assert_int_equal(x->store->ops->get(x->store, "b", 0, st.len,
					    &(struct store_call){ 0 }, grab, &b,
					    NULL),
			 0);
	src.len = b.len;
	src.arg = b.data;
	assert_int_equal(x->store->ops->put(x->store, "c", &src, &head,
					    &(struct store_call){ 0 }, NULL),
			 0);
	fixture_mount(x);
	memstore_on_op(x->store, strike, &m);
	assert_int_equal(volume_lookup(x->v, &somebody, volume_root(x->v), "c",
				       &i, NULL),
			 -EIO);
	memstore_on_op(x->store, NULL, NULL);
	expect(x, "c", one, LEN);
	/* Damaged: the same.  Not ours at all: what it is. */
	assert_int_equal(memstore_flip(x->store, "c", b.len - 1), 0);
	assert_int_equal(volume_lookup(x->v, &somebody, volume_root(x->v), "c",
				       &i, NULL),
			 -EIO);
	src.len = 5;
	src.arg = (void *)"hello";
	assert_int_equal(x->store->ops->put(x->store, "d", &src, &head,
					    &(struct store_call){ 0 }, NULL),
			 0);
	expect(x, "d", "hello", 5);
	bytes_clear(&b);
	free(one);
}

/* Not even its content type is left: the first open finds out. */
static void a_container_is_known_by_its_first_bytes(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(1, LEN);
	struct store_head bare = { .content_type = NULL };
	struct handle *h;
	struct inode *i;
	int same;

	assert_int_equal(put(x, "a", one, LEN), 0);
	one[1000] ^= 1;
	assert_int_equal(put(x, "b", one, LEN), 0);
	assert_int_equal(x->store->ops->copy(x->store, "b", "c", &bare,
					     &(struct store_call){ 0 }, NULL),
			 0);
	fixture_mount(x);
	i = at(x, "c");
	assert_int_equal(volume_open(x->v, &somebody, i, O_RDONLY, &h, &same),
			 -ESTALE);
	expect(x, "c", one, LEN);
	inode_forget(x->v, i, 1);
	free(one);
}

/* A PUT that says nothing of its ETag: the next one still replaces only ours. */
static void without_an_etag_nothing_is_replaced_blindly(void **state)
{
	struct fixture *x = *state;
	struct handle *h;

	assert_int_equal(put(x, "f", "one", 3), 0);
	h = open_file(x, "f", O_RDWR);
	write_at(h, "two", 0);
	memstore_hide_etag(x->store, 1);
	assert_int_equal(handle_fsync(h), 0);
	memstore_hide_etag(x->store, 0);
	write_at(h, "three", 0);
	assert_int_equal(handle_fsync(h), 0);
	memstore_hide_etag(x->store, 1);
	write_at(h, "four.", 0);
	assert_int_equal(handle_fsync(h), 0);
	memstore_hide_etag(x->store, 0);
	other_writer(x, "f", "theirs");
	write_at(h, "five.", 0);
	assert_int_equal(handle_fsync(h), -ESTALE);
	handle_release(h);
	expect(x, "f", "theirs", 6);
}

static void key_of_reference(struct fixture *x, const char *path, char out[256])
{
	char *ref = xattr(x, path, "reference");

	(void)snprintf(out, 256, "%s", ref);
	free(ref);
}

/* A reference's key that holds something else is mended by the next promotion. */
static void a_wrong_reference_is_not_taken(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(1, LEN), *junk = noise(2, LEN);
	uint8_t digest[DIGEST_LEN];
	char hex[DIGEST_HEX], key[256];
	struct store_source src = { LEN, give, junk };

	assert_int_equal(digest_buffer(one, LEN, digest), 0);
	hex_encode(hex, digest, DIGEST_LEN);
	(void)snprintf(key, sizeof(key), ".dg/refs/%s/reference.bin", hex);
	assert_int_equal(x->store->ops->put(x->store, key, &src,
					    &(struct store_head){ 0 },
					    &(struct store_call){ 0 }, NULL),
			 0);
	assert_int_equal(put(x, "a", one, LEN), 0);
	one[7]++;
	assert_int_equal(put(x, "b", one, LEN), 0);
	expect_storage(x, "b", "delta");
	fixture_mount(x);
	expect(x, "b", one, LEN);
	one[7]--;
	expect(x, "a", one, LEN);
	free(one);
	free(junk);
}

static void remove_reference(struct moment *m)
{
	assert_int_equal(m->x->store->ops->remove(m->x->store, m->arg,
						  &(struct store_call){ 0 }),
			 0);
}

static void condemn_reference(struct moment *m)
{
	char key[300];

	(void)snprintf(key, sizeof(key), "%s", (char *)m->arg);
	(void)snprintf(strrchr(key, '/'), 20, "/condemned");
	other_writer(m->x, key, "x");
}

/* Somebody cleans up between our look and our PUT: close is still right. */
static void a_reference_that_goes_is_noticed(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(1, LEN);
	char ref[256];

	assert_int_equal(put(x, "a", one, LEN), 0);
	one[7]++;
	assert_int_equal(put(x, "b", one, LEN), 0);
	key_of_reference(x, "b", ref);
	for (int condemned = 0; condemned < 2; condemned++) {
		struct moment m = { .x = x,
				    .op = MEMSTORE_PUT,
				    .key = "c",
				    .times = 1,
				    .arg = ref,
				    .act = condemned ? condemn_reference
						     : remove_reference };

		one[9]++;
		memstore_on_op(x->store, strike, &m);
		assert_int_equal(put(x, "c", one, LEN), 0);
		assert_int_equal(m.times, 0);
		memstore_on_op(x->store, NULL, NULL);
		expect_storage(x, "c", condemned ? "plain" : "delta");
		fixture_mount(x);
		expect(x, "c", one, LEN);
	}
	free(one);
}

/* Opened under a size that is out of date: the caller has to look again. */
static void a_new_version_is_not_opened_under_the_old_size(void **state)
{
	struct fixture *x = *state;
	struct handle *h;
	struct inode *i;
	struct stat st;
	int same;

	assert_int_equal(put(x, "f", "short", 5), 0);
	i = at(x, "f");
	stat_it(x, i, &st);
	other_writer(x, "f", "much longer");
	assert_int_equal(volume_open(x->v, &somebody, i, O_RDONLY, &h, &same),
			 -ESTALE);
	stat_it(x, i, &st);
	assert_int_equal(st.st_size, 11);
	assert_int_equal(volume_open(x->v, &somebody, i, O_RDONLY, &h, &same),
			 0);
	handle_release(h);
	inode_forget(x->v, i, 1);
	expect(x, "f", "much longer", 11);
}

struct mover {
	struct fixture *x;
	atomic_int stop;
	int err;
};

/* A directory goes to and fro while files are made, changed and read in it. */
static void *move_to_and_fro(void *arg)
{
	struct mover *m = arg;
	struct inode *root = volume_root(m->x->v);

	for (int k = 0; !atomic_load(&m->stop) && !m->err; k++) {
		struct rename r = { root, root, k % 2 ? "e" : "d",
				    k % 2 ? "d" : "e", 0 };

		m->err = volume_rename(m->x->v, &somebody, &r);
	}
	return NULL;
}

static void files_follow_their_directory(void **state)
{
	struct fixture *x = *state;
	struct mover m = { .x = x };
	struct inode *dir, *f;
	pthread_t thread;
	struct stat st;
	char name[16];

	assert_int_equal(volume_mkdir(x->v, &somebody, volume_root(x->v), "d",
				      0755, &dir),
			 0);
	assert_int_equal(pthread_create(&thread, NULL, move_to_and_fro, &m), 0);
	for (int k = 0; k < 60; k++) {
		struct create c = { dir, name, 0644, O_RDWR | O_CREAT };
		struct stat want = { .st_mode = 0640 };
		struct change change = { &want, SET_MODE, NULL };
		struct handle *h;

		(void)snprintf(name, sizeof(name), "f%d", k);
		assert_int_equal(volume_create(x->v, &somebody, &c, &f, &h), 0);
		write_at(h, name, 0);
		assert_int_equal(handle_flush(h), 0);
		handle_release(h);
		assert_int_equal(
			volume_setattr(x->v, &somebody, f, &change, &st), 0);
		inode_forget(x->v, f, 1);
	}
	atomic_store(&m.stop, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(m.err, 0);
	for (int k = 0; k < 60; k++) {
		struct handle *h;
		char buf[16];
		int same;

		(void)snprintf(name, sizeof(name), "f%d", k);
		assert_int_equal(
			volume_lookup(x->v, &somebody, dir, name, &f, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0640);
		assert_int_equal(
			volume_open(x->v, &somebody, f, O_RDONLY, &h, &same),
			0);
		assert_int_equal(handle_read(h, &somebody, buf, 16, 0),
				 strlen(name));
		assert_memory_equal(buf, name, strlen(name));
		handle_release(h);
		inode_forget(x->v, f, 1);
	}
	inode_forget(x->v, dir, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(superseded_is_told),
		TEST(removed_elsewhere_is_told),
		TEST(a_change_of_form_elsewhere_is_no_conflict),
		TEST(after_a_lost_answer_the_next_bytes_are_stored),
		TEST(an_old_answer_does_not_undo_chmod),
		TEST(a_spool_is_never_taken_for_a_newer_version),
		TEST(a_rename_removes_only_what_it_copied),
		TEST(a_container_is_never_shown_raw),
		TEST(a_container_is_known_by_its_first_bytes),
		TEST(without_an_etag_nothing_is_replaced_blindly),
		TEST(a_wrong_reference_is_not_taken),
		TEST(a_reference_that_goes_is_noticed),
		TEST(a_new_version_is_not_opened_under_the_old_size),
		TEST(files_follow_their_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
