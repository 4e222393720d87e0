/* Names and handles: what is open stays what it was, what is empty waits. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static struct handle *create(struct fixture *x, const char *path, int flags)
{
	const char *name;
	struct create c = { parent_of(x, path, &name), NULL, 0644,
			    O_RDWR | O_CREAT | flags };
	struct handle *h;
	struct inode *i;

	c.name = name;
	assert_int_equal(volume_create(x->v, &somebody, &c, &i, &h), 0);
	inode_forget(x->v, i, 1);
	if (c.parent != volume_root(x->v))
		inode_forget(x->v, c.parent, 1);
	return h;
}

static int make_dir(struct fixture *x, const char *path)
{
	const char *name;
	struct inode *dir = parent_of(x, path, &name), *i;
	int err = volume_mkdir(x->v, &somebody, dir, name, 0755, &i);

	if (!err)
		inode_forget(x->v, i, 1);
	if (dir != volume_root(x->v))
		inode_forget(x->v, dir, 1);
	return err;
}

static int change_name(struct fixture *x, const char *from, const char *to,
		       int no_replace)
{
	const char *a, *b;
	struct inode *da = parent_of(x, from, &a), *db = parent_of(x, to, &b);
	struct rename r = { da, db, a, b, no_replace };
	int err = volume_rename(x->v, &somebody, &r);

	if (da != volume_root(x->v))
		inode_forget(x->v, da, 1);
	if (db != volume_root(x->v))
		inode_forget(x->v, db, 1);
	return err;
}

static int take_away(struct fixture *x, const char *path, int dir)
{
	const char *name;
	struct inode *p = parent_of(x, path, &name);
	int err = dir ? volume_rmdir(x->v, &somebody, p, name)
		      : volume_unlink(x->v, &somebody, p, name);

	if (p != volume_root(x->v))
		inode_forget(x->v, p, 1);
	return err;
}

static void expect_read(struct handle *h, const char *text)
{
	char buf[64];

	assert_int_equal(handle_read(h, &somebody, buf, sizeof(buf), 0),
			 strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void unlinked_while_open(void **state)
{
	struct fixture *x = *state;
	struct handle *h;

	assert_int_equal(put(x, "a", "hello", 5), 0);
	fixture_mount(x);
	h = open_file(x, "a", O_RDWR);
	assert_int_equal(take_away(x, "a", 0), 0);
	assert_null(at(x, "a"));
	assert_false(memstore_has(x->store, "a"));
	expect_read(h, "hello");
	assert_int_equal(handle_write(h, &somebody, "J", 1, 0), 1);
	expect_read(h, "Jello");
	assert_int_equal(handle_flush(h), 0);
	/* A new file of that name is another one. */
	assert_int_equal(put(x, "a", "other", 5), 0);
	expect_read(h, "Jello");
	handle_release(h);
	expect(x, "a", "other", 5);
}

static void replaced_while_open(void **state)
{
	struct fixture *x = *state;
	struct handle *h, *moved;

	assert_int_equal(put(x, "a", "old", 3), 0);
	assert_int_equal(put(x, "b", "new", 3), 0);
	h = open_file(x, "a", O_RDONLY);
	moved = open_file(x, "b", O_RDONLY);
	assert_int_equal(change_name(x, "b", "a", 1), -EEXIST);
	assert_int_equal(change_name(x, "b", "a", 0), 0);
	expect_read(h, "old");
	expect_read(moved, "new");
	expect(x, "a", "new", 3);
	assert_null(at(x, "b"));
	handle_release(h);
	handle_release(moved);
}

/* Before the first upload a rename asks nothing of the bucket. */
static void renamed_before_it_was_stored(void **state)
{
	struct fixture *x = *state;
	struct handle *h;

	assert_int_equal(put(x, "a", "old", 3), 0);
	h = create(x, "tmp", O_EXCL);
	assert_int_equal(handle_write(h, &somebody, "new", 3, 0), 3);
	assert_int_equal(change_name(x, "tmp", "a", 0), 0);
	assert_int_equal(memstore_count(x->store, MEMSTORE_COPY), 0);
	assert_false(memstore_has(x->store, "tmp"));
	assert_int_equal(handle_flush(h), 0);
	handle_release(h);
	fixture_mount(x);
	expect(x, "a", "new", 3);
	assert_null(at(x, "tmp"));
}

/* echo x > f: create, flush, write, flush, release. */
static void a_shell_redirection_is_one_put(void **state)
{
	struct fixture *x = *state;
	struct handle *h = create(x, "a", 0);
	uint64_t before = memstore_count(x->store, MEMSTORE_PUT);

	assert_int_equal(handle_flush(h), 0);
	assert_int_equal(memstore_count(x->store, MEMSTORE_PUT), before);
	assert_int_equal(handle_write(h, &somebody, "x\n", 2, 0), 2);
	assert_int_equal(handle_flush(h), 0);
	handle_release(h);
	assert_int_equal(memstore_count(x->store, MEMSTORE_PUT), before + 1);
	expect(x, "a", "x\n", 2);
}

/* : > f keeps the old object until the last close, then it is empty. */
static void an_emptied_file_is_stored_at_release(void **state)
{
	struct fixture *x = *state;
	struct handle *h;

	assert_int_equal(put(x, "a", "old", 3), 0);
	h = open_file(x, "a", O_WRONLY | O_TRUNC);
	assert_int_equal(handle_flush(h), 0);
	assert_int_equal(memstore_count(x->store, MEMSTORE_PUT), 1);
	handle_release(h);
	fixture_mount(x);
	expect(x, "a", "", 0);
	h = create(x, "b", 0);
	assert_int_equal(handle_fsync(h), 0);
	assert_true(memstore_has(x->store, "b"));
	handle_release(h);
}

static void what_is_open_at_the_end_is_stored(void **state)
{
	struct fixture *x = *state;
	struct handle *h = create(x, "a", 0);

	assert_int_equal(handle_write(h, &somebody, "late", 4, 0), 4);
	volume_shutdown(x->v);
	assert_true(memstore_has(x->store, "a"));
	handle_release(h);
	fixture_mount(x);
	expect(x, "a", "late", 4);
}

static void truncation(void **state)
{
	struct fixture *x = *state;
	struct stat want = { .st_size = 3 }, st;
	struct change c = { &want, SET_SIZE, NULL };
	struct inode *i;

	assert_int_equal(put(x, "a", "hello", 5), 0);
	fixture_mount(x);
	i = at(x, "a");
	assert_int_equal(volume_setattr(x->v, &somebody, i, &c, &st), 0);
	assert_int_equal(st.st_size, 3);
	want.st_size = 6;
	assert_int_equal(volume_setattr(x->v, &somebody, i, &c, &st), 0);
	inode_forget(x->v, i, 1);
	fixture_mount(x);
	expect(x, "a", "hel\0\0\0", 6);
}

static void appending(void **state)
{
	struct fixture *x = *state;
	struct handle *h;

	assert_int_equal(put(x, "a", "one", 3), 0);
	fixture_mount(x);
	h = open_file(x, "a", O_WRONLY | O_APPEND);
	assert_int_equal(handle_append(h, &somebody, "two", 3), 3);
	assert_int_equal(handle_flush(h), 0);
	handle_release(h);
	fixture_mount(x);
	expect(x, "a", "onetwo", 6);
}

static void directories(void **state)
{
	struct fixture *x = *state;
	struct inode *i;
	struct stat st;

	assert_int_equal(make_dir(x, "d"), 0);
	assert_int_equal(make_dir(x, "d"), -EEXIST);
	assert_int_equal(make_dir(x, "d/e"), 0);
	assert_int_equal(put(x, "d/e/f", "x", 1), 0);
	assert_int_equal(take_away(x, "d", 1), -ENOTEMPTY);
	assert_int_equal(take_away(x, "d", 0), -EISDIR);
	assert_int_equal(take_away(x, "d/e/f", 1), -ENOTDIR);
	fixture_mount(x);
	i = at(x, "d");
	assert_non_null(i);
	assert_int_equal(volume_getattr(x->v, &somebody, i, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_uid, 1000);
	inode_forget(x->v, i, 1);
	assert_int_equal(take_away(x, "d/e/f", 0), 0);
	assert_int_equal(take_away(x, "d/e", 1), 0);
	assert_int_equal(take_away(x, "d", 1), 0);
	assert_null(at(x, "d"));
}

static void a_directory_moves_with_all_below(void **state)
{
	struct fixture *x = *state;
	struct handle *h, *fresh;
	char path[32];

	assert_int_equal(make_dir(x, "d"), 0);
	assert_int_equal(make_dir(x, "d/sub"), 0);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(path, sizeof(path), "d/sub/f%d", i);
		assert_int_equal(put(x, path, path, strlen(path)), 0);
	}
	h = open_file(x, "d/sub/f7", O_RDONLY);
	fresh = create(x, "d/sub/unsaved", 0);
	assert_int_equal(handle_write(fresh, &somebody, "u", 1, 0), 1);
	assert_int_equal(make_dir(x, "full"), 0);
	assert_int_equal(make_dir(x, "full/x"), 0);
	assert_int_equal(change_name(x, "d", "full", 0), -ENOTEMPTY);
	assert_int_equal(change_name(x, "d", "moved", 0), 0);
	assert_null(at(x, "d"));
	expect_read(h, "d/sub/f7");
	assert_int_equal(handle_flush(fresh), 0);
	handle_release(h);
	handle_release(fresh);
	fixture_mount(x);
	for (int i = 0; i < 40; i++) {
		char content[32];

		(void)snprintf(path, sizeof(path), "moved/sub/f%d", i);
		(void)snprintf(content, sizeof(content), "d/sub/f%d", i);
		expect(x, path, content, strlen(content));
	}
	expect(x, "moved/sub/unsaved", "u", 1);
	assert_null(at(x, "d"));
}

static void links(void **state)
{
	struct fixture *x = *state;
	struct bytes b = BYTES_INIT;
	struct inode *i;
	struct stat st;

	assert_int_equal(volume_symlink(x->v, &somebody, volume_root(x->v), "l",
					"../some where/\xc3\xa9", &i),
			 0);
	inode_forget(x->v, i, 1);
	fixture_mount(x);
	i = at(x, "l");
	assert_int_equal(volume_getattr(x->v, &somebody, i, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(volume_readlink(x->v, &somebody, i, &b), 0);
	assert_int_equal(b.len, strlen("../some where/\xc3\xa9"));
	assert_memory_equal(b.data, "../some where/\xc3\xa9", b.len);
	bytes_clear(&b);
	inode_forget(x->v, i, 1);
}

static void listing(void **state)
{
	struct fixture *x = *state;
	struct handle *h;
	struct dirstream *d;
	struct dirent_view e;

	assert_int_equal(put(x, "b", "x", 1), 0);
	assert_int_equal(make_dir(x, "a"), 0);
	assert_int_equal(put(x, "a/below", "x", 1), 0);
	h = create(x, "unsaved", 0);
	assert_int_equal(dirstream_open(x->v, volume_root(x->v), &d), 0);
	assert_int_equal(dirstream_get(d, &somebody, 0, &e), 1);
	assert_string_equal(e.name, "unsaved");
	assert_int_equal(dirstream_get(d, &somebody, 1, &e), 1);
	assert_string_equal(e.name, "a");
	assert_int_equal(e.type, S_IFDIR);
	assert_int_equal(dirstream_get(d, &somebody, 2, &e), 1);
	assert_string_equal(e.name, "b");
	assert_int_equal(dirstream_get(d, &somebody, 3, &e), 0);
	dirstream_prefetch(d, &somebody, 0);
	dirstream_close(d);
	handle_release(h);
}

/* Ours at the root, another mount's below, but not a user's own. */
static void dot_dg_is_hidden_where_it_is_ours(void **state)
{
	struct fixture *x = *state;
	uint8_t bytes[5000] = { 1 };
	struct inode *i;

	assert_int_equal(make_dir(x, ".dg"), -EPERM);
	assert_int_equal(take_away(x, ".dg", 1), -EPERM);
	assert_int_equal(take_away(x, ".dg", 0), -EPERM);
	assert_int_equal(put(x, "v1", bytes, sizeof(bytes)), 0);
	assert_int_equal(make_dir(x, "sub"), 0);
	assert_int_equal(make_dir(x, "sub/.dg"), 0);
	i = at(x, "sub/.dg");
	assert_non_null(i);
	inode_forget(x->v, i, 1);
	assert_int_equal(take_away(x, "sub", 1), -ENOTEMPTY);
	assert_int_equal(put(x, "sub/.dg/format", "deltaglider 1\n", 14), 0);
	assert_null(at(x, "sub/.dg"));
	assert_int_equal(take_away(x, "sub", 1), -EBUSY);
	assert_int_equal(change_name(x, "sub", "elsewhere", 0), -EBUSY);
}

static void read_only_is_read_only(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(put(x, "a", "x", 1), 0);
	x->conf.read_only = 1;
	fixture_mount(x);
	expect(x, "a", "x", 1);
	assert_int_equal(put(x, "a", "y", 1), -EROFS);
	assert_int_equal(make_dir(x, "d"), -EROFS);
	assert_int_equal(take_away(x, "a", 0), -EROFS);
	assert_int_equal(change_name(x, "a", "b", 0), -EROFS);
}

/* A reader that comes and goes stores nothing half-written. */
static void a_reader_does_not_store(void **state)
{
	struct fixture *x = *state;
	struct handle *h = create(x, "a", 0), *reader;

	assert_int_equal(handle_write(h, &somebody, "half", 4, 0), 4);
	reader = open_file(x, "a", O_RDONLY);
	expect_read(reader, "half");
	assert_int_equal(handle_flush(reader), 0);
	handle_release(reader);
	assert_false(memstore_has(x->store, "a"));
	assert_int_equal(handle_flush(h), 0);
	assert_true(memstore_has(x->store, "a"));
	handle_release(h);
}

/* The writer who needs more than there is gets ENOSPC; nobody else. */
static void a_full_spool_stops_the_writer_only(void **state)
{
	struct fixture *x = *state;
	uint8_t *data = noise(1, 4 << 20);
	struct handle *h;
	size_t off = 0;
	ssize_t n;

	assert_int_equal(put(x, "a", "before", 6), 0);
	x->spool.max = 2 << 20;
	h = open_file(x, "a", O_WRONLY | O_TRUNC);
	do {
		n = handle_write(h, &somebody, data + off, 65536, off);
		off += n > 0 ? (size_t)n : 0;
	} while (n > 0 && off < (4 << 20));
	assert_int_equal(n, -ENOSPC);
	assert_true(off > 0);
	expect(x, "a", data, off);
	/* Half of it does not replace what is there. */
	assert_int_equal(handle_flush(h), -ENOSPC);
	assert_int_equal(handle_fsync(h), -ENOSPC);
	handle_release(h);
	expect(x, "a", "before", 6);
	/* Done over when there is room, or cut off, it is whole again. */
	h = open_file(x, "a", O_WRONLY);
	assert_int_equal(handle_write(h, &somebody, data, 4 << 20, 6), -ENOSPC);
	assert_int_equal(handle_flush(h), -ENOSPC);
	x->spool.max = 64 << 20;
	assert_int_equal(handle_write(h, &somebody, data, 4 << 20, 6), 4 << 20);
	assert_int_equal(handle_flush(h), 0);
	handle_release(h);
	x->spool.max = 2 << 20;
	assert_int_equal(put(x, "b", "small", 5), 0);
	expect(x, "b", "small", 5);
	free(data);
}

struct crowd {
	struct fixture *x;
	unsigned id;
	int err;
};

/* Writers of their own files and readers of everybody's, all at once. */
static void *one_of_many(void *arg)
{
	struct crowd *c = arg;
	uint8_t *mine = noise(99, 50000), *got = malloc(50000);
	char name[32];

	for (unsigned round = 0; round < 6 && !c->err; round++) {
		(void)snprintf(name, sizeof(name), "w%u", c->id);
		memcpy(mine + 100, &round, sizeof(round));
		memcpy(mine + 200, &c->id, sizeof(c->id));
		c->err = put(c->x, name, mine, 50000);
		if (!c->err)
			c->err = readable(c->x, name, got, 50000);
		if (!c->err && memcmp(got, mine, 50000) != 0)
			c->err = -EILSEQ;
	}
	free(mine);
	free(got);
	return NULL;
}

static void many_at_once(void **state)
{
	struct fixture *x = *state;
	pthread_t threads[8];
	struct crowd crowd[8];
	struct volume_stats s;

	for (unsigned i = 0; i < 8; i++) {
		crowd[i] = (struct crowd){ x, i, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, one_of_many,
						&crowd[i]),
				 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(crowd[i].err, 0);
	}
	volume_stats(x->v, &s);
	assert_int_equal(s.files_plain + s.files_delta, 48);
	assert_int_equal(s.conflicts, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unlinked_while_open),
		TEST(replaced_while_open),
		TEST(renamed_before_it_was_stored),
		TEST(a_shell_redirection_is_one_put),
		TEST(an_emptied_file_is_stored_at_release),
		TEST(what_is_open_at_the_end_is_stored),
		TEST(truncation),
		TEST(appending),
		TEST(directories),
		TEST(a_directory_moves_with_all_below),
		TEST(links),
		TEST(listing),
		TEST(dot_dg_is_hidden_where_it_is_ours),
		TEST(read_only_is_read_only),
		TEST(a_reader_does_not_store),
		TEST(a_full_spool_stops_the_writer_only),
		TEST(many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
