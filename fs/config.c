#include "fs/config.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "fs/options.h"

struct load {
	struct options *o;
	const char *bucket;
	char *why;
	int err;
};

static int on_value(void *arg, const char *section, const char *name,
		    const char *value)
{
	struct load *l = arg;
	enum option_origin origin;

	if (!strcmp(section, "default"))
		origin = OPTION_CONFIG_DEFAULT;
	else if (!strcmp(section, l->bucket))
		origin = OPTION_CONFIG_BUCKET;
	else if (*section)
		return 1;
	else
		return 0; /* before the first section: a mistake */
	l->err = options_set(l->o, name, value, origin, l->why);
	return !l->err;
}

int config_load(struct options *o, const char *path, int required,
		const char *bucket, char *why)
{
	struct load l = { .o = o, .bucket = bucket, .why = why };
	char inner[OPTION_WHY];
	FILE *f = fopen(path, "re");
	int line, err;

	if (!f) {
		err = errno;
		if (!required && err == ENOENT)
			return 0;
		(void)snprintf(
			why, OPTION_WHY,
			"config file %.180s: %s: give config= the path of a readable file",
			path, strerrordesc_np(err));
		return -err;
	}
	why[0] = '\0';
	errno = 0;
	line = ini_parse_file(f, on_value, &l);
	err = ferror(f) ? errno ? errno : EIO : 0;
	(void)fclose(f);
	if (err) {
		(void)snprintf(
			why, OPTION_WHY,
			"config file %.180s: %s: give config= the path of a readable file",
			path, strerrordesc_np(err));
		return -err;
	}
	if (!line)
		return 0;
	(void)snprintf(inner, sizeof(inner), "%.180s",
		       l.err ? why : "not \"name = value\" in a [section]");
	(void)snprintf(why, OPTION_WHY, "config file %.90s, line %d: %.180s",
		       path, line > 0 ? line : 0, inner);
	return -EINVAL;
}
