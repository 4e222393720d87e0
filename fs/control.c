#include "fs/control.h"

#include <errno.h>
#include <string.h>

#include "cache/refs.h"
#include "fs/log.h"
#include "fs/options.h"
#include "fs/stats.h"

static int clear_cache(const struct control_context *c, const char *line)
{
	if (strcmp(line, "1") != 0)
		return -EINVAL;
	refs_clear(c->refs);
	log_info("cache cleared on request");
	return 0;
}

static int show_stats(const struct control_context *c, struct bytes *out)
{
	return stats_json(c->volume, out);
}

static int show_config(const struct control_context *c, struct bytes *out)
{
	return options_show(c->options, out);
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
	{ "stats", 0444, show_stats, NULL },
	{ "config", 0444, show_config, NULL },
	{ "log_level", 0644, show_log_level, store_log_level },
	{ "version", 0444, show_version, NULL },
};
const size_t control_files_len =
	sizeof(control_files) / sizeof(control_files[0]);
