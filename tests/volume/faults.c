/* Stores that fail, lie, or have other writers: nothing lost, nothing wrong. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN ((size_t)300000)

struct fault {
	struct fixture *x;
	enum memstore_op op;
	const char *key; /* NULL: any */
	int after;
	int err;
	int times; /* how often it strikes */
	void (*act)(struct fault *f); /* or this, instead of an error */
	const void *data;
	size_t len;
};

static int strike(void *arg, enum memstore_op op, const char *key, int after)
{
	struct fault *f = arg;

	if (op != f->op || after != f->after || !f->times ||
	    (f->key && strcmp(key, f->key) != 0))
		return 0;
	f->times--;
	if (f->act)
		f->act(f);
	return f->err;
}

static struct handle *create(struct fixture *x, const char *name, int flags)
{
	struct create c = { volume_root(x->v), name, 0644,
			    O_RDWR | O_CREAT | flags };
	struct handle *h;
	struct inode *i;

	assert_int_equal(volume_create(x->v, &somebody, &c, &i, &h), 0);
	inode_forget(x->v, i, 1);
	return h;
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

static int give(void *arg, void *buf, size_t len, uint64_t off)
{
	memcpy(buf, (const uint8_t *)arg + off, len);
	return 0;
}

/* As another mount would: without regard to ours. */
static void other_writer(struct fixture *x, const char *key, const void *data,
			 size_t len)
{
	struct store_source src = { len, give, (void *)data };

	assert_int_equal(x->store->ops->put(x->store, key, &src,
					    &(struct store_head){ 0 },
					    &(struct store_call){ 0 }, NULL),
			 0);
}

static void a_failed_store_is_told_and_tried_again(void **state)
{
	struct fixture *x = *state;
	struct fault f = {
		.x = x, .op = MEMSTORE_PUT, .err = -EIO, .times = 1
	};
	struct handle *h;

	assert_int_equal(put(x, "a", "before", 6), 0);
	memstore_on_op(x->store, strike, &f);
	h = open_file(x, "a", O_WRONLY | O_TRUNC);
	assert_int_equal(handle_write(h, &somebody, "after", 5, 0), 5);
	assert_int_equal(handle_flush(h), -EIO);
	assert_int_equal(handle_fsync(h), 0);
	handle_release(h);
	fixture_mount(x);
	expect(x, "a", "after", 5);
}

static void the_version_before_survives(void **state)
{
	struct fixture *x = *state;
	struct fault f = {
		.x = x, .op = MEMSTORE_PUT, .err = -EIO, .times = 99
	};
	struct volume_stats s;
	struct handle *h;

	assert_int_equal(put(x, "a", "before", 6), 0);
	memstore_on_op(x->store, strike, &f);
	h = open_file(x, "a", O_WRONLY | O_TRUNC);
	assert_int_equal(handle_write(h, &somebody, "after", 5, 0), 5);
	assert_int_equal(handle_flush(h), -EIO);
	handle_release(h);
	volume_stats(x->v, &s);
	assert_int_equal(s.lost_at_release, 1);
	expect(x, "a", "before", 6);
	/* A new one leaves no trace. */
	assert_int_equal(put(x, "b", "x", 1), -EIO);
	assert_null(at(x, "b"));
}

/* What was damaged on its way is there instead of the version before. */
static void a_damaged_store_is_replaced(void **state)
{
	struct fixture *x = *state;
	struct handle *h;
	char buf[8];

	assert_int_equal(put(x, "a", "before", 6), 0);
	for (int twice = 0; twice < 2; twice++) {
		const char *name = twice ? "new" : "a";

		memstore_damage(x->store, 2);
		h = twice ? create(x, name, 0)
			  : open_file(x, name, O_WRONLY | O_TRUNC);
		assert_int_equal(handle_write(h, &somebody, "after", 5, 0), 5);
		assert_int_equal(handle_flush(h), -EIO);
		assert_int_equal(handle_fsync(h), -EIO);
		assert_int_equal(handle_fsync(h), 0);
		handle_release(h);
		expect(x, name, "after", 5);
	}
	/* Given up: it is in the bucket, and nobody reads it. */
	memstore_damage(x->store, 99);
	assert_int_equal(put(x, "a", "later", 5), -EIO);
	memstore_damage(x->store, 0);
	fixture_mount(x);
	assert_int_equal(readable(x, "a", buf, 5), -EIO);
	assert_int_equal(put(x, "a", "better", 6), 0);
	expect(x, "a", "better", 6);
}

/* The object is there, the answer was not: the next try finds our own bytes. */
static void a_lost_answer_is_no_conflict(void **state)
{
	struct fixture *x = *state;
	struct fault f = { .x = x,
			   .op = MEMSTORE_PUT,
			   .err = -EIO,
			   .times = 1,
			   .after = 1,
			   .key = "a" };
	struct handle *h;

	memstore_on_op(x->store, strike, &f);
	h = create(x, "a", 0);
	assert_int_equal(handle_write(h, &somebody, "mine", 4, 0), 4);
	assert_int_equal(handle_flush(h), -EIO);
	assert_int_equal(handle_fsync(h), 0);
	handle_release(h);
	expect(x, "a", "mine", 4);
}

static void write_theirs(struct fault *f)
{
	other_writer(f->x, f->key, f->data, f->len);
}

static void the_loser_of_a_race_is_told(void **state)
{
	struct fixture *x = *state;
	struct fault f = { .x = x,
			   .op = MEMSTORE_PUT,
			   .key = "a",
			   .times = 1,
			   .act = write_theirs,
			   .data = "theirs",
			   .len = 6 };
	struct volume_stats s;
	struct handle *h;

	assert_int_equal(put(x, "a", "before", 6), 0);
	h = open_file(x, "a", O_WRONLY | O_TRUNC);
	assert_int_equal(handle_write(h, &somebody, "ours", 4, 0), 4);
	memstore_on_op(x->store, strike, &f);
	assert_int_equal(handle_flush(h), -ESTALE);
	handle_release(h);
	expect(x, "a", "theirs", 6);
	volume_stats(x->v, &s);
	assert_true(s.conflicts > 0);
}

static void copy_theirs(struct fault *f)
{
	assert_int_equal(f->x->store->ops->copy(f->x->store, f->data, f->key,
						NULL, &(struct store_call){ 0 },
						NULL),
			 0);
}

static void make_dir(struct fixture *x, const char *name)
{
	struct inode *i;

	assert_int_equal(volume_mkdir(x->v, &somebody, volume_root(x->v), name,
				      0755, &i),
			 0);
	inode_forget(x->v, i, 1);
}

/* The same bytes, by another at the same moment, in another form. */
static void the_same_by_another_is_no_conflict(void **state)
{
	static const struct {
		const char *old, *ours, *theirs, *storage; /* of theirs */
	} rounds[] = { { "a/old", "a/new", "b/new", "plain" },
		       { "d/old", "c/new", "d/new", "delta" } };
	static const char *const dirs[] = { "a", "b", "c", "d" };
	uint8_t *data = noise(5, LEN), *like = noise(5, LEN);
	struct fixture *x = *state;

	like[LEN / 2] ^= 1;
	/* What is known after the commit is what is read by. */
	x->conf.attr_timeout_ms = 60000;
	fixture_mount(x);
	for (size_t k = 0; k < 4; k++)
		make_dir(x, dirs[k]);
	for (size_t k = 0; k < 2; k++) {
		const char *ours = rounds[k].ours;
		struct fault f = { .x = x,
				   .op = MEMSTORE_PUT,
				   .key = ours,
				   .times = 1,
				   .act = copy_theirs,
				   .data = rounds[k].theirs };
		struct inode *held;

		assert_int_equal(put(x, ours, "before", 6), 0);
		held = at(x, ours);
		assert_int_equal(put(x, rounds[k].old, data, LEN), 0);
		assert_int_equal(put(x, rounds[k].theirs, like, LEN), 0);
		expect_storage(x, rounds[k].theirs, rounds[k].storage);
		memstore_on_op(x->store, strike, &f);
		assert_int_equal(put(x, ours, like, LEN), 0);
		assert_int_equal(f.times, 0);
		/* Not by what ours would have been. */
		expect(x, ours, like, LEN);
		expect_storage(x, ours, rounds[k].storage);
		memstore_on_op(x->store, NULL, NULL);
		inode_forget(x->v, held, 1);
		fixture_mount(x);
		expect(x, ours, like, LEN);
	}
	free(data);
	free(like);
}

static void exclusive_creation_is_decided_at_close(void **state)
{
	struct fixture *x = *state;
	struct handle *h = create(x, "a", O_EXCL);

	assert_int_equal(handle_write(h, &somebody, "ours", 4, 0), 4);
	other_writer(x, "a", "theirs", 6);
	assert_int_equal(handle_flush(h), -EEXIST);
	handle_release(h);
	expect(x, "a", "theirs", 6);
	h = create(x, "b", 0);
	assert_int_equal(handle_write(h, &somebody, "ours", 4, 0), 4);
	other_writer(x, "b", "theirs", 6);
	assert_int_equal(handle_flush(h), -ESTALE);
	handle_release(h);
	expect(x, "b", "theirs", 6);
}

/* A version that another mount wrote: the open handle's bytes are gone. */
static void a_replaced_file_is_stale_to_its_reader(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(1, LEN), buf[16];
	struct handle *h;

	assert_int_equal(put(x, "a", one, LEN), 0);
	h = open_file(x, "a", O_RDONLY);
	other_writer(x, "a", "theirs", 6);
	assert_int_equal(handle_read(h, &somebody, buf, 16, 0), -ESTALE);
	expect(x, "a", "theirs", 6);
	handle_release(h);
	free(one);
}

/* Promotion under a reader: another form, the same bytes. */
static void count_replaced(void *arg, struct inode *i)
{
	unsigned *n = arg;

	(void)i;
	++*n;
}

/* Before anybody opens it again, whoever keeps its bytes or size is told. */
static void a_replaced_file_is_told_of(void **state)
{
	struct fixture *x = *state;
	struct fault f = {
		.x = x, .op = MEMSTORE_PUT, .err = -EIO, .times = 99
	};
	struct inode *i, *again;
	struct handle *h;
	unsigned n = 0;

	assert_int_equal(put(x, "a", "first", 5), 0);
	volume_on_replaced(x->v, count_replaced, &n);
	i = at(x, "a");
	expect(x, "a", "first", 5);
	assert_int_equal(n, 0);
	other_writer(x, "a", "second", 6);
	again = at(x, "a");
	assert_ptr_equal(again, i);
	assert_int_equal(n, 1);
	expect(x, "a", "second", 6);
	assert_int_equal(n, 1);
	inode_forget(x->v, again, 1);
	/* One that is open stays what it was; the name has another. */
	h = open_file(x, "a", O_RDONLY);
	other_writer(x, "a", "third", 5);
	again = at(x, "a");
	assert_ptr_not_equal(again, i);
	assert_int_equal(n, 1);
	inode_forget(x->v, again, 1);
	inode_forget(x->v, i, 1);
	handle_release(h);
	/* So it is when what could not be stored is dropped. */
	memstore_on_op(x->store, strike, &f);
	h = open_file(x, "a", O_WRONLY | O_TRUNC);
	assert_int_equal(handle_write(h, &somebody, "ours", 4, 0), 4);
	assert_int_equal(handle_flush(h), -EIO);
	n = 0;
	handle_release(h);
	assert_int_equal(n, 1);
	expect(x, "a", "third", 5);
}

static void a_reader_follows_a_change_of_form(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(2, LEN), buf[16];
	struct handle *h;

	assert_int_equal(put(x, "v1", one, LEN), 0);
	h = open_file(x, "v1", O_RDONLY);
	assert_int_equal(handle_read(h, &somebody, buf, 16, 0), 16);
	assert_memory_equal(buf, one, 16);
	assert_int_equal(put(x, "v2", one, LEN), 0);
	expect_storage(x, "v1", "delta");
	assert_int_equal(handle_read(h, &somebody, buf, 16, 299000), 16);
	assert_memory_equal(buf, one + 299000, 16);
	handle_release(h);
	free(one);
}

static void reference_of(struct fixture *x, const char *path, char out[256])
{
	char *ref = xattr(x, path, "reference");

	(void)snprintf(out, 256, "%s", ref);
	free(ref);
}

static void flip_now(struct fault *f)
{
	assert_int_equal(memstore_flip(f->x->store, f->data, f->len), 0);
}

/* A bit that is wrong in the bucket is EIO, never a byte. */
static void damage_is_eio(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(3, LEN), *two = noise(3, LEN), *buf = malloc(LEN);
	char ref[256], *stored;

	for (size_t i = 0; i < LEN; i += 5000)
		two[i] ^= 0x55;
	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, "v2", two, LEN), 0);
	assert_int_equal(put(x, "plain", "plain text", 10), 0);
	reference_of(x, "v2", ref);
	stored = xattr(x, "v2", "stored_size");
	for (int k = 0; k < 3; k++) {
		const char *paths[] = { "plain", "v2", "v2" };
		const char *keys[] = { "plain", "v2", ref };
		/* Past the line of text, which nothing depends on. */
		const uint64_t offs[] = { 3, strtoul(stored, NULL, 10) / 2,
					  LEN / 2 };
		const size_t lens[] = { 10, LEN, LEN };

		assert_int_equal(memstore_flip(x->store, keys[k], offs[k]), 0);
		fixture_mount(x);
		assert_int_equal(readable(x, paths[k], buf, lens[k]), -EIO);
		assert_int_equal(memstore_flip(x->store, keys[k], offs[k]), 0);
		assert_int_equal(readable(x, paths[k], buf, lens[k]), 0);
	}
	assert_memory_equal(buf, two, LEN);
	free(stored);
	free(one);
	free(two);
	free(buf);
}

/* On the way here: the second fetch is right, and nobody notices. */
static void damage_on_the_way_is_mended(void **state)
{
	struct fixture *x = *state;
	struct fault f = { .x = x,
			   .op = MEMSTORE_GET,
			   .key = "a",
			   .times = 2,
			   .act = flip_now,
			   .data = "a",
			   .len = 3 };
	struct volume_stats s;

	assert_int_equal(put(x, "a", "plain text", 10), 0);
	fixture_mount(x);
	memstore_on_op(x->store, strike, &f);
	expect(x, "a", "plain text", 10);
	volume_stats(x->v, &s);
	(void)s;
}

static void large_plain_damage_is_found_by_its_block(void **state)
{
	struct fixture *x = *state;
	size_t len = 5 << 20;
	uint8_t *one = noise(4, len), *buf = malloc(len);
	struct handle *h;

	assert_int_equal(put(x, "big", one, len), 0);
	assert_int_equal(memstore_flip(x->store, "big", 3 << 20), 0);
	fixture_mount(x);
	h = open_file(x, "big", O_RDONLY);
	assert_int_equal(handle_read(h, &somebody, buf, 4096, 4096), 4096);
	assert_memory_equal(buf, one + 4096, 4096);
	assert_int_equal(handle_read(h, &somebody, buf, 4096, 3 << 20), -EIO);
	assert_int_equal(handle_read(h, &somebody, buf, 4096, 4 << 20), 4096);
	assert_memory_equal(buf, one + (4 << 20), 4096);
	handle_release(h);
	free(one);
	free(buf);
}

static void a_missing_reference_is_eio(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(5, LEN), buf[16];
	char ref[256];

	assert_int_equal(put(x, "v1", one, LEN), 0);
	assert_int_equal(put(x, "v2", one, LEN), 0);
	reference_of(x, "v2", ref);
	assert_int_equal(
		x->store->ops->remove(x->store, ref, &(struct store_call){ 0 }),
		0);
	fixture_mount(x);
	assert_int_equal(readable(x, "v2", buf, 16), -EIO);
	/* And a new version does not build on what is not there. */
	one[1]++;
	assert_int_equal(put(x, "v3", one, LEN), 0);
	expect(x, "v3", one, LEN);
	free(one);
}

/* Whatever step of a commit fails, the file is stored or close says so. */
static void any_failing_request(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(6, LEN), *two = noise(6, LEN);
	char name[32];

	two[100]++;
	for (int op = 0; op < MEMSTORE_OPS; op++) {
		for (int after = 0; after < 2; after++) {
			for (int skip = 0; skip < 4; skip++) {
				struct fault f = { .x = x,
						   .op = (enum memstore_op)op,
						   .after = after,
						   .err = -EIO,
						   .times = skip };
				int err;

				(void)snprintf(name, sizeof(name), "d%d%d%d",
					       op, after, skip);
				fixture_mount(x);
				memstore_on_op(x->store, NULL, NULL);
				assert_int_equal(put(x, name, one, LEN), 0);
				memstore_on_op(x->store, strike, &f);
				(void)snprintf(name, sizeof(name), "d%d%d%db",
					       op, after, skip);
				err = put(x, name, two, LEN);
				memstore_on_op(x->store, NULL, NULL);
				fixture_mount(x);
				if (!err)
					expect(x, name, two, LEN);
				name[4] =
					'\0'; /* the first one, without its b */
				expect(x, name, one, LEN);
			}
		}
	}
	free(one);
	free(two);
}

/* Another writer, once, just before the operation. */
struct interloper {
	struct fixture *x;
	enum memstore_op op;
	int done;
};

static int interlope(void *arg, enum memstore_op op, const char *key, int after)
{
	struct interloper *p = arg;

	if (p->done || after || op != p->op ||
	    (op != MEMSTORE_COPY && strcmp(key, "a") != 0))
		return 0;
	p->done = 1;
	other_writer(p->x, "a", "another's", 9);
	return 0;
}

/*
 * Where a copy has no condition, a small file is sent again with one: neither
 * the bytes nor the attributes of the version before come back.
 */
static void attributes_do_not_meet_another_version(void **state)
{
	struct fixture *x = *state;
	struct store_caps caps = { .put_if_absent = 1, .put_if_match = 1 };
	struct interloper p = { .x = x, .op = MEMSTORE_PUT };
	struct stat want = { .st_mode = 0640 }, st;
	struct change c = { .want = &want, .which = SET_MODE };
	struct inode *i;
	uint64_t copies;

	memstore_set_caps(x->store, &caps);
	fixture_mount(x);
	assert_int_equal(put(x, "a", "before", 6), 0);
	assert_int_equal(put(x, "b", "quiet", 5), 0);
	copies = memstore_count(x->store, MEMSTORE_COPY);
	i = at(x, "b");
	assert_int_equal(volume_setattr(x->v, &somebody, i, &c, &st), 0);
	inode_forget(x->v, i, 1);
	i = at(x, "a");
	memstore_on_op(x->store, interlope, &p);
	assert_int_equal(volume_setattr(x->v, &somebody, i, &c, &st), -ESTALE);
	assert_true(p.done);
	inode_forget(x->v, i, 1);
	assert_int_equal(memstore_count(x->store, MEMSTORE_COPY), copies);
	fixture_mount(x);
	expect(x, "a", "another's", 9);
	expect(x, "b", "quiet", 5);
	i = at(x, "a");
	assert_int_equal(volume_getattr(x->v, &somebody, i, &st), 0);
	assert_int_not_equal(st.st_mode & 07777, 0640);
	inode_forget(x->v, i, 1);
	i = at(x, "b");
	assert_int_equal(volume_getattr(x->v, &somebody, i, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	inode_forget(x->v, i, 1);
}

/* Also where it was there before the attributes were sent. */
static void attributes_of_a_version_that_is_gone_are_dropped(void **state)
{
	struct fixture *x = *state;
	struct stat want = { .st_mode = 0640 }, st;
	struct change c = { .want = &want, .which = SET_MODE };
	struct inode *i;

	x->conf.attr_timeout_ms = 60000; /* so that it is not seen at once */
	fixture_mount(x);
	assert_int_equal(put(x, "a", "before", 6), 0);
	i = at(x, "a");
	other_writer(x, "a", "another's", 9);
	assert_int_equal(volume_setattr(x->v, &somebody, i, &c, &st), -ESTALE);
	inode_forget(x->v, i, 1);
	fixture_mount(x);
	expect(x, "a", "another's", 9);
	i = at(x, "a");
	assert_int_equal(volume_getattr(x->v, &somebody, i, &st), 0);
	assert_int_not_equal(st.st_mode & 07777, 0640);
	inode_forget(x->v, i, 1);
}

/* A copy within the mount: of the version that was open, or of none. */
static void clone_file(struct fixture *x, const struct store_caps *caps)
{
	struct interloper p = { .x = x };
	struct copying c = { .len = 1 << 20 };
	uint8_t *bytes = noise(3, 9000);
	ssize_t n;

	memstore_set_caps(x->store, caps);
	fixture_mount(x);
	assert_int_equal(put(x, "a", bytes, 9000), 0);
	c.from = open_file(x, "a", O_RDONLY);
	c.to = create(x, "b", 0);
	assert_int_equal(handle_copy(&somebody, &c), 9000);
	/* Durable without a close, and so not by the file's bytes. */
	assert_true(memstore_has(x->store, "b"));
	handle_release(c.to);
	expect(x, "b", bytes, 9000);
	/* Nobody else's new file is replaced. */
	c.to = create(x, "c", 0);
	other_writer(x, "c", "theirs", 6);
	assert_int_equal(handle_copy(&somebody, &c), 9000);
	assert_int_equal(handle_flush(c.to), -ESTALE);
	handle_release(c.to);
	expect(x, "c", "theirs", 6);
	/* Another version is not copied under the old one's digest. */
	p.op = caps->copy_if_match ? MEMSTORE_COPY : MEMSTORE_GET;
	c.to = create(x, "d", 0);
	memstore_on_op(x->store, interlope, &p);
	n = handle_copy(&somebody, &c);
	assert_true(p.done);
	assert_false(memstore_has(x->store, "d"));
	/* The handle may have the bytes that it was opened on. */
	assert_true(n == -ESTALE || n == 9000);
	if (n > 0)
		assert_int_equal(handle_flush(c.to), 0);
	handle_release(c.to);
	if (n > 0)
		expect(x, "d", bytes, 9000);
	handle_release(c.from);
	free(bytes);
}

static void a_clone_is_a_copy_on_conditions(void **state)
{
	clone_file(*state, &(struct store_caps)STORE_CAPS_ALL);
}

static void a_clone_is_sent_again_where_copies_have_none(void **state)
{
	clone_file(*state, &(struct store_caps){ .put_if_absent = 1,
						 .put_if_match = 1 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_store_is_told_and_tried_again),
		TEST(the_version_before_survives),
		TEST(a_damaged_store_is_replaced),
		TEST(a_lost_answer_is_no_conflict),
		TEST(the_loser_of_a_race_is_told),
		TEST(the_same_by_another_is_no_conflict),
		TEST(exclusive_creation_is_decided_at_close),
		TEST(a_replaced_file_is_stale_to_its_reader),
		TEST(a_replaced_file_is_told_of),
		TEST(a_reader_follows_a_change_of_form),
		TEST(damage_is_eio),
		TEST(damage_on_the_way_is_mended),
		TEST(large_plain_damage_is_found_by_its_block),
		TEST(a_missing_reference_is_eio),
		TEST(any_failing_request),
		TEST(attributes_do_not_meet_another_version),
		TEST(attributes_of_a_version_that_is_gone_are_dropped),
		TEST(a_clone_is_a_copy_on_conditions),
		TEST(a_clone_is_sent_again_where_copies_have_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
