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
	(void)pthread_mutex_init(&s->change, NULL);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->key_pinned = 0;
	s->options = o;
	s->section = section;
	s->cache = cache;
}

void settings_clear(struct settings *s)
{
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_mutex_destroy(&s->change);
}

/* What the options say the key is from, with a text of its own. */
static int source_copy(const struct options *o, struct keysource *out,
		       char **text)
{
	char why[OPTION_WHY];
	int err = localcache_keysource(o, out, why);

	*text = NULL;
	if (err) {
		log_error("%s: the key stays as it is", why);
		return err;
	}
	if (out->what) {
		*text = strdup(out->what);
		err = *text ? 0 : -ENOMEM;
	}
	out->what = *text;
	return err;
}

/* With `change` held: another key, if the options name another. */
static void follow_key(struct settings *s)
{
	struct keysource now;
	char why[OPTION_WHY], *text;
	int err;

	(void)pthread_mutex_lock(&s->lock);
	err = source_copy(s->options, &now, &text);
	(void)pthread_mutex_unlock(&s->lock);
	/* It logs why not, and the key stays as it is. */
	if (!err && !s->key_pinned && !localcache_key_is(s->cache, &now))
		(void)!localcache_rotate(s->cache, &now, why);
	free(text);
}

static void take_fresh(struct settings *s, const struct options *fresh)
{
	struct bytes fixed = BYTES_INIT;
	int err;

	(void)pthread_mutex_lock(&s->lock);
	err = options_apply(s->options, fresh, &fixed);
	if (!err) {
		log_set_level((enum log_level)s->options->log_level);
		localcache_resize(s->cache, s->options);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (!err && fixed.len)
		log_warning(
			"configuration: changed, but only a new mount takes it over:%.*s",
			(int)fixed.len, (const char *)fixed.data);
	if (err)
		log_error("configuration not read again: %s",
			  strerrordesc_np(-err));
	else
		log_info("configuration read again");
	bytes_clear(&fixed);
}

void settings_reload(struct settings *s)
{
	const char *path = s->options->config; /* which never changes */
	char why[OPTION_WHY] = "";
	struct options fresh;
	int err;

	(void)pthread_mutex_lock(&s->change);
	options_init(&fresh);
	err = config_load(&fresh, path ? path : SETTINGS_CONFIG, path != NULL,
			  s->section, why);
	if (!err)
		err = settings_anchor(&fresh);
	if (!err)
		err = defaults_fill(&fresh, why);
	if (err) {
		log_error("configuration not read again: %s",
			  why[0] ? why : strerrordesc_np(-err));
	} else {
		take_fresh(s, &fresh);
		follow_key(s);
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
	if (!err)
		err = localcache_rotate(s->cache, &source, why);
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
	s->options->log_level = log_get_level(); /* it has a file of its own */
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
