#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/budget.h"
#include "cache/dirbackend.h"
#include "cache/filelock.h"
#include "cache/membackend.h"
#include "cache/reffile.h"
#include "cache/refs.h"
#include "cache/sealing.h"
#include "cache/texts.h"
#include "crypto/aead.h"
#include "delta/index.h"

#define PAGE SEALING_PAGE
#define MIB  ((uint64_t)1 << 20)

/* Where references come from: made from a seed, so that all are known. */
struct source {
	uint64_t seed, len;
	uint8_t *data;
	uint8_t digest[DIGEST_LEN];
	atomic_uint fetches;
	/* How to go wrong. */
	int fail; /* returned halfway */
	int64_t extra; /* bytes more or fewer than promised */
	uint64_t flip; /* with `flipped`: a wrong byte */
	int flipped;
	void (*hook)(struct source *s); /* called in the middle */
	void *hook_arg;
};

struct fixture {
	char dir[64];
	int dirfd;
	struct aead_key key;
	int memory; /* a cache in memory, not in the directory */
	struct budget spill;
	struct cache_backend *backend;
	struct texts *texts;
	struct refs *refs;
	uint64_t events[CACHE_UNUSABLE + 1];
};

/* The room that a reference of `len` bytes is given, and that of `n` such. */
#define EACH(len)    ((reffile_size(len) + 4095) / 4096 * 4096 + 4096)
#define ROOM(n, len) ((n)*EACH(len) + (64 << 10))

static uint8_t byte_at(uint64_t seed, uint64_t i)
{
	uint64_t x =
		(i / 8 + 1) * 0x9e3779b97f4a7c15u ^ seed * 0xd1342543de82ef95u;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 32;
	return (uint8_t)(x >> 8 * (i % 8));
}

static void source_init(struct source *s, uint64_t seed, uint64_t len)
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

static void source_clear(struct source *s)
{
	free(s->data);
}

static int source_fetch(void *arg, refs_sink_fn *sink, void *sink_arg)
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

static void refs_end(struct fixture *x)
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

static void refs_begin(struct fixture *x, uint64_t limit, uint64_t memory_max,
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
		assert_int_equal(membackend_new(&x->backend, limit), 0);
	else
		assert_int_equal(dirbackend_new(&x->backend, &dir), 0);
	cachekey_put(key);
	assert_int_equal(texts_open(&x->texts, memory_max, memory_idle), 0);
	conf.backend = x->backend;
	conf.texts = x->texts;
	assert_int_equal(refs_open(&x->refs, &conf), 0);
}

static void refs_make(struct fixture *x, uint64_t disk_max, uint64_t memory_max)
{
	refs_begin(x, disk_max, memory_max, memory_max);
}

static int setup(void **state)
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

static int setup_memory(void **state)
{
	struct fixture *x;

	setup(state);
	x = *state;
	refs_end(x);
	x->memory = 1;
	refs_make(x, 64 * MIB, 64 * MIB);
	return 0;
}

static int teardown(void **state)
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

static struct ref *get(struct fixture *x, struct source *s)
{
	struct ref *ref;

	assert_int_equal(
		refs_get(x->refs, s->digest, s->len, source_fetch, s, &ref), 0);
	return ref;
}

static int get_cached(struct fixture *x, struct source *s)
{
	struct ref *ref;
	int err = refs_get(x->refs, s->digest, s->len, no_fetch, NULL, &ref);

	if (!err)
		ref_put(ref);
	return err;
}

/* What refs_stats() tells, in brief. */
struct seen {
	uint64_t bytes, limit, entries, clear_pending, evictions, corruptions;
	uint64_t foreign, memory_bytes, memory_limit, in_use, hits, misses;
	uint64_t clears, fetched_bytes, unkept;
};

static struct seen stats(struct fixture *x)
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

static void expect(struct ref *ref, const struct source *s, uint64_t off,
		   size_t len)
{
	uint8_t *got = malloc(len ? len : 1);

	assert_non_null(got);
	assert_int_equal(ref_read(ref, got, len, off), 0);
	assert_memory_equal(got, s->data + off, len);
	free(got);
}

/* Files in the directory, the disk they take, and the name of the last. */
static unsigned on_disk(const char *dir, uint64_t *bytes, char name[256])
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

static void fetched_once_then_cached(void **state)
{
	struct fixture *x = *state;
	struct source s;
	struct seen st;
	struct ref *ref;
	uint64_t disk;
	char name[256], hex[DIGEST_HEX];

	source_init(&s, 1, 3 * PAGE + 1000);
	ref = get(x, &s);
	assert_memory_equal(ref_digest(ref), s.digest, DIGEST_LEN);
	assert_int_equal(ref_length(ref), s.len);
	expect(ref, &s, 0, (size_t)s.len);
	expect(ref, &s, 5, PAGE);
	expect(ref, &s, s.len - 1, 1);
	expect(ref, &s, s.len, 0);
	expect(ref, &s, PAGE - 1, 2 * PAGE + 2);
	assert_int_equal(ref_read(ref, name, 1, s.len), -ERANGE);
	assert_int_equal(ref_read(ref, name, 2, s.len - 1), -ERANGE);
	assert_int_equal(ref_read(ref, name, 2, UINT64_MAX), -ERANGE);

	/* Nothing of the content, the digest included, is in the name. */
	hex_encode(hex, s.digest, DIGEST_LEN);
	assert_int_equal(on_disk(x->dir, &disk, name), !x->memory);
	if (!x->memory) {
		assert_int_equal(strlen(name), 32);
		assert_null(strstr(hex, name));
		name[8] = '\0';
		assert_null(strstr(hex, name));
	}

	st = stats(x);
	assert_int_equal(st.in_use, 1);
	ref_put(ref);
	assert_int_equal(get_cached(x, &s), 0);
	st = stats(x);
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
	ref = get(x, &s);
	expect(ref, &s, 0, 0);
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
	assert_int_equal(
		refs_get(x->refs, s.digest, s.len, source_fetch, &s, &ref),
		-EBADMSG);
	s.flipped = 0;
	s.extra = 1;
	assert_int_equal(
		refs_get(x->refs, s.digest, s.len, source_fetch, &s, &ref),
		-EBADMSG);
	s.extra = -1;
	assert_int_equal(
		refs_get(x->refs, s.digest, s.len, source_fetch, &s, &ref),
		-EBADMSG);
	s.extra = 0;
	s.fail = -ETIMEDOUT;
	assert_int_equal(
		refs_get(x->refs, s.digest, s.len, source_fetch, &s, &ref),
		-ETIMEDOUT);
	assert_null(ref);
	assert_int_equal(on_disk(x->dir, &disk, NULL), 0);
	assert_int_equal(stats(x).bytes, 0);
	assert_int_equal(stats(x).entries, 0);
	s.fail = 0;
	ref = get(x, &s);
	expect(ref, &s, 0, (size_t)s.len);

	/* A wrong length asked for does not disturb the right one. */
	struct ref *wrong = NULL;
	assert_int_equal(refs_get(x->refs, s.digest, s.len - 1, source_fetch,
				  &s, &wrong),
			 -EBADMSG);
	assert_null(wrong);
	expect(ref, &s, 0, (size_t)s.len);
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
		ref_put(get(x, &s[i]));
	assert_int_equal(get_cached(x, &s[0]), 0); /* now 1 is the oldest */
	held = get(x, &s[2]);
	ref_put(get(x, &s[3]));
	assert_int_equal(stats(x).evictions, 1);
	assert_int_equal(get_cached(x, &s[0]), 0);
	assert_int_equal(get_cached(x, &s[3]), 0);
	ref_put(get(x, &s[4])); /* 0 makes way: 2, older, is held */
	assert_int_equal(stats(x).evictions, 2);
	assert_int_equal(get_cached(x, &s[3]), 0);
	assert_int_equal(get_cached(x, &s[4]), 0);
	/* A miss takes its room before it fetches, so these come last. */
	assert_int_equal(get_cached(x, &s[0]), -ENOTCONN);
	assert_int_equal(get_cached(x, &s[1]), -ENOTCONN);
	expect(held, &s[2], 0, (size_t)MIB);
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
	ref_put(get(x, &small));
	a = get(x, &big);
	b = get(x, &big); /* shared while it is in use */
	assert_int_equal(big.fetches, 1);
	expect(a, &big, 0, (size_t)big.len);
	expect(b, &big, 12345, 100000);
	if (!x->memory)
		assert_int_equal(on_disk(x->dir, &disk, NULL), 1);
	assert_true(stats(x).bytes <= MIB);
	assert_int_equal(stats(x).unkept, 1);
	assert_int_equal(x->events[CACHE_TOO_LARGE], big.len);
	ref_put(a);
	ref_put(b);
	assert_int_equal(get_cached(x, &big), -ENOTCONN);
	/* What can never fit has cost nobody his place. */
	assert_int_equal(get_cached(x, &small), 0);
	assert_int_equal(stats(x).evictions, 0);
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
	ref = get(x, &s);
	ref_put(get(x, &idle));
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(get_cached(x, &idle), -ENOTCONN);
	if (!x->memory) {
		assert_int_equal(on_disk(x->dir, &disk, name), 1);
		assert_non_null(strstr(name, ".doomed"));
	}
	assert_int_equal(stats(x).clear_pending, 1);
	assert_int_equal(stats(x).clears, 1);
	expect(ref, &s, 0, (size_t)s.len);

	again = get(x, &s);
	assert_int_equal(s.fetches, 2);
	expect(again, &s, 0, (size_t)s.len);
	assert_int_equal(stats(x).entries, 1);
	assert_int_equal(stats(x).in_use, 2);
	ref_put(ref);
	assert_int_equal(stats(x).clear_pending, 0);
	assert_int_equal(stats(x).entries, 1);
	ref_put(again);
	assert_int_equal(get_cached(x, &s), 0);
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(stats(x).bytes, 0);
	assert_int_equal(stats(x).entries, 0);
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
	ref = get(x, &s);
	expect(ref, &s, 0, (size_t)s.len);
	assert_int_equal(stats(x).clear_pending, 1);
	assert_int_equal(stats(x).entries, 0);
	ref_put(ref);
	assert_int_equal(get_cached(x, &s), -ENOTCONN);
	assert_int_equal(stats(x).clear_pending, 0);
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
	ref = get(x, &s);
	other = get(x, &s);
	assert_int_equal(on_disk(x->dir, &disk, name), 1);
	fd = openat(x->dirfd, name, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, 2 * (off_t)PAGE + 500), 1);
	c ^= 16;
	assert_int_equal(pwrite(fd, &c, 1, 2 * (off_t)PAGE + 500), 1);
	close(fd);

	expect(ref, &s, 0, 100);
	assert_int_equal(ref_read(ref, &c, 1, 2 * PAGE), -EBADMSG);
	assert_int_equal(ref_read(other, &c, 1, 2 * PAGE + 9), -EBADMSG);
	assert_int_equal(ref_index(other, &ix), -EBADMSG);
	assert_int_equal(stats(x).memory_bytes, 0);
	assert_int_equal(stats(x).corruptions, 1);
	assert_int_equal(x->events[CACHE_DAMAGED], 1);
	assert_int_equal(stats(x).clear_pending, 1);
	ref_put(ref);
	ref = get(x, &s);
	assert_int_equal(s.fetches, 2);
	expect(ref, &s, 0, (size_t)s.len);
	ref_put(other);
	ref_put(ref);
	assert_int_equal(stats(x).entries, 1);
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
		ref[i] = get(x, &s[i]);
	}
	assert_int_equal(ref_index(ref[0], &ix), 0);
	assert_int_equal(ref_index(ref[0], &same), 0);
	assert_ptr_equal(ix, same);
	assert_int_equal(ref_text(ref[0], &text), 0);
	assert_memory_equal(text, s[0].data, MIB);
	assert_int_equal(stats(x).memory_bytes, each);
	expect(ref[0], &s[0], 100, 3 * PAGE);
	assert_int_equal(ref_index(ref[1], &ix), 0);
	assert_int_equal(ref_index(ref[2], &ix), -ENOMEM);
	assert_int_equal(stats(x).memory_bytes, 2 * each);

	/* Kept after the last put, dropped when another wants the room. */
	ref_put(ref[0]);
	assert_int_equal(stats(x).memory_bytes, 2 * each);
	ref[0] = get(x, &s[0]);
	assert_int_equal(ref_index(ref[0], &ix), 0);
	assert_ptr_equal(ix, same);
	ref_put(ref[0]);
	assert_int_equal(ref_index(ref[2], &ix), 0);
	assert_int_equal(stats(x).memory_bytes, 2 * each);
	assert_int_equal(get_cached(x, &s[0]), 0); /* its file stayed */
	assert_int_equal(stats(x).evictions, 0);
	ref_put(ref[1]);
	ref_put(ref[2]);
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(stats(x).memory_bytes, 0);
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
		ref = get(x, &s);
		assert_int_equal(ref_text(ref, &text), cases[i].err);
		assert_int_equal(ref_index(ref, &ix), cases[i].err);
		assert_true(stats(x).memory_bytes <= MIB + cases[i].room);
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
		ref[i] = get(x, &s[i]);
		assert_int_equal(ref_index(ref[i], &ix), 0);
	}
	assert_int_equal(stats(x).memory_bytes, 3 * each);
	for (unsigned i = 0; i < 3; i++)
		ref_put(ref[i]);
	assert_int_equal(stats(x).memory_bytes, each);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(get_cached(x, &s[i]),
				 0); /* the files stayed */
	assert_int_equal(stats(x).evictions, 0);
	for (unsigned i = 0; i < 3; i++)
		source_clear(&s[i]);
}

#define THREADS 8

struct worker {
	struct fixture *x;
	struct source *sources;
	unsigned count;
	uint64_t seed;
	unsigned bad;
	int err;
	pthread_barrier_t *barrier;
};

static uint32_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32);
}

static void run(void *(*fn)(void *), struct worker *w, unsigned n)
{
	pthread_t threads[THREADS];

	assert_true(n <= THREADS);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fn, &w[i]),
				 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void *get_same(void *arg)
{
	struct worker *w = arg;
	const struct delta_index *ix;
	struct ref *ref;
	uint8_t c[9];

	pthread_barrier_wait(w->barrier);
	w->err = refs_get(w->x->refs, w->sources->digest, w->sources->len,
			  source_fetch, w->sources, &ref);
	if (w->err)
		return NULL;
	w->err = ref_index(ref, &ix);
	if (ref_read(ref, c, 9, 70000) ||
	    memcmp(c, w->sources->data + 70000, 9))
		w->bad++;
	pthread_barrier_wait(w->barrier);
	ref_put(ref);
	return NULL;
}

static void many_wait_for_one_fetch(void **state)
{
	struct fixture *x = *state;
	struct worker w[THREADS];
	pthread_barrier_t barrier;
	struct source s;

	pthread_barrier_init(&barrier, NULL, THREADS);
	source_init(&s, 60, 2 * MIB);
	for (unsigned i = 0; i < THREADS; i++)
		w[i] = (struct worker){ .x = x,
					.sources = &s,
					.barrier = &barrier };
	run(get_same, w, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(w[i].err, 0);
		assert_int_equal(w[i].bad, 0);
	}
	assert_int_equal(s.fetches, 1);
	assert_int_equal(stats(x).memory_bytes,
			 s.len + delta_index_cost((size_t)s.len));
	pthread_barrier_destroy(&barrier);
	source_clear(&s);
}

/* Holds the fetch until all others wait for it (they are all `entered`). */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t open;
	int is_open;
};

static void wait_at_gate(struct source *s)
{
	struct gate *g = s->hook_arg;

	pthread_mutex_lock(&g->lock);
	while (!g->is_open)
		pthread_cond_wait(&g->open, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void *get_failing(void *arg)
{
	struct worker *w = arg;
	struct ref *ref;

	w->err = refs_get(w->x->refs, w->sources->digest, w->sources->len,
			  source_fetch, w->sources, &ref);
	return NULL;
}

static void waiters_get_the_fetchs_error(void **state)
{
	struct gate gate = { PTHREAD_MUTEX_INITIALIZER,
			     PTHREAD_COND_INITIALIZER, 0 };
	struct fixture *x = *state;
	struct worker w[4];
	pthread_t threads[4];
	struct source s;

	source_init(&s, 61, MIB);
	s.flipped = 1; /* found at the end only, behind the gate */
	s.hook = wait_at_gate;
	s.hook_arg = &gate;
	for (unsigned i = 0; i < 4; i++) {
		w[i] = (struct worker){ .x = x, .sources = &s };
		assert_int_equal(
			pthread_create(&threads[i], NULL, get_failing, &w[i]),
			0);
	}
	/* Those who come late fetch for themselves, and fail the same way. */
	while (!stats(x).misses)
		sched_yield();
	pthread_mutex_lock(&gate.lock);
	gate.is_open = 1;
	pthread_cond_broadcast(&gate.open);
	pthread_mutex_unlock(&gate.lock);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(w[i].err, -EBADMSG);
	}
	assert_int_equal(stats(x).entries, 0);
	assert_int_equal(stats(x).bytes, 0);
	source_clear(&s);
}

static void *hammer(void *arg)
{
	struct worker *w = arg;
	uint8_t *buf = malloc(200000);

	for (unsigned i = 0; i < w->count; i++) {
		struct source *s = &w->sources[next(&w->seed) % 6];
		const struct delta_index *ix;
		size_t n = next(&w->seed) % 200000;
		uint64_t off;
		struct ref *ref;
		int err;

		if (next(&w->seed) % 40 == 0)
			w->bad += refs_clear(w->x->refs) != 0;
		if (refs_get(w->x->refs, s->digest, s->len, source_fetch, s,
			     &ref)) {
			w->bad++;
			continue;
		}
		for (int k = 0; k < 5; k++) {
			off = next(&w->seed) % s->len;
			if (n > s->len - off)
				n = (size_t)(s->len - off);
			if (ref_read(ref, buf, n, off) ||
			    memcmp(buf, s->data + off, n) != 0)
				w->bad++;
		}
		if (next(&w->seed) % 3 == 0) {
			err = ref_index(ref, &ix);
			if (err && err != -ENOMEM)
				w->bad++;
		}
		ref_put(ref);
	}
	free(buf);
	return NULL;
}

struct watcher {
	struct fixture *x;
	uint64_t max;
	atomic_int stop;
	unsigned over, samples;
};

static void *watch(void *arg)
{
	struct watcher *w = arg;
	int fd = openat(w->x->dirfd, "space", O_RDWR | O_CLOEXEC);

	while (!atomic_load(&w->stop)) {
		struct seen st = stats(w->x);
		uint64_t bytes;

		/* Nothing changes meanwhile: else one that goes and one that
		 * comes for it may both be seen. */
		if (fd >= 0 && filelock_take_turn(fd))
			w->over++;
		on_disk(w->x->dir, &bytes, NULL);
		if (fd >= 0)
			flock(fd, LOCK_UN);
		w->samples++;
		w->over += bytes > w->max || st.bytes > st.limit ||
			   st.memory_bytes > st.memory_limit;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void never_over_budget(void **state)
{
	struct fixture *x = *state;
	uint64_t each = MIB / 2, max = ROOM(3, each);
	struct watcher watcher = { .x = x, .max = max };
	struct worker w[4];
	struct source s[6];
	pthread_t thread;

	refs_make(x, max, 2 * (each + delta_index_cost((size_t)each)));
	for (unsigned i = 0; i < 6; i++)
		source_init(&s[i], 70 + i, each - i * 1111);
	for (unsigned i = 0; i < 4; i++)
		w[i] = (struct worker){
			.x = x, .sources = s, .count = 60, .seed = 99 + i
		};
	assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
	run(hammer, w, 4);
	atomic_store(&watcher.stop, 1);
	pthread_join(thread, NULL);
	assert_int_equal(watcher.over, 0);
	assert_true(watcher.samples > 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(w[i].bad, 0);
	assert_true(stats(x).evictions > 0);
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(stats(x).bytes, 0);
	assert_int_equal(stats(x).memory_bytes, 0);
	assert_int_equal(stats(x).entries, 0);
	for (unsigned i = 0; i < 6; i++)
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
	ref_put(get(x, &idle));
	ref = get(x, &s);
	assert_int_equal(s.fetches, 1);
	expect(ref, &s, 0, (size_t)s.len);
	expect(ref, &s, 77, 3 * PAGE);
	assert_int_equal(stats(x).memory_bytes,
			 medium_memory_cost(reffile_size(s.len)));
	assert_int_equal(stats(x).entries, 0); /* the idle one made way first */
	assert_int_equal(stats(x).unkept, 1);
	ref_put(ref);
	assert_int_equal(stats(x).memory_bytes, 0);

	/* And where memory is full too: an error, and nothing is left. */
	refs_begin(x, 64 * MIB, MIB, MIB);
	assert_int_equal(
		refs_get(x->refs, s.digest, s.len, source_fetch, &s, &ref),
		-ENOSPC);
	assert_int_equal(stats(x).bytes, 0);
	assert_int_equal(stats(x).memory_bytes, 0);
	refs_end(x);
	close(x->dirfd);
	x->dirfd = dirfd;
	assert_int_equal(umount(x->dir), 0);
	source_clear(&idle);
	source_clear(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define IN_MEMORY(name)                                                \
	{                                                              \
#name " in memory", name, setup_memory, teardown, NULL \
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
		TEST(many_wait_for_one_fetch),
		TEST(waiters_get_the_fetchs_error),
		TEST(never_over_budget),
		TEST(a_full_disk_moves_it_to_memory),
		IN_MEMORY(fetched_once_then_cached),
		IN_MEMORY(an_empty_one),
		IN_MEMORY(what_is_wrong_is_refused),
		IN_MEMORY(the_least_recently_used_goes_first),
		IN_MEMORY(beyond_the_budget_it_is_used_and_not_kept),
		IN_MEMORY(clear_while_in_use),
		IN_MEMORY(clear_while_it_is_fetched),
		IN_MEMORY(many_wait_for_one_fetch),
		IN_MEMORY(never_over_budget),
	};

	return cmocka_run_group_tests_name("refs", tests, NULL, NULL);
}
