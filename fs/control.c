#include "fs/control.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cache/refs.h"
#include "fs/localcache.h"
#include "fs/log.h"
#include "fs/settings.h"
#include "fs/stats.h"

static int clear_cache(const struct control_context *c, const char *line)
{
	if (strcmp(line, "1") != 0)
		return -EINVAL;
	return localcache_clear(c->cache, "on request");
}

static int show_stats(const struct control_context *c, struct bytes *out)
{
	return stats_json(c->volume, c->cache, out);
}

static int show_metrics(const struct control_context *c, struct bytes *out)
{
	return stats_metrics(c->volume, c->cache, out);
}

static int show_config(const struct control_context *c, struct bytes *out)
{
	return settings_show(c->settings, out);
}

static int show_ref(void *arg, const struct cached_facts *f)
{
	char hex[DIGEST_HEX], when[32] = "-";
	time_t used = f->used_s;
	struct tm tm;

	hex_encode(hex, f->digest, DIGEST_LEN);
	if (gmtime_r(&used, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return bytes_printf(arg, "%s %llu %s %s\n", hex,
			    (unsigned long long)f->len,
			    f->in_use ? "in-use" : "idle", when);
}

static int show_refs(const struct control_context *c, struct bytes *out)
{
	return refs_list(c->cache->refs, show_ref, out);
}

static int rotate_key(const struct control_context *c, const char *line)
{
	return settings_rotate_key(c->settings, line);
}

static int show_log_level(const struct control_context *c, struct bytes *out)
{
	(void)c;
	return bytes_printf(out, "%s\n", log_level_name(log_get_level()));
}

static int store_log_level(const struct control_context *c, const char *line)
{
	(void)c;
	for (enum log_level l = LOG_LEVEL_ERROR; l <= LOG_LEVEL_DEBUG; l++)
		if (!strcmp(line, log_level_name(l))) {
			log_set_level(l);
			return 0;
		}
	return -EINVAL;
}

static int show_version(const struct control_context *c, struct bytes *out)
{
	(void)c;
	return bytes_append_str(out, DG_VERSION "\n");
}

const struct control control_files[] = {
	{ "clear_cache", 0200, NULL, clear_cache },
	{ "rotate_key", 0200, NULL, rotate_key },
	{ "stats", 0444, show_stats, NULL },
	{ "metrics", 0444, show_metrics, NULL },
	{ "refs", 0444, show_refs, NULL },
	{ "config", 0444, show_config, NULL },
	{ "log_level", 0644, show_log_level, store_log_level },
	{ "version", 0444, show_version, NULL },
};
const size_t control_files_len =
	sizeof(control_files) / sizeof(control_files[0]);
