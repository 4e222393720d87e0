#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/options.h"

static int explain(int err, const char *dir, char *why)
{
	const char *text;

	switch (err) {
	case -ENOENT:
		text = "does not exist: make it with mkdir";
		break;
	case -ENOTDIR:
		text = "is not a directory: mount on a directory";
		break;
	case -ENOTEMPTY:
		text = "is not empty: mount on an empty directory";
		break;
	case -EBUSY:
		text = "is a mount already: unmount it first";
		break;
	case -ENOTCONN:
		text = "is left from a mount that died: unmount it with umount or fusermount3 -u";
		break;
	default:
		text = strerrordesc_np(-err);
		break;
	}
	(void)snprintf(why, OPTION_WHY, "mount point %.150s %s", dir, text);
	return err;
}

static int is_empty(const char *path)
{
	const struct dirent *e;
	DIR *d = opendir(path);
	int err = 0;

	if (!d)
		return -errno;
	/* A stream of our own. */
	// NOLINTNEXTLINE(concurrency-mt-unsafe)
	while (!err && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = -ENOTEMPTY;
	(void)closedir(d);
	return err;
}

/* A file system of ours, mounted there by an earlier call. */
static int is_ours(const char *path)
{
	char version[PATH_MAX + 16];
	struct stat st;

	(void)snprintf(version, sizeof(version), "%s/.dg/version", path);
	return !stat(version, &st);
}

int mountpoint_check(const char *dir, char *path, char *why)
{
	struct stat st;
	int err;

	if (stat(dir, &st) || !realpath(dir, path))
		return explain(-errno, dir, why);
	if (!S_ISDIR(st.st_mode))
		return explain(-ENOTDIR, dir, why);
	if (is_ours(path))
		return explain(-EBUSY, dir, why);
	err = is_empty(path);
	return err ? explain(err, dir, why) : 0;
}
