#include "fs/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/options.h"

struct load {
	struct options *o;
	const char *bucket;
	char *why;
	int err;
	FILE *file;
	int line, wrong; /* read so far; and the one that `err` is about */
};

static int on_value(void *arg, const char *section, const char *name,
		    const char *value)
{
	struct load *l = arg;
	enum option_origin origin;

	if (l->err)
		return 0; /* it goes on, and the first mistake is told */
	if (!strcmp(section, "default"))
		origin = OPTION_CONFIG_DEFAULT;
	else if (!strcmp(section, l->bucket))
		origin = OPTION_CONFIG_BUCKET;
	else if (*section)
		return 1;
	else
		return 0; /* before the first section: a mistake */
	l->err = options_set(l->o, name, value, origin, l->why);
	if (l->err)
		l->wrong = l->line;
	return !l->err;
}

static char *next_line(char *line, int size, void *arg)
{
	struct load *l = arg;

	l->line++;
	return fgets(line, size, l->file);
}

#define SIZE_MOST (1 << 20) /* bytes */

/*
 * Only what has an end is read, and nothing that must be waited for: a file,
 * or /dev/null.  0 or -errno.
 */
static int file_open(const char *path, FILE **out)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (S_ISREG(st.st_mode) ? st.st_size > SIZE_MOST
				     : st.st_rdev != makedev(1, 3))
		err = S_ISREG(st.st_mode) ? -EFBIG : -EINVAL;
	*out = err ? NULL : fdopen(fd, "r");
	if (!err && !*out)
		err = -errno;
	if (err)
		(void)close(fd);
	return err;
}

static int cannot_read(const char *path, int err, char *why)
{
	(void)snprintf(
		why, OPTION_WHY,
		"config file %.180s: %s: give config= the path of a readable file",
		path,
		err == -EINVAL ? "not a regular file" : strerrordesc_np(-err));
	return err;
}

int config_load(struct options *o, const char *path, int required,
		const char *bucket, char *why)
{
	struct load l = { .o = o, .bucket = bucket, .why = why };
	char inner[OPTION_WHY];
	FILE *f = NULL;
	int line, err;

	err = file_open(path, &f);
	if (err)
		return !required && err == -ENOENT
			       ? 0
			       : cannot_read(path, err, why);
	why[0] = '\0';
	errno = 0;
	l.file = f;
	line = ini_parse_stream(next_line, &l, on_value, &l);
	err = ferror(f) ? errno ? errno : EIO : 0;
	(void)fclose(f);
	if (err)
		return cannot_read(path, -err, why);
	if (!line)
		return 0;
	(void)snprintf(inner, sizeof(inner), "%.180s",
		       l.err && l.wrong == line
			       ? why
			       : "not \"name = value\" in a [section]");
	(void)snprintf(why, OPTION_WHY, "config file %.90s, line %d: %.180s",
		       path, line > 0 ? line : 0, inner);
	return -EINVAL;
}
