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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/filelock.h"
#include "delta/index.h"
#include "tests/support/refsfixture.h"

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
			  &(struct refs_source){ .fetch = source_fetch,
						 .arg = w->sources },
			  &ref);
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
	assert_int_equal(seen(x).memory_bytes,
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
			  &(struct refs_source){ .fetch = source_fetch,
						 .arg = w->sources },
			  &ref);
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
	while (!seen(x).misses)
		sched_yield();
	pthread_mutex_lock(&gate.lock);
	gate.is_open = 1;
	pthread_cond_broadcast(&gate.open);
	pthread_mutex_unlock(&gate.lock);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(w[i].err, -EBADMSG);
	}
	assert_int_equal(seen(x).entries, 0);
	assert_int_equal(seen(x).bytes, 0);
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
		if (refs_get(w->x->refs, s->digest, s->len,
			     &(struct refs_source){ .fetch = source_fetch,
						    .arg = s },
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
	int fd = openat(w->x->dirfd, "space", O_RDWR | O_CLOEXEC), stuck = 0;

	while (!atomic_load(&w->stop)) {
		struct seen st = seen(w->x);
		uint64_t bytes;

		/* Nothing changes meanwhile: else one that goes and one that
		 * comes for it may both be seen. */
		if (fd >= 0 && filelock_take_turn(fd, &stuck))
			w->over++;
		files_of(w->x->dir, &bytes, NULL);
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
	assert_true(seen(x).evictions > 0);
	assert_int_equal(refs_clear(x->refs), 0);
	assert_int_equal(seen(x).bytes, 0);
	assert_int_equal(seen(x).memory_bytes, 0);
	assert_int_equal(seen(x).entries, 0);
	for (unsigned i = 0; i < 6; i++)
		source_clear(&s[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_wait_for_one_fetch),
		TEST(waiters_get_the_fetchs_error),
		TEST(never_over_budget),
		IN_MEMORY(many_wait_for_one_fetch),
		IN_MEMORY(never_over_budget),
	};

	return cmocka_run_group_tests_name("refs_threads", tests, NULL, NULL);
}
