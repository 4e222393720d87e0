#include "fs/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cache/refs.h"
#include "crypto/clock.h"
#include "fs/localcache.h"
#include "fs/log.h"
#include "fs/pressure.h"
#include "fs/settings.h"

#define TICK_MS 1000

struct watch {
	pthread_t ticks, signals;
	int hangup; /* signalfd */
	int stop; /* eventfd */
	struct settings *settings;
	struct localcache *cache;
	enum pressure_level level; /* at the last look */
	uint64_t cleared_ms; /* when, last */
};

static void look_at_memory(struct watch *w)
{
	struct pressure_state state;

	pressure_read(w->cache->pressure, &state);
	if (state.level > w->level)
		log_warning("memory is short (%s): the cache gives up %s",
			    state.why,
			    state.level == PRESSURE_HIGH ? "all it can"
							 : "some");
	if (state.level > PRESSURE_NONE)
		refs_shed(w->cache->refs, state.level == PRESSURE_HIGH);
	w->level = state.level;
}

static void tick(struct watch *w)
{
	struct settings_watched s;
	uint64_t now = clock_ms();

	settings_watched(w->settings, &s);
	if (s.clear_interval_ms &&
	    now - w->cleared_ms >= (uint64_t)s.clear_interval_ms) {
		if (!localcache_clear(w->cache, "at its interval"))
			w->cleared_ms = now; /* else again at the next tick */
	}
	localcache_tend(w->cache, s.min_free);
	look_at_memory(w);
}

/*
 * Until `ms` have gone by (-1: never), or `fd` (-1: none) has something to
 * read: 0, or 1; -1 when it is time to end.
 */
static int wait_for(const struct watch *w, int fd, int ms)
{
	struct pollfd fds[2] = { { .fd = w->stop, .events = POLLIN },
				 { .fd = fd, .events = POLLIN } };

	if (poll(fds, 2, ms) <= 0)
		return 0;
	return fds[0].revents ? -1 : 1;
}

static void *run_ticks(void *arg)
{
	struct watch *w = arg;

	while (wait_for(w, -1, TICK_MS) >= 0)
		tick(w);
	return NULL;
}

/* Apart: a key's command may take its time. */
static void *run_signals(void *arg)
{
	struct watch *w = arg;
	struct signalfd_siginfo info;
	int ready;

	while ((ready = wait_for(w, w->hangup, -1)) >= 0)
		if (ready && read(w->hangup, &info, sizeof(info)) > 0)
			settings_reload(w->settings);
	return NULL;
}

static void watch_free(struct watch *w)
{
	if (w->hangup >= 0)
		(void)close(w->hangup);
	if (w->stop >= 0)
		(void)close(w->stop);
	free(w);
}

static void stop(struct watch *w)
{
	uint64_t one = 1;

	while (write(w->stop, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int watch_start(struct watch **out, struct settings *settings,
		struct localcache *cache)
{
	struct watch *w = calloc(1, sizeof(*w));
	sigset_t hangup;
	int err;

	if (!w)
		return -ENOMEM;
	(void)sigemptyset(&hangup);
	(void)sigaddset(&hangup, SIGHUP);
	w->settings = settings;
	w->cache = cache;
	w->cleared_ms = clock_ms();
	w->hangup = signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK);
	w->stop = eventfd(0, EFD_CLOEXEC);
	err = w->hangup < 0 || w->stop < 0 ? -errno : 0;
	if (!err)
		err = -pthread_create(&w->ticks, NULL, run_ticks, w);
	if (err)
		goto free_watch;
	err = -pthread_create(&w->signals, NULL, run_signals, w);
	if (err)
		goto join_ticks;
	*out = w;
	return 0;

join_ticks:
	stop(w);
	(void)pthread_join(w->ticks, NULL);
free_watch:
	watch_free(w);
	return err;
}

void watch_stop(struct watch *w)
{
	if (!w)
		return;
	stop(w);
	(void)pthread_join(w->ticks, NULL);
	(void)pthread_join(w->signals, NULL);
	watch_free(w);
}
