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

static int anchor(char **path)
{
	char *here, *whole;

	if (!*path || **path == '/')
		return 0;
	here = getcwd(NULL, 0);
	if (!here)
		return -errno;
	if (asprintf(&whole, "%s/%s", here, *path) < 0)
		whole = NULL;
	free(here);
	if (!whole)
		return -ENOMEM;
	free(*path);
	*path = whole;
	return 0;
}

int settings_anchor(struct options *o)
{
	int err = anchor(&o->config);

	return err ? err : anchor(&o->cache_key_file);
}

void settings_init(struct settings *s, struct options *o, const char *section,
		   struct localcache *cache)
{
	(void)pthread_mutex_init(&s->lock, NULL);
	s->options = o;
	s->section = section;
	s->cache = cache;
}

void settings_clear(struct settings *s)
{
	(void)pthread_mutex_destroy(&s->lock);
}

static int same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static int same_source(const struct keysource *a, const struct keysource *b)
{
	return a->from == b->from && same_text(a->what, b->what);
}

/* With the lock: the options are as the file wants them; now all else. */
static void apply(struct settings *s, const struct keysource *before)
{
	struct keysource now;
	char why[OPTION_WHY];

	log_set_level((enum log_level)s->options->log_level);
	localcache_resize(s->cache, s->options);
	if (localcache_keysource(s->options, &now, why))
		log_error("%s: the key stays as it is", why);
	else if (!same_source(before, &now))
		/* It logs why not, and the key stays as it is. */
		(void)!localcache_rotate(s->cache, &now, why);
}

/* What the key is from, with a text of its own: the options change. */
static int source_copy(const struct options *o, struct keysource *out,
		       char **text)
{
	char why[OPTION_WHY];
	int err = localcache_keysource(o, out, why);

	*text = NULL;
	if (!err && out->what) {
		*text = strdup(out->what);
		err = *text ? 0 : -ENOMEM;
	}
	out->what = *text;
	return err;
}

static void take_fresh(struct settings *s, struct options *fresh)
{
	struct bytes fixed = BYTES_INIT;
	struct keysource before;
	char *text;
	int err;

	(void)pthread_mutex_lock(&s->lock);
	err = source_copy(s->options, &before, &text);
	if (!err)
		err = options_apply(s->options, fresh, &fixed);
	if (!err && fixed.len)
		log_warning(
			"configuration: changed, but only a new mount takes it over:%.*s",
			(int)fixed.len, (const char *)fixed.data);
	if (!err) {
		apply(s, &before);
		log_info("configuration read again");
	} else {
		log_error("configuration not read again: %s",
			  strerrordesc_np(-err));
	}
	(void)pthread_mutex_unlock(&s->lock);
	free(text);
	bytes_clear(&fixed);
}

void settings_reload(struct settings *s)
{
	const char *path = s->options->config; /* which never changes */
	char why[OPTION_WHY] = "";
	struct options fresh;
	int err;

	options_init(&fresh);
	err = config_load(&fresh, path ? path : SETTINGS_CONFIG, path != NULL,
			  s->section, why);
	if (!err)
		err = settings_anchor(&fresh);
	if (!err)
		err = defaults_fill(&fresh, why);
	if (err)
		log_error("configuration not read again: %s",
			  why[0] ? why : strerrordesc_np(-err));
	else
		take_fresh(s, &fresh);
	options_clear(&fresh);
}

int settings_rotate_key(struct settings *s, const char *line)
{
	struct keysource source = { .from = KEYSOURCE_EPHEMERAL };
	char why[OPTION_WHY], *command = NULL;
	int err = 0;

	(void)pthread_mutex_lock(&s->lock);
	if (!strncmp(line, "file /", 6)) {
		source.from = KEYSOURCE_FILE;
		source.what = line + 5;
	} else if (!strcmp(line, "command")) {
		source.from = KEYSOURCE_COMMAND;
		if (s->options->cache_key_command)
			command = strdup(s->options->cache_key_command);
		source.what = command;
		if (!command) {
			log_error(
				"cache key not rotated: no cache_key_command is set to run");
			err = -EINVAL;
		}
	} else if (strcmp(line, "ephemeral") != 0) {
		err = -EINVAL;
	}
	if (!err)
		err = localcache_rotate(s->cache, &source, why);
	if (!err)
		err = options_note_key(
			s->options,
			source.from == KEYSOURCE_FILE ? source.what : NULL,
			source.from == KEYSOURCE_COMMAND ? source.what : NULL);
	(void)pthread_mutex_unlock(&s->lock);
	free(command);
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
