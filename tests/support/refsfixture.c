#include "tests/support/refsfixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/dirbackend.h"
#include "cache/membackend.h"

static uint8_t byte_at(uint64_t seed, uint64_t i)
{
	uint64_t x =
		(i / 8 + 1) * 0x9e3779b97f4a7c15u ^ seed * 0xd1342543de82ef95u;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 32;
	return (uint8_t)(x >> 8 * (i % 8));
}

void source_init(struct source *s, uint64_t seed, uint64_t len)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->len = len;
	s->data = malloc(len ? (size_t)len : 1);
	assert_non_null(s->data);
	for (uint64_t i = 0; i < len; i++)
		s->data[i] = byte_at(seed, i);
	assert_int_equal(digest_buffer(s->data, (size_t)len, s->digest), 0);
}

void source_clear(struct source *s)
{
	free(s->data);
}

int source_fetch(void *arg, refs_sink_fn *sink, void *sink_arg)
{
	struct source *s = arg;
	uint64_t len = s->len + (uint64_t)s->extra, step = 10007;
	uint8_t piece[10007];

	atomic_fetch_add(&s->fetches, 1);
	for (uint64_t off = 0; off < len; off += step) {
		size_t n =
			len - off < step ? (size_t)(len - off) : (size_t)step;
		int err;

		if (s->fail && off >= len / 2)
			return s->fail;
		if (s->hook && off >= len / 2) {
			s->hook(s);
			s->hook = NULL;
		}
		for (size_t i = 0; i < n; i++)
			piece[i] = off + i < s->len ? s->data[off + i] : 0;
		if (s->flipped && s->flip >= off && s->flip < off + n)
			piece[s->flip - off] ^= 1;
		err = sink(sink_arg, piece, n);
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

static void on_event(void *arg, enum cache_event what, uint64_t n)
{
	struct fixture *x = arg;

	x->events[what] += n;
}

void refs_end(struct fixture *x)
{
	if (!x->refs)
		return;
	refs_close(x->refs);
	texts_close(x->texts);
	x->backend->ops->free(x->backend);
	assert_int_equal(budget_used(&x->spill), 0);
	budget_clear(&x->spill);
	x->refs = NULL;
}

void refs_begin(struct fixture *x, uint64_t limit, uint64_t memory_max,
		uint64_t memory_idle)
{
	const struct cache_log log = { on_event, x };
	struct dirbackend_conf dir = { .dirfd = x->dirfd,
				       .limit = limit,
				       .log = log };
	struct refs_conf conf = { .key = &x->key,
				  .spill_dirfd = x->dirfd,
				  .spill = &x->spill,
				  .log = log };
	struct cachekey *key;

	refs_end(x);
	budget_init(&x->spill, 16 * MIB);
	assert_int_equal(cachekey_new(&key, &x->key), 0);
	dir.key = key;
	if (x->memory)
		assert_int_equal(membackend_new(&x->backend,
						&(struct membackend_conf){
							.limit = limit }),
				 0);
	else
		assert_int_equal(dirbackend_new(&x->backend, &dir), 0);
	cachekey_put(key);
	assert_int_equal(texts_open(&x->texts, memory_max, memory_idle), 0);
	conf.backend = x->backend;
	conf.texts = x->texts;
	assert_int_equal(refs_open(&x->refs, &conf), 0);
}

void refs_make(struct fixture *x, uint64_t disk_max, uint64_t memory_max)
{
	refs_begin(x, disk_max, memory_max, memory_max);
}

int refs_setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	snprintf(x->dir, sizeof(x->dir), "/tmp/dg-refs-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->dirfd = open(x->dir, O_RDONLY | O_DIRECTORY);
	assert_true(x->dirfd >= 0);
	assert_int_equal(aead_key_random(&x->key), 0);
	refs_make(x, 64 * MIB, 64 * MIB);
	*state = x;
	return 0;
}

int refs_setup_memory(void **state)
{
	struct fixture *x;

	refs_setup(state);
	x = *state;
	refs_end(x);
	x->memory = 1;
	refs_make(x, 64 * MIB, 64 * MIB);
	return 0;
}

int refs_teardown(void **state)
{
	struct fixture *x = *state;

	if (x->refs)
		assert_int_equal(refs_clear(x->refs), 0);
	refs_end(x);
	unlinkat(x->dirfd, "space", 0);
	close(x->dirfd);
	assert_int_equal(rmdir(x->dir), 0); /* nothing is left */
	free(x);
	return 0;
}

struct ref *get_ref(struct fixture *x, struct source *s)
{
	struct ref *ref;

	assert_int_equal(refs_get(x->refs, s->digest, s->len,
				  &(struct refs_source){ .fetch = source_fetch,
							 .arg = s },
				  &ref),
			 0);
	return ref;
}

int get_cached(struct fixture *x, struct source *s)
{
	struct ref *ref;
	int err = refs_get(x->refs, s->digest, s->len,
			   &(struct refs_source){ .fetch = no_fetch }, &ref);

	if (!err)
		ref_put(ref);
	return err;
}

struct seen seen(struct fixture *x)
{
	struct refs_stats st;

	refs_stats(x->refs, &st);
	return (struct seen){
		.bytes = st.backend.bytes,
		.limit = st.backend.limit,
		.entries = st.backend.entries,
		.clear_pending = st.backend.clear_pending,
		.evictions = st.backend.evictions[EVICT_SPACE] +
			     st.backend.evictions[EVICT_DISK] +
			     st.backend.evictions[EVICT_MEMORY],
		.corruptions = st.backend.corruptions,
		.foreign = st.backend.foreign,
		.memory_bytes = st.memory_bytes,
		.memory_limit = st.memory_limit,
		.in_use = st.in_use,
		.hits = st.hits,
		.misses = st.misses,
		.clears = st.clears,
		.fetched_bytes = st.fetched_bytes,
		.unkept = st.unkept,
	};
}

void expect_ref(struct ref *ref, const struct source *s, uint64_t off,
		size_t len)
{
	uint8_t *got = malloc(len ? len : 1);

	assert_non_null(got);
	assert_int_equal(ref_read(ref, got, len, off), 0);
	assert_memory_equal(got, s->data + off, len);
	free(got);
}

/* Files in the directory, the disk they take, and the name of the last. */
unsigned files_of(const char *dir, uint64_t *bytes, char name[256])
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	*bytes = 0;
	while ((e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.' || !strcmp(e->d_name, "space"))
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, 0) < 0)
			continue; /* just evicted */
		n++;
		*bytes += (uint64_t)st.st_blocks * 512;
		if (name)
			snprintf(name, 256, "%s", e->d_name);
	}
	closedir(d);
	return n;
}
