#include "fs/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/config.h"
#include "fs/defaults.h"
#include "fs/keysource.h"
#include "fs/localcache.h"
#include "fs/log.h"

static int anchor(const char *home, char **path)
{
	char *whole;

	if (!*path || **path == '/')
		return 0;
	if (asprintf(&whole, "%s/%s", home, *path) < 0)
		return -ENOMEM;
	free(*path);
	*path = whole;
	return 0;
}

static int anchor_all(const char *home, struct options *o)
{
	int err = anchor(home, &o->config);

	if (!err)
		err = anchor(home, &o->cache_key_file);
	return err ? err : anchor(home, &o->cache_dir);
}

int settings_init(struct settings *s, struct options *o, const char *section,
		  struct localcache *cache)
{
	(void)pthread_mutex_init(&s->change, NULL);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->key_pinned = 0;
	s->options = o;
	s->section = section;
	s->cache = cache;
	s->home = getcwd(NULL, 0);
	return s->home ? anchor_all(s->home, o) : -errno;
}

void settings_clear(struct settings *s)
{
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_mutex_destroy(&s->change);
	free(s->home);
}

/* What the file says now.  0 or -errno with `why`. */
static int load_fresh(struct settings *s, struct options *fresh,
		      char why[OPTION_WHY])
{
	const char *path = s->options->config; /* which never changes */
	char *named;
	int err;

	err = config_load(fresh, path ? path : SETTINGS_CONFIG, path != NULL,
			  s->section, why);
	if (!err)
		err = anchor_all(s->home, fresh);
	if (err)
		return err;
	/* The defaults are of the directory that is in use, like that or not. */
	named = fresh->cache_dir;
	fresh->cache_dir = s->options->cache_dir;
	options_inherit(fresh, s->options);
	err = defaults_fill(fresh, why);
	fresh->cache_dir = named;
	return err;
}

/* Under a random key there is nothing to keep. */
static int keep_fits(struct settings *s, const struct options *fresh,
		     char why[OPTION_WHY])
{
	if (!fresh->cache_keep ||
	    localcache_key_from(s->cache) != KEYSOURCE_EPHEMERAL)
		return 0;
	(void)snprintf(
		why, OPTION_WHY,
		"cache_keep=yes: what a random key has sealed is lost with the mount: write another to .dg/rotate_key first");
	return -EINVAL;
}

/* With `change` held: see that all fits, and get the key if it is another. */
static int follow_key(struct settings *s, const struct options *fresh,
		      char why[OPTION_WHY])
{
	struct options wanted;
	struct keysource source;
	int err;

	(void)pthread_mutex_lock(&s->lock);
	options_preview(s->options, fresh, &wanted);
	(void)pthread_mutex_unlock(&s->lock);
	/* Whose key it is does not matter now, but a mistake is one. */
	if (s->key_pinned) {
		wanted = *fresh;
		wanted.cache_keep = 0;
	}
	/* Who changes these strings holds `change`. */
	err = localcache_keysource(&wanted, &source, why);
	if (!err && s->key_pinned)
		return keep_fits(s, fresh, why);
	if (err || localcache_key_is(s->cache, &source))
		return err;
	return localcache_rotate(s->cache, &source, why);
}

static int take_fresh(struct settings *s, const struct options *fresh)
{
	struct bytes fixed = BYTES_INIT;
	uint64_t level;
	int err;

	(void)pthread_mutex_lock(&s->lock);
	level = s->options->log_level;
	err = options_apply(s->options, fresh, &fixed);
	/* Else it stays what .dg/log_level may have made of it. */
	if (!err && s->options->log_level != level)
		log_set_level((enum log_level)s->options->log_level);
	(void)pthread_mutex_unlock(&s->lock);
	if (!err && fixed.len)
		log_warning(
			"configuration: changed, but only a new mount takes it over:%.*s",
			(int)fixed.len, (const char *)fixed.data);
	bytes_clear(&fixed);
	return err;
}

void settings_reload(struct settings *s)
{
	char why[OPTION_WHY] = "";
	struct options fresh;
	int err;

	(void)pthread_mutex_lock(&s->change);
	options_init(&fresh);
	err = load_fresh(s, &fresh, why);
	if (!err)
		err = follow_key(s, &fresh, why);
	if (!err)
		err = take_fresh(s, &fresh);
	if (err) {
		log_error("configuration not read again: %s",
			  why[0] ? why : strerrordesc_np(-err));
	} else {
		/* Not with the lock: another mount may hold the directory. */
		localcache_resize(s->cache, s->options);
		log_info("configuration read again");
	}
	options_clear(&fresh);
	(void)pthread_mutex_unlock(&s->change);
}

/* What the line asks for; *text is for free().  0, -EINVAL or -ENOMEM. */
static int source_parse(struct settings *s, const char *line,
			struct keysource *out, char **text)
{
	*out = (struct keysource){ .from = KEYSOURCE_EPHEMERAL };
	*text = NULL;
	if (!strcmp(line, "ephemeral"))
		return 0;
	if (!strncmp(line, "file /", 6)) {
		out->from = KEYSOURCE_FILE;
		out->what = line + 5;
		return 0;
	}
	if (strcmp(line, "command") != 0)
		return -EINVAL;
	(void)pthread_mutex_lock(&s->lock);
	if (s->options->cache_key_command)
		*text = strdup(s->options->cache_key_command);
	(void)pthread_mutex_unlock(&s->lock);
	if (!*text) {
		log_error(
			"cache key not rotated: no cache_key_command is set to run");
		return -EINVAL;
	}
	out->from = KEYSOURCE_COMMAND;
	out->what = *text;
	return 0;
}

int settings_rotate_key(struct settings *s, const char *line)
{
	struct keysource source;
	char why[OPTION_WHY], *text;
	int err;

	(void)pthread_mutex_lock(&s->change);
	err = source_parse(s, line, &source, &text);
	if (!err) {
		err = localcache_rotate(s->cache, &source, why);
		if (err)
			log_error("cache key not rotated: %s", why);
	}
	if (!err) {
		s->key_pinned = 1;
		(void)pthread_mutex_lock(&s->lock);
		err = options_note_key(s->options, source.from == KEYSOURCE_FILE
							   ? source.what
							   : NULL);
		(void)pthread_mutex_unlock(&s->lock);
	}
	(void)pthread_mutex_unlock(&s->change);
	free(text);
	return err;
}

int settings_show(struct settings *s, struct bytes *out)
{
	int err;

	(void)pthread_mutex_lock(&s->lock);
	err = options_show(s->options, out);
	(void)pthread_mutex_unlock(&s->lock);
	return err;
}

void settings_watched(struct settings *s, struct settings_watched *out)
{
	(void)pthread_mutex_lock(&s->lock);
	out->clear_interval_ms = s->options->cache_clear_interval_ms;
	out->min_free = s->options->cache_min_free;
	(void)pthread_mutex_unlock(&s->lock);
}
