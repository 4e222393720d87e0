#include "fs/defaults.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/log.h"

#define CACHE_MAX  ((uint64_t)10 << 30)
#define MEMORY_MIN ((uint64_t)384 << 20)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int defaults_fill(struct options *o, char why[OPTION_WHY])
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	struct statvfs st;
	uint64_t disk, room;

	if (statvfs(o->cache_dir, &st)) {
		int err = -errno;

		(void)snprintf(
			why, OPTION_WHY,
			"cache directory %.150s: %s: make it, or give cache_dir= another",
			o->cache_dir, strerrordesc_np(-err));
		return err;
	}
	disk = (uint64_t)st.f_blocks * st.f_frsize;
	room = (uint64_t)st.f_bavail * st.f_frsize;
	if (!o->cache_size)
		o->cache_size = least(disk / 10, CACHE_MAX);
	/* On a disk that is nearly full as it is, half of what is left. */
	if (options_origin(o, "cache_min_free") == OPTION_BUILTIN)
		o->cache_min_free = least(disk / 10, room / 2);
	if (o->cache_min_free >= disk)
		log_warning(
			"cache_min_free=%llu leaves nothing of the %llu bytes of the disk that %.150s is on: nothing is cached, nor can be written without spool_size=",
			(unsigned long long)o->cache_min_free,
			(unsigned long long)disk, o->cache_dir);
	if (!o->spool_size)
		o->spool_size =
			room > o->cache_min_free ? room - o->cache_min_free : 0;
	if (options_origin(o, "index_memory") == OPTION_BUILTIN && pages > 0 &&
	    page > 0)
		o->index_memory = (uint64_t)pages * (uint64_t)page / 4;
	if (options_origin(o, "index_memory") == OPTION_BUILTIN &&
	    o->index_memory < MEMORY_MIN)
		o->index_memory = MEMORY_MIN;
	if (options_origin(o, "file_mode") == OPTION_BUILTIN)
		o->file_mode = 0666 & ~o->umask;
	if (options_origin(o, "dir_mode") == OPTION_BUILTIN)
		o->dir_mode = 0777 & ~o->umask;
	if (options_origin(o, "entry_timeout") == OPTION_BUILTIN)
		o->entry_timeout_ms = o->attr_timeout_ms;
	if (!o->uid_set)
		o->uid = getuid();
	if (!o->gid_set)
		o->gid = getgid();
	return 0;
}
