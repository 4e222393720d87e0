#include "tests/support/cacheuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/dirbackend.h"

#define MEMORY ((uint64_t)64 << 20)
#define PIECE  50021 /* bytes that a fetch gives at once */

int known_init(struct known *k, unsigned number, uint64_t len)
{
	uint64_t seed = (number + 1) * 0x9e3779b97f4a7c15u;

	*k = (struct known){ .len = len, .stall_at = UINT64_MAX };
	k->data = malloc(len ? (size_t)len : 1);
	if (!k->data)
		return -ENOMEM;
	for (uint64_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		k->data[i] = (uint8_t)(seed >> 56);
	}
	return digest_buffer(k->data, (size_t)len, k->digest);
}

void known_clear(struct known *k)
{
	free(k->data);
}

int known_is(const struct known *k, struct ref *ref)
{
	uint8_t *got = malloc(k->len ? (size_t)k->len : 1);
	int right = got && !ref_read(ref, got, (size_t)k->len, 0) &&
		    (!k->len || !memcmp(got, k->data, (size_t)k->len));

	free(got);
	return right;
}

static void on_event(void *arg, enum cache_event what, uint64_t n)
{
	struct cacheuse *u = arg;

	u->events[what] += n;
}

int cacheuse_open(struct cacheuse *u, const struct aead_key *master)
{
	const struct cache_log log = { on_event, u };
	struct dirbackend_conf dir = { .dirfd = u->dirfd,
				       .limit = u->limit,
				       .min_free = u->min_free,
				       .log = log };
	struct refs_conf conf = { .key = master,
				  .spill_dirfd = u->dirfd,
				  .spill = &u->spill,
				  .log = log };
	struct cachekey *key;
	int err;

	memset(u->events, 0, sizeof(u->events));
	err = cachekey_new(&key, master);
	if (err)
		return err;
	dir.key = key;
	err = dirbackend_new(&u->backend, &dir);
	cachekey_put(key);
	if (err)
		return err;
	err = texts_open(&u->texts, MEMORY, MEMORY);
	if (err)
		goto free_backend;
	budget_init(&u->spill, MEMORY);
	conf.backend = u->backend;
	conf.texts = u->texts;
	err = refs_open(&u->refs, &conf);
	if (!err)
		return 0;
	budget_clear(&u->spill);
	texts_close(u->texts);
free_backend:
	u->backend->ops->free(u->backend);
	return err;
}

void cacheuse_leave(struct cacheuse *u)
{
	if (!u->refs)
		return;
	refs_close(u->refs);
	texts_close(u->texts);
	u->backend->ops->free(u->backend);
	budget_clear(&u->spill);
	u->refs = NULL;
}

static int known_fetch(void *arg, refs_sink_fn *sink, void *sink_arg)
{
	struct known *k = arg;

	atomic_fetch_add(&k->fetches, 1);
	for (uint64_t off = 0; off < k->len; off += PIECE) {
		size_t n =
			k->len - off < PIECE ? (size_t)(k->len - off) : PIECE;
		int err;

		if (off + n > k->stall_at) {
			atomic_fetch_add(&k->stalled, 1);
			for (;;)
				(void)pause();
		}
		err = sink(sink_arg, k->data + off, n);
		if (err)
			return err;
	}
	return 0;
}

static int no_fetch(void *arg, refs_sink_fn *sink, void *sink_arg)
{
	(void)arg;
	(void)sink;
	(void)sink_arg;
	return -ENOTCONN;
}

int cacheuse_get(struct cacheuse *u, struct known *k, struct ref **out)
{
	return refs_get(u->refs, k->digest, k->len,
			&(struct refs_source){ .fetch = known_fetch, .arg = k },
			out);
}

static int see(struct cacheuse *u, struct known *k, refs_fetch_fn *fetch)
{
	struct ref *ref;
	int err = refs_get(u->refs, k->digest, k->len,
			   &(struct refs_source){ .fetch = fetch, .arg = k },
			   &ref);

	if (err)
		return err;
	err = known_is(k, ref) ? 0 : -EBADMSG;
	ref_put(ref);
	return err;
}

int cacheuse_see(struct cacheuse *u, struct known *k)
{
	return see(u, k, known_fetch);
}

int cacheuse_see_kept(struct cacheuse *u, struct known *k)
{
	return see(u, k, no_fetch);
}

int cacheuse_tally(int dirfd, struct cacheuse_tally *out)
{
	int fd = openat(dirfd, "space", O_RDONLY | O_CLOEXEC);
	struct cacheuse_tally t;
	uint8_t raw[40];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, raw, sizeof(raw));
	(void)close(fd);
	if (n != sizeof(raw) || memcmp(raw, "dgspace\n", 8) != 0)
		return -EBADMSG;
	t.bytes = le64_get(raw + 8);
	t.entries = le64_get(raw + 16);
	t.doomed = le64_get(raw + 24);
	if (le64_get(raw + 32) != ~(t.bytes + t.entries + t.doomed))
		return -EBADMSG;
	*out = t;
	return 0;
}

int cacheuse_each(int dirfd, cacheuse_name_fn *fn, void *arg)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			fn(arg, dirfd, e->d_name);
	(void)closedir(d);
	return 0;
}

struct found {
	unsigned count;
	char *one;
};

static void find_name(void *arg, int dirfd, const char *name)
{
	struct found *f = arg;

	(void)dirfd;
	if (!strcmp(name, "space") || !strcmp(name, "lock"))
		return;
	f->count++;
	if (f->one)
		(void)snprintf(f->one, 256, "%s", name);
}

unsigned cacheuse_names(int dirfd, char one[256])
{
	struct found f = { 0, one };

	return cacheuse_each(dirfd, find_name, &f) ? ~0u : f.count;
}

static uint64_t blocks(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

static void add_disk(void *arg, int dirfd, const char *name)
{
	uint64_t *sum = arg;
	struct stat st;

	if (!fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		*sum += blocks(&st);
}

uint64_t cacheuse_disk(int dirfd)
{
	struct stat st;
	uint64_t sum;

	if (fstat(dirfd, &st) < 0)
		return UINT64_MAX;
	sum = blocks(&st);
	return cacheuse_each(dirfd, add_disk, &sum) ? UINT64_MAX : sum;
}

static void remove_one(void *arg, int dirfd, const char *name)
{
	int fd;

	(void)arg;
	if (!unlinkat(dirfd, name, 0) || !unlinkat(dirfd, name, AT_REMOVEDIR))
		return;
	fd = openat(dirfd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	cacheuse_empty(fd);
	(void)close(fd);
	(void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

void cacheuse_empty(int dirfd)
{
	if (cacheuse_each(dirfd, remove_one, NULL))
		perror("cacheuse_empty");
}
