#include "fs/tasks.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct started {
	pthread_t thread;
	void (*fn)(void *task);
	void *task;
};

static void *run(void *arg)
{
	const struct started *s = arg;

	s->fn(s->task);
	return NULL;
}

/* Where no thread can be had the caller does the work. */
static void *start(void *arg, void (*fn)(void *task), void *task)
{
	struct started *s = malloc(sizeof(*s));

	(void)arg;
	if (s) {
		*s = (struct started){ .fn = fn, .task = task };
		if (!pthread_create(&s->thread, NULL, run, s))
			return s;
		free(s);
	}
	fn(task);
	return NULL;
}

static void wait_for(void *arg, void *started)
{
	struct started *s = started;

	(void)arg;
	(void)pthread_join(s->thread, NULL);
	free(s);
}

static struct delta_tasks tasks = { .start = start, .wait = wait_for };

static void count_processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	tasks.width = n < 2 ? 0 : n > TASKS_MAX ? TASKS_MAX : (unsigned)n;
}

const struct delta_tasks *tasks_threads(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, count_processors);
	return tasks.width ? &tasks : NULL;
}
