/*
 * What the local cache costs: what tests/bench/cache sets beside openssl speed.
 *
 *	bench_cache DIRECTORY [MIB]
 *
 * A line a figure, fields apart by tabs.  DIRECTORY, on the disk to be measured,
 * is where the cache is made that is read; it is empty again afterwards.  MIB is
 * the length of the reference that is read here and there, 1024 unless told.
 *
 *	seal MB/s	open MB/s	of 64 KiB pages, on one core
 *	hit-BACKEND us	to get and put back a reference of 1 MiB that is kept
 *	read-BACKEND p50 p99 us	of 4 KiB anywhere in the large one
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/budget.h"
#include "cache/dirbackend.h"
#include "cache/membackend.h"
#include "cache/refs.h"
#include "cache/sealing.h"
#include "cache/texts.h"

#define MIB   ((uint64_t)1 << 20)
#define PAGES 8192 /* sealed and opened: 512 MiB */
#define HITS  20000
#define READS 20000
#define READ  4096

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double mb_per_s(uint64_t ns)
{
	return (double)PAGES * (double)SEALING_PAGE * 1e3 / (double)ns;
}

/* As openssl speed does it: the same buffer, over and over. */
static int pages(void)
{
	uint8_t *plain = malloc(SEALING_PAGE), *slot = malloc(SEALING_SLOT);
	struct aead_key master;
	struct sealing s;
	uint64_t since;
	int err = plain && slot ? 0 : -ENOMEM;

	if (!err)
		err = aead_key_random(&master);
	if (!err)
		err = sealing_init(&s, &master, SEALING_REFERENCE);
	if (err)
		goto free_buffers;
	memset(plain, 1, SEALING_PAGE);
	since = now_ns(CLOCK_THREAD_CPUTIME_ID);
	for (uint64_t i = 0; !err && i < PAGES; i++)
		err = sealing_seal(&s, i, plain, SEALING_PAGE, slot);
	(void)printf("seal\t%.0f\n",
		     mb_per_s(now_ns(CLOCK_THREAD_CPUTIME_ID) - since));
	since = now_ns(CLOCK_THREAD_CPUTIME_ID);
	for (uint64_t i = 0; !err && i < PAGES; i++)
		err = sealing_open(&s, PAGES - 1, slot, SEALING_PAGE, plain);
	(void)printf("open\t%.0f\n",
		     mb_per_s(now_ns(CLOCK_THREAD_CPUTIME_ID) - since));
	sealing_clear(&s);
free_buffers:
	free(plain);
	free(slot);
	return err;
}

struct cache {
	struct cache_backend *backend;
	struct texts *texts;
	struct budget spill;
	struct refs *refs;
};

static int cache_open(struct cache *c, int dirfd, int memory)
{
	struct refs_conf conf = { .spill_dirfd = dirfd, .spill = &c->spill };
	struct dirbackend_conf dir = { .dirfd = dirfd, .limit = UINT64_MAX };
	struct aead_key master;
	struct cachekey *key;
	int err;

	budget_init(&c->spill, 0);
	err = aead_key_random(&master);
	if (!err)
		err = cachekey_new(&key, &master);
	if (err)
		return err;
	dir.key = key;
	err = memory ? membackend_new(
			       &c->backend,
			       &(struct membackend_conf){ .limit = UINT64_MAX })
		     : dirbackend_new(&c->backend, &dir);
	cachekey_put(key);
	if (err)
		return err;
	err = texts_open(&c->texts, 0, 0);
	if (err)
		goto free_backend;
	conf.backend = c->backend;
	conf.texts = c->texts;
	conf.key = &master;
	err = refs_open(&c->refs, &conf);
	if (!err)
		return 0;
	texts_close(c->texts);
free_backend:
	c->backend->ops->free(c->backend);
	return err;
}

static int cache_close(struct cache *c)
{
	int err = refs_clear(c->refs);

	refs_close(c->refs);
	texts_close(c->texts);
	c->backend->ops->free(c->backend);
	budget_clear(&c->spill);
	return err;
}

/* A reference of zeros: sealed, it is as any other. */
struct zeros {
	uint64_t len;
	uint8_t digest[DIGEST_LEN];
};

static const uint8_t zero[1 << 20];

static int zeros_digest(struct zeros *z)
{
	struct digest *d = digest_new();
	int err = d ? 0 : -ENOMEM;

	for (uint64_t off = 0; !err && off < z->len; off += MIB)
		err = digest_update(d, zero, sizeof(zero));
	if (!err)
		err = digest_final(d, z->digest);
	digest_free(d);
	return err;
}

static int zeros_fetch(void *arg, refs_sink_fn *sink, void *sink_arg)
{
	struct zeros *z = arg;
	int err = 0;

	for (uint64_t off = 0; !err && off < z->len; off += MIB)
		err = sink(sink_arg, zero, sizeof(zero));
	return err;
}

static int get(struct cache *c, struct zeros *z, struct ref **out)
{
	return refs_get(c->refs, z->digest, z->len,
			&(struct refs_source){ .fetch = zeros_fetch, .arg = z },
			out);
}

static int hits(struct cache *c, const char *name)
{
	struct zeros z = { .len = MIB };
	int err = zeros_digest(&z);
	struct ref *ref;
	uint64_t since;

	if (!err)
		err = get(c, &z, &ref);
	if (err)
		return err;
	ref_put(ref);
	since = now_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; !err && i < HITS; i++) {
		err = get(c, &z, &ref);
		if (!err)
			ref_put(ref);
	}
	(void)printf("hit-%s\t%.2f\n", name,
		     (double)(now_ns(CLOCK_MONOTONIC) - since) / 1e3 / HITS);
	return err;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int reads(struct cache *c, const char *name, uint64_t len)
{
	static uint64_t took[READS];
	struct zeros z = { .len = len };
	int err = zeros_digest(&z);
	uint64_t seed = 1;
	uint8_t buf[READ];
	struct ref *ref;

	if (!err)
		err = get(c, &z, &ref);
	if (err)
		return err;
	/* All of it once, so that it is in the page cache. */
	for (uint64_t off = 0; !err && off < len; off += SEALING_PAGE)
		err = ref_read(ref, buf, READ, off);
	for (unsigned i = 0; !err && i < READS; i++) {
		uint64_t since;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		since = now_ns(CLOCK_MONOTONIC);
		err = ref_read(ref, buf, READ, (seed >> 11) % (len - READ));
		took[i] = now_ns(CLOCK_MONOTONIC) - since;
	}
	ref_put(ref);
	qsort(took, READS, sizeof(took[0]), by_size);
	(void)printf("read-%s\t%.2f\t%.2f\n", name,
		     (double)took[READS / 2] / 1e3,
		     (double)took[READS / 100 * 99] / 1e3);
	return err;
}

static int with_backend(int dirfd, int memory, uint64_t len)
{
	const char *name = memory ? "memory" : "filesystem";
	struct cache c;
	int err = cache_open(&c, dirfd, memory), closed;

	if (err)
		return err;
	err = hits(&c, name);
	if (!err)
		err = reads(&c, name, len);
	closed = cache_close(&c);
	if (!memory)
		(void)unlinkat(dirfd, "space", 0);
	return err ? err : closed;
}

int main(int argc, char **argv)
{
	uint64_t mib = argc == 3 ? strtoull(argv[2], NULL, 10) : 1024;
	int dirfd, err;

	if (argc < 2 || argc > 3 || !mib || mib > 1 << 20) {
		(void)fprintf(stderr, "usage: bench_cache DIRECTORY [MIB]\n");
		return 2;
	}
	dirfd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = dirfd < 0 ? -errno : pages();
	for (int memory = 0; !err && memory < 2; memory++)
		err = with_backend(dirfd, memory, mib * MIB);
	if (err)
		(void)fprintf(stderr, "bench_cache: %s\n",
			      strerrordesc_np(-err));
	return err ? 1 : 0;
}
