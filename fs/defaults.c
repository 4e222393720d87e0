#include "fs/defaults.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/localcache.h"
#include "fs/log.h"
#include "fs/pressure.h"

#define CACHE_MAX  ((uint64_t)10 << 30)
#define MEMORY_MIN ((uint64_t)384 << 20)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The machine's, or what a cgroup lets us have of it; 0 if nobody says. */
static uint64_t memory_there_is(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t all =
		pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
	struct pressure_state state;
	struct pressure *p;

	if (pressure_open(&p, ""))
		return all;
	pressure_read(p, &state);
	pressure_close(p);
	return all                         ? least(all, state.limit)
	       : state.limit == UINT64_MAX ? 0
					   : state.limit;
}

/* What a `cache_min_free` that no disk has leads to. */
static void warn_of_min_free(const struct options *o, uint64_t disk)
{
	int cached = o->cache_backend == CACHE_FILESYSTEM;

	if (o->cache_min_free < disk || (!cached && o->spool_size))
		return;
	log_warning(
		"cache_min_free=%llu leaves nothing of the %llu bytes of the disk that %.150s is on: nothing is %s%s%s",
		(unsigned long long)o->cache_min_free, (unsigned long long)disk,
		o->cache_dir, cached ? "cached" : "",
		cached && !o->spool_size ? ", nor " : "",
		o->spool_size ? "" : "written without spool_size=");
}

int defaults_fill(struct options *o, char why[OPTION_WHY])
{
	uint64_t memory = memory_there_is();
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
	warn_of_min_free(o, disk);
	if (!o->spool_size)
		o->spool_size =
			room > o->cache_min_free ? room - o->cache_min_free : 0;
	if (options_origin(o, "index_memory") == OPTION_BUILTIN)
		o->index_memory = memory / 4;
	if (options_origin(o, "cache_memory_size") == OPTION_BUILTIN && memory)
		o->cache_memory_size = least(o->cache_memory_size, memory / 4);
	if (options_origin(o, "index_memory") == OPTION_BUILTIN &&
	    o->index_memory < MEMORY_MIN)
		o->index_memory =
			memory ? least(MEMORY_MIN, memory / 2) : MEMORY_MIN;
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
