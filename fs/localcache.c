#include "fs/localcache.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cache/backend.h"
#include "cache/cachedir.h"
#include "cache/dirbackend.h"
#include "cache/membackend.h"
#include "cache/refs.h"
#include "cache/texts.h"
#include "crypto/secret.h"
#include "fs/log.h"
#include "fs/pressure.h"

/* Kept for the next file of a series: so much, or a part of index_memory. */
#define MEMORY_IDLE ((uint64_t)256 << 20)
#define IDLE_PART   4

static uint64_t idle_memory(const struct options *o)
{
	uint64_t idle = o->index_memory / IDLE_PART;

	return idle < MEMORY_IDLE ? MEMORY_IDLE : idle;
}

/* Once for each reason: with a cache that is too small it is all the time. */
static void no_room(struct localcache *c, enum cache_event what,
		    unsigned long long bytes, const char *remedy)
{
	if (atomic_exchange(&c->told[what], 1))
		log_debug("cache: no room for a reference of %llu bytes",
			  bytes);
	else
		log_warning(
			"cache: no room for a reference of %llu bytes: it is used and not kept; %s to keep it",
			bytes, remedy);
}

static void tell(struct localcache *c, enum cache_event what, uint64_t n)
{
	unsigned long long number = n;

	switch (what) {
	case CACHE_FOREIGN:
		log_info(
			"cache: removed %llu entr%s that %s sealed under another key",
			number, n == 1 ? "y" : "ies", n == 1 ? "was" : "were");
		break;
	case CACHE_DAMAGED:
		log_warning(
			"cache: dropped %llu damaged file%s; what they held is fetched again when it is needed",
			number, n == 1 ? "" : "s");
		break;
	case CACHE_ALIEN:
		log_warning(
			"cache: removed %llu file%s that did not belong there",
			number, n == 1 ? "" : "s");
		break;
	case CACHE_UNUSABLE:
		if (n == EBUSY)
			log_warning(
				"cache: another mount that shares it does not answer: what is fetched is not kept");
		else if (!atomic_exchange(&c->told[what], 1))
			log_error(
				"cache: %s: what is fetched is not kept; unmount and mount again when it is mended",
				strerrordesc_np((int)n));
		break;
	case CACHE_TOO_LARGE:
		no_room(c, what, number,
			c->kind == CACHE_MEMORY ? "raise cache_memory_size"
						: "raise cache_size");
		break;
	case CACHE_NO_ROOM:
		no_room(c, what, number,
			c->kind == CACHE_MEMORY
				? "give the mount's cgroup more memory"
				: "free some of the disk that cache_dir is on, or lower cache_min_free,");
		break;
	}
}

static void on_event(void *arg, enum cache_event what, uint64_t n)
{
	struct localcache *c = arg;

	if (c->telling)
		tell(c, what, n);
	else
		c->untold[what] += n;
}

void localcache_tell(struct localcache *c)
{
	log_info("%s", c->key_told);
	if (c->swept)
		log_info(
			"removed %u cache director%s of mounts that were killed",
			c->swept, c->swept == 1 ? "y" : "ies");
	for (int what = 0; what <= CACHE_UNUSABLE; what++)
		if (c->untold[what])
			tell(c, (enum cache_event)what, c->untold[what]);
	c->telling = 1;
}

int localcache_keysource(const struct options *o, struct keysource *out,
			 char why[OPTION_WHY])
{
	const struct {
		const char *name;
		enum keysource_from from;
		const char *what;
	} sources[] = {
		{ "cache_key_file", KEYSOURCE_FILE, o->cache_key_file },
		{ "cache_key_command", KEYSOURCE_COMMAND,
		  o->cache_key_command },
		{ "cache_encryption_key", KEYSOURCE_ENVIRONMENT,
		  o->cache_key_text },
	};
	enum option_origin best = OPTION_BUILTIN;
	const char *chosen = NULL;

	*out = (struct keysource){ .from = KEYSOURCE_EPHEMERAL };
	for (size_t i = 0; i < 3; i++) {
		enum option_origin origin = options_origin(o, sources[i].name);

		/* The text in the environment is gone when it was used. */
		if ((!sources[i].what &&
		     (sources[i].from != KEYSOURCE_ENVIRONMENT ||
		      origin == OPTION_BUILTIN)) ||
		    origin < best)
			continue;
		if (chosen && origin == best) {
			(void)snprintf(
				why, OPTION_WHY,
				"both %s and %s are given: the cache has one key, so give one of them",
				chosen, sources[i].name);
			return -EINVAL;
		}
		best = origin;
		chosen = sources[i].name;
		out->from = sources[i].from;
		out->what = sources[i].what;
	}
	if (o->cache_keep && !chosen) {
		(void)snprintf(
			why, OPTION_WHY,
			"cache_keep=yes: what a random key has sealed is lost with the mount: give cache_key_file= or cache_key_command= too");
		return -EINVAL;
	}
	return 0;
}

/* One line for the log, which says whose key it is and from where. */
static void describe_key(const struct keysource *s, const char *what,
			 char out[LOCALCACHE_LINE])
{
	char from[LOCALCACHE_LINE / 2];

	keysource_describe(s, from, sizeof(from));
	(void)snprintf(out, LOCALCACHE_LINE,
		       "cache key %s from %s, for user %u", what, from,
		       (unsigned)geteuid());
}

/* The text has done its service; .dg/config goes on saying "set". */
static void wipe_text(struct options *o)
{
	if (!o->cache_key_text)
		return;
	secret_free(o->cache_key_text, strlen(o->cache_key_text) + 1);
	o->cache_key_text = NULL;
}

static int open_dir(struct localcache *c, const struct options *o,
		    char why[OPTION_WHY])
{
	struct cachedir_conf conf = { .parent = o->cache_dir,
				      .shared = c->shared,
				      .keep = (int)o->cache_keep };
	int err;

	err = cachedir_open(&c->dir, &conf, &c->swept, why);
	/* Mounts that were told nothing else have left theirs here. */
	if (!err)
		c->swept += cachedir_sweep("/tmp");
	return err;
}

static uint64_t memory_room(void *arg)
{
	struct localcache *c = arg;
	struct pressure_state state;

	pressure_read(c->pressure, &state);
	return state.room;
}

static int open_backend(struct localcache *c, const struct options *o,
			const struct cachekey *key)
{
	struct dirbackend_conf conf = { .dirfd = cachedir_fd(c->dir),
					.limit = o->cache_size,
					.min_free = o->cache_min_free,
					.key = key,
					.log = { on_event, c } };

	if (c->kind == CACHE_MEMORY)
		return membackend_new(&c->backend,
				      &(struct membackend_conf){
					      .limit = o->cache_memory_size,
					      .room = memory_room,
					      .arg = c });
	return dirbackend_new(&c->backend, &conf);
}

/* The spool finds the disk full: the cache makes room. */
static uint64_t make_room(void *arg, uint64_t bytes)
{
	struct localcache *c = arg;

	return refs_evict(c->refs, bytes);
}

static int open_refs(struct localcache *c, const struct options *o,
		     const struct aead_key *master)
{
	struct refs_conf conf = { .key = master,
				  .spill_dirfd = cachedir_nameless_fd(c->dir),
				  .spill = &c->spool,
				  .log = { on_event, c } };
	struct cachekey *key;
	int err;

	err = texts_open(&c->texts, o->index_memory, idle_memory(o));
	if (err)
		return err;
	err = cachekey_new(&key, master);
	if (err)
		return err;
	err = open_backend(c, o, key);
	cachekey_put(key);
	if (err)
		return err;
	conf.backend = c->backend;
	conf.texts = c->texts;
	err = refs_open(&c->refs, &conf);
	if (err)
		return err;
	c->spool.make_room = make_room;
	c->spool.make_room_arg = c;
	return 0;
}

/* With the lock, or nobody else there yet.  A key's text is not kept. */
static int note_source(struct localcache *c, const struct keysource *s)
{
	char *what = NULL;

	if (s->what && s->from != KEYSOURCE_ENVIRONMENT) {
		what = strdup(s->what);
		if (!what)
			return -ENOMEM;
	}
	free(c->key_what);
	c->key_what = what;
	c->key_from = s->from;
	return 0;
}

int localcache_open(struct localcache *c, struct options *o,
		    char why[OPTION_WHY])
{
	struct aead_key *master;
	struct keysource source;
	int err;

	*c = (struct localcache){
		.kind = (enum cache_backend_kind)o->cache_backend
	};
	budget_init(&c->spool, o->spool_size);
	(void)pthread_mutex_init(&c->lock, NULL);
	err = localcache_keysource(o, &source, why);
	if (!err)
		err = pressure_open(&c->pressure, "");
	if (err)
		return err;
	err = note_source(c, &source);
	if (err)
		return err;
	c->shared = source.from != KEYSOURCE_EPHEMERAL &&
		    c->kind == CACHE_FILESYSTEM;
	c->spool_key = secret_new(sizeof(*c->spool_key));
	master = secret_new(sizeof(*master));
	err = c->spool_key && master ? aead_key_random(c->spool_key) : -ENOMEM;
	if (!err)
		err = keysource_load(&source, master, why);
	if (!err) {
		describe_key(&source, "loaded", c->key_told);
		err = open_dir(c, o, why);
	}
	if (!err)
		err = open_refs(c, o, master);
	secret_free(master, sizeof(*master));
	wipe_text(o);
	return err;
}

void localcache_close(struct localcache *c)
{
	pressure_close(c->pressure);
	c->pressure = NULL;
	if (!c->spool_key)
		return;
	/* Nobody can read any more what a random key of ours has sealed. */
	if (c->refs && c->shared && c->key_from == KEYSOURCE_EPHEMERAL)
		refs_retire(c->refs);
	refs_close(c->refs);
	texts_close(c->texts);
	if (c->backend)
		c->backend->ops->free(c->backend);
	cachedir_close(c->dir);
	secret_free(c->spool_key, sizeof(*c->spool_key));
	c->spool_key = NULL;
	free(c->key_what);
	(void)pthread_mutex_destroy(&c->lock);
	budget_clear(&c->spool);
}

int localcache_rotate(struct localcache *c, const struct keysource *s,
		      char why[OPTION_WHY])
{
	struct aead_key *master = secret_new(sizeof(*master));
	char line[LOCALCACHE_LINE];
	int err;

	if (!master) {
		(void)snprintf(why, OPTION_WHY, "out of memory");
		return -ENOMEM;
	}
	err = keysource_load(s, master, why);
	(void)pthread_mutex_lock(&c->lock);
	if (!err) {
		err = refs_rotate(c->refs, master);
		if (!err)
			err = note_source(c, s);
		if (err)
			(void)snprintf(why, OPTION_WHY, "%s",
				       strerrordesc_np(-err));
	}
	(void)pthread_mutex_unlock(&c->lock);
	secret_free(master, sizeof(*master));
	if (err)
		return err;
	describe_key(s, "rotated: the new one is", line);
	log_info("%s", line);
	return 0;
}

int localcache_key_is(struct localcache *c, const struct keysource *s)
{
	int same;

	(void)pthread_mutex_lock(&c->lock);
	same = c->key_from == s->from;
	if (same && c->key_what && s->what)
		same = !strcmp(c->key_what, s->what);
	(void)pthread_mutex_unlock(&c->lock);
	return same;
}

enum keysource_from localcache_key_from(struct localcache *c)
{
	enum keysource_from from;

	(void)pthread_mutex_lock(&c->lock);
	from = c->key_from;
	(void)pthread_mutex_unlock(&c->lock);
	return from;
}

int localcache_clear(struct localcache *c, const char *why)
{
	int err = refs_clear(c->refs);

	if (!err)
		log_info("cache cleared %s", why);
	else
		log_error(
			"cache not cleared %s: %s%s", why,
			strerrordesc_np(-err),
			err == -EBUSY
				? ": another mount that shares it does not answer"
				: "");
	return err;
}

void localcache_resize(struct localcache *c, const struct options *o)
{
	uint64_t limit =
		c->kind == CACHE_MEMORY ? o->cache_memory_size : o->cache_size;

	c->backend->ops->set_limit(c->backend, limit, o->cache_min_free);
	texts_set_limit(c->texts, o->index_memory, idle_memory(o));
	budget_set_max(&c->spool, o->spool_size);
	cachedir_set_keep(c->dir, (int)o->cache_keep);
}

void localcache_tend(struct localcache *c, uint64_t min_free)
{
	struct backend_stats held;
	struct statvfs st;
	uint64_t room;

	if (fstatvfs(cachedir_nameless_fd(c->dir), &st))
		return;
	room = (uint64_t)st.f_bavail * st.f_frsize;
	if (room < min_free)
		(void)refs_evict(c->refs, min_free - room);
	/* Whoever else shares it held it up when the limit was lowered. */
	c->backend->ops->stats(c->backend, &held);
	if (held.bytes > held.limit)
		(void)c->backend->ops->evict(
			c->backend, held.bytes - held.limit, EVICT_SPACE);
}
