#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/dirbackend.h"
#include "cache/refs.h"
#include "cache/texts.h"
#include "fs/log.h"

const struct request somebody = { .uid = 1000, .gid = 100 };

int fixture_setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	log_set_level(LOG_LEVEL_ERROR);
	assert_int_equal(memstore_new(&x->store), 0);
	(void)snprintf(x->dir, sizeof(x->dir), "/tmp/dg-volume-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(x->dirfd >= 0);
	assert_int_equal(aead_key_random(&x->key), 0);
	x->conf = (struct volume_conf){
		.store = x->store,
		.spool_dirfd = x->dirfd,
		.key = &x->key,
		.spool = &x->spool,
		.prefix = "",
		.defaults = { .uid = 7,
			      .gid = 8,
			      .file_mode = 0644,
			      .dir_mode = 0755 },
		.max_ratio = 0.5,
		.delta = 1,
		.encoders = 2,
		.attr_timeout_ms = 0,
	};
	fixture_mount(x);
	*state = x;
	return 0;
}

void fixture_mount(struct fixture *x)
{
	struct dirbackend_conf dir = { .dirfd = x->dirfd, .limit = 64 << 20 };
	struct refs_conf refs = { .key = &x->key,
				  .spill_dirfd = x->dirfd,
				  .spill = &x->spool };
	struct cachekey *key;

	fixture_unmount(x);
	budget_init(&x->spool, 256 << 20);
	assert_int_equal(cachekey_new(&key, &x->key), 0);
	dir.key = key;
	assert_int_equal(dirbackend_new(&x->cache, &dir), 0);
	cachekey_put(key);
	assert_int_equal(texts_open(&x->texts, 64 << 20, 16 << 20), 0);
	refs.backend = x->cache;
	refs.texts = x->texts;
	assert_int_equal(refs_open(&x->refs, &refs), 0);
	x->conf.refs = x->refs;
	assert_int_equal(volume_new(&x->v, &x->conf), 0);
}

void fixture_unmount(struct fixture *x)
{
	if (!x->v)
		return;
	volume_shutdown(x->v);
	volume_free(x->v);
	x->v = NULL;
	assert_int_equal(refs_clear(x->refs), 0);
	refs_close(x->refs);
	texts_close(x->texts);
	x->cache->ops->free(x->cache);
	assert_int_equal(unlinkat(x->dirfd, "space", 0), 0);
	x->refs = NULL;
	/* All that was taken was given back. */
	assert_int_equal(budget_used(&x->spool), 0);
	budget_clear(&x->spool);
}

int fixture_teardown(void **state)
{
	struct fixture *x = *state;

	memstore_on_op(x->store, NULL, NULL);
	fixture_unmount(x);
	x->store->ops->free(x->store);
	(void)close(x->dirfd);
	assert_int_equal(rmdir(x->dir), 0); /* nothing was left behind */
	free(x);
	return 0;
}

uint8_t *noise(uint64_t seed, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	assert_non_null(p);
	seed = seed * 0x9e3779b97f4a7c15u + 1;
	for (size_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		p[i] = (uint8_t)(seed >> 56);
	}
	return p;
}

struct inode *parent_of(struct fixture *x, const char *path, const char **name)
{
	struct inode *dir = volume_root(x->v), *next;
	char part[256];
	const char *slash;
	int held = 0;

	while ((slash = strchr(path, '/'))) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path),
			       path);
		assert_int_equal(
			volume_lookup(x->v, &somebody, dir, part, &next, NULL),
			0);
		if (held)
			inode_forget(x->v, dir, 1);
		dir = next;
		held = 1;
		path = slash + 1;
	}
	if (!held)
		assert_ptr_equal(dir, volume_root(x->v));
	*name = path;
	return dir;
}

static void let_go(struct fixture *x, struct inode *dir)
{
	if (dir != volume_root(x->v))
		inode_forget(x->v, dir, 1);
}

struct inode *at(struct fixture *x, const char *path)
{
	const char *name;
	struct inode *dir = parent_of(x, path, &name), *i = NULL;
	int err = volume_lookup(x->v, &somebody, dir, name, &i, NULL);

	let_go(x, dir);
	assert_true(!err || err == -ENOENT);
	return err ? NULL : i;
}

static int write_all(struct handle *h, const uint8_t *p, size_t len)
{
	size_t off = 0, piece = 1;

	while (off < len) {
		size_t n = len - off < piece ? len - off : piece;
		ssize_t did = handle_write(h, &somebody, p + off, n, off);

		if (did < 0)
			return (int)did;
		assert_int_equal(did, n);
		off += n;
		piece = piece * 3 % 131072 + 1;
	}
	return 0;
}

int put(struct fixture *x, const char *path, const void *data, size_t len)
{
	const char *name;
	struct inode *dir = parent_of(x, path, &name), *i = NULL;
	struct create c = { dir, name, 0644, O_WRONLY | O_CREAT };
	struct handle *h;
	int err, same;

	err = volume_lookup(x->v, &somebody, dir, name, &i, NULL);
	if (err && err != -ENOENT) {
		let_go(x, dir);
		return err;
	}
	if (i)
		err = volume_open(x->v, &somebody, i, O_WRONLY | O_TRUNC, &h,
				  &same);
	else
		err = volume_create(x->v, &somebody, &c, &i, &h);
	if (err) {
		if (i)
			inode_forget(x->v, i, 1);
		let_go(x, dir);
		return err;
	}
	err = write_all(h, data, len);
	if (!err)
		err = handle_flush(h);
	handle_release(h);
	inode_forget(x->v, i, 1);
	let_go(x, dir);
	return err;
}

int readable(struct fixture *x, const char *path, void *buf, size_t len)
{
	struct inode *i = at(x, path);
	struct handle *h;
	size_t off = 0;
	int err, same;

	assert_non_null(i);
	err = volume_open(x->v, &somebody, i, O_RDONLY, &h, &same);
	assert_int_equal(err, 0);
	while (!err && off < len) {
		ssize_t n = handle_read(h, &somebody, (uint8_t *)buf + off,
					len - off < 100000 ? len - off : 100000,
					off);

		if (n <= 0)
			err = n < 0 ? (int)n : -ENODATA;
		else
			off += (size_t)n;
	}
	handle_release(h);
	inode_forget(x->v, i, 1);
	return err;
}

void expect(struct fixture *x, const char *path, const void *data, size_t len)
{
	struct inode *i = at(x, path);
	uint8_t *buf = malloc(len + 1);
	struct stat st;

	assert_non_null(i);
	assert_non_null(buf);
	assert_int_equal(volume_getattr(x->v, &somebody, i, &st), 0);
	assert_int_equal(st.st_size, len);
	inode_forget(x->v, i, 1);
	assert_int_equal(readable(x, path, buf, len), 0);
	assert_true(!memcmp(buf, data, len));
	free(buf);
}

char *xattr(struct fixture *x, const char *path, const char *name)
{
	struct inode *i = at(x, path);
	struct bytes b = BYTES_INIT;
	char full[64];

	assert_non_null(i);
	(void)snprintf(full, sizeof(full), "user.deltaglider.%s", name);
	assert_int_equal(volume_getxattr(x->v, &somebody, i, full, &b), 0);
	assert_int_equal(bytes_append(&b, "", 1), 0);
	inode_forget(x->v, i, 1);
	return (char *)b.data;
}

void expect_storage(struct fixture *x, const char *path, const char *storage)
{
	char *got = xattr(x, path, "storage");

	assert_string_equal(got, storage);
	free(got);
}
