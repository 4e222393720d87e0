#include "fs/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cache/refs.h"
#include "fs/localcache.h"
#include "fs/log.h"
#include "fs/pressure.h"
#include "fs/settings.h"

#define TICK_MS 1000

struct watch {
	pthread_t thread;
	int hangup; /* signalfd */
	int stop; /* eventfd */
	struct settings *settings;
	struct localcache *cache;
	struct pressure *pressure;
	enum pressure_level level; /* at the last look */
	int64_t cleared_ms; /* when, last */
};

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void look_at_memory(struct watch *w)
{
	struct pressure_state state;

	pressure_read(w->pressure, &state);
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
	int64_t now = now_ms();

	settings_watched(w->settings, &s);
	if (s.clear_interval_ms &&
	    now - w->cleared_ms >= (int64_t)s.clear_interval_ms) {
		refs_clear(w->cache->refs);
		log_info("cache cleared, as every %llu s",
			 (unsigned long long)s.clear_interval_ms / 1000);
		w->cleared_ms = now;
	}
	localcache_leave_free(w->cache, s.min_free);
	look_at_memory(w);
}

static void *run(void *arg)
{
	struct watch *w = arg;
	struct pollfd fds[2] = { { .fd = w->stop, .events = POLLIN },
				 { .fd = w->hangup, .events = POLLIN } };
	struct signalfd_siginfo info;
	int64_t next = now_ms() + TICK_MS;

	for (;;) {
		int64_t left = next - now_ms();

		if (poll(fds, 2, left > 0 ? (int)left : 0) > 0) {
			if (fds[0].revents)
				return NULL;
			if (fds[1].revents &&
			    read(w->hangup, &info, sizeof(info)) > 0)
				settings_reload(w->settings);
		}
		if (now_ms() < next)
			continue;
		tick(w);
		next = now_ms() + TICK_MS;
	}
}

static void watch_free(struct watch *w)
{
	pressure_close(w->pressure);
	if (w->hangup >= 0)
		(void)close(w->hangup);
	if (w->stop >= 0)
		(void)close(w->stop);
	free(w);
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
	w->cleared_ms = now_ms();
	w->hangup = signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK);
	w->stop = eventfd(0, EFD_CLOEXEC);
	err = w->hangup < 0 || w->stop < 0 ? -errno
					   : pressure_open(&w->pressure, "");
	if (!err)
		err = -pthread_create(&w->thread, NULL, run, w);
	if (err)
		watch_free(w);
	else
		*out = w;
	return err;
}

void watch_stop(struct watch *w)
{
	uint64_t one = 1;

	if (!w)
		return;
	while (write(w->stop, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	(void)pthread_join(w->thread, NULL);
	watch_free(w);
}
