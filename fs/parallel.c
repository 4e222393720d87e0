#include "fs/parallel.h"

#include <pthread.h>
#include <stdatomic.h>

#include "s3/errand.h"

#define THREADS_MAX 64

struct work {
	size_t n;
	atomic_size_t next;
	atomic_int result;
	int (*fn)(void *arg, size_t k);
	void *arg;
	struct errand *errand; /* of who waits for it */
};

static void *run(void *p)
{
	struct work *w = p;

	errand_join(w->errand);

	while (atomic_load(&w->result) >= 0) {
		size_t k = atomic_fetch_add(&w->next, 1);
		int none = 0, ret;

		if (k >= w->n)
			break;
		ret = w->fn(w->arg, k);
		if (ret)
			(void)atomic_compare_exchange_strong(&w->result, &none,
							     ret);
	}
	return NULL;
}

int parallel_for(size_t n, unsigned threads, int (*fn)(void *arg, size_t k),
		 void *arg)
{
	struct work w = {
		.n = n, .fn = fn, .arg = arg, .errand = errand_current()
	};
	pthread_t tids[THREADS_MAX];
	unsigned started = 0;

	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	/* The caller is one of them. */
	while (started + 1 < threads && started + 1 < n) {
		if (pthread_create(&tids[started], NULL, run, &w))
			break;
		started++;
	}
	(void)run(&w);
	while (started)
		(void)pthread_join(tids[--started], NULL);
	return atomic_load(&w.result);
}
