/* Memory gets short in one way or another, on a machine made of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/pressure.h"

#define SELF   "proc/self/cgroup"
#define MOUNTS "proc/self/mountinfo"
#define CG     "sys/fs/cgroup/"
#define V2     "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
#define V1_MEMORY                                                         \
	"31 23 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup " \
	"rw,memory\n"

static char root[sizeof("/tmp/dg-pressure-XXXXXX")];

/* A file of the machine, and the folders that it is in. */
static void put(const char *name, const char *text)
{
	char path[PATH_MAX];
	size_t start = strlen(root) + 1;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *p = strchr(path + start, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		assert_true(!mkdir(path, 0700) || errno == EEXIST);
		*p = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static void drop(const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(unlink(path), 0);
}

static void reads(const struct pressure *p, enum pressure_level level,
		  const char *why)
{
	struct pressure_state s;

	memset(&s, 0x5a, sizeof(s));
	pressure_read(p, &s);
	assert_string_equal(s.why, why);
	assert_int_equal(s.level, level);
}

static void is(enum pressure_level level, const char *why)
{
	struct pressure *p = NULL;

	assert_int_equal(pressure_open(&p, root), 0);
	reads(p, level, why);
	pressure_close(p);
}

static void nothing_says_nothing(void **state)
{
	(void)state;
	is(PRESSURE_NONE, "");
	put("proc/meminfo", "");
	put("proc/pressure/memory", "nonsense\n\n=");
	put(SELF, "::\n:\n\n0\n0::\n0::relative\n4:memory\n");
	put(MOUNTS, "\n-\n - \n1 2 3 - cgroup2\n1 2 3 / /x - cgroup2 y\n");
	is(PRESSURE_NONE, "");
	put(SELF, "0::/a\n4:memory:/a\n");
	is(PRESSURE_NONE, "");
	pressure_close(NULL);
}

static void the_system_runs_out(void **state)
{
	struct pressure *p;

	(void)state;
	put("proc/meminfo", "MemTotal:       1000000 kB\n"
			    "MemFree:          10000 kB\n"
			    "MemAvailable:     80001 kB\n");
	is(PRESSURE_NONE, "");
	put("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 79999 kB\n");
	is(PRESSURE_SOME, "8 % of memory available");
	put("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 20000 kB\n");
	assert_int_equal(pressure_open(&p, root), 0);
	reads(p, PRESSURE_HIGH, "2 % of memory available");
	/* One who asks again is told anew. */
	put("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 500000 kB\n");
	reads(p, PRESSURE_NONE, "");
	put("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 20000 kB\n");
	reads(p, PRESSURE_NONE, "");
	put("proc/meminfo", "MemTotal: 0 kB\nMemAvailable: 0 kB\n");
	reads(p, PRESSURE_NONE, "");
	drop("proc/meminfo");
	reads(p, PRESSURE_NONE, "");
	pressure_close(p);
}

static void tasks_stall(void **state)
{
	(void)state;
	put("proc/pressure/memory",
	    "some avg10=9.99 avg60=50.00 avg300=50.00 total=1\n"
	    "full avg10=4.99 avg60=50.00 avg300=50.00 total=1\n");
	is(PRESSURE_NONE, "");
	put("proc/pressure/memory",
	    "some avg10=12.10 avg60=0.00 avg300=0.00 total=1\n"
	    "full avg10=4.99 avg60=0.00 avg300=0.00 total=1\n");
	is(PRESSURE_SOME, "PSI: 12 % of the time stalled");
	put("proc/pressure/memory",
	    "some avg10=30.00 avg60=0.00 avg300=0.00 total=1\n"
	    "full avg10=6.00 avg60=0.00 avg300=0.00 total=1\n");
	is(PRESSURE_HIGH, "PSI: 6 % of the time all stalled");
}

static void a_cgroup_fills(void **state)
{
	(void)state;
	put(SELF, "0::/x\n");
	put(MOUNTS, "22 27 0:21 / /proc rw - proc proc rw\n" V2);
	put(CG "x/memory.current", "840\n");
	put(CG "x/memory.high", "max\n");
	put(CG "x/memory.max", "1000\n");
	is(PRESSURE_NONE, "");
	put(CG "x/memory.current", "860\n");
	is(PRESSURE_SOME, "cgroup /x at 86 % of its limit");
	put(CG "x/memory.current", "940\n");
	is(PRESSURE_HIGH, "cgroup /x at 94 % of its limit");

	/* Idle page cache is no use of it. */
	put(CG "x/memory.stat", "anon 5\nactive_file 800\ninactive_file 600\n");
	is(PRESSURE_NONE, "");
	put(CG "x/memory.stat", "anon 5\ninactive_file 6000\n");
	is(PRESSURE_NONE, "");
	put(CG "x/memory.stat", "total_inactive_file 600\ninactive_file 50\n");
	is(PRESSURE_SOME, "cgroup /x at 89 % of its limit");

	/* The smaller of both limits. */
	put(CG "x/memory.high", "800\n");
	is(PRESSURE_HIGH, "cgroup /x at 111 % of its limit");
	put(CG "x/memory.high", "2000\n");
	is(PRESSURE_SOME, "cgroup /x at 89 % of its limit");
	put(CG "x/memory.max", "max\n");
	is(PRESSURE_NONE, "");
	put(CG "x/memory.high", "max\n");
	is(PRESSURE_NONE, "");
	drop(CG "x/memory.high");
	is(PRESSURE_NONE, "");
}

static void an_ancestor_fills(void **state)
{
	struct pressure *p;

	(void)state;
	put(SELF, "0::/a/b/c\n");
	put(MOUNTS, V2);
	put(CG "a/b/c/memory.current", "10\n");
	put(CG "a/b/c/memory.max", "max\n");
	put(CG "a/b/memory.current", "900\n");
	put(CG "a/b/memory.max", "1000\n");
	put(CG "a/memory.current", "9500\n");
	put(CG "a/memory.max", "10000\n");
	assert_int_equal(pressure_open(&p, root), 0);
	reads(p, PRESSURE_HIGH, "cgroup /a at 95 % of its limit");
	put(CG "a/memory.current", "8700\n");
	reads(p, PRESSURE_SOME, "cgroup /a/b at 90 % of its limit");
	/* The one in front may vanish. */
	drop(CG "a/b/memory.current");
	reads(p, PRESSURE_SOME, "cgroup /a at 87 % of its limit");
	drop(CG "a/memory.max");
	reads(p, PRESSURE_NONE, "");
	/* At the mount point there are files in a container. */
	put(CG "memory.current", "99\n");
	put(CG "memory.max", "100\n");
	reads(p, PRESSURE_HIGH, "cgroup / at 99 % of its limit");
	pressure_close(p);
}

static void version_one(void **state)
{
	(void)state;
	put(SELF, "9:name=systemd:/\n4:cpu,memory:/job/1\n0::/\n");
	put(MOUNTS,
	    "29 23 0:25 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" V1_MEMORY);
	put(CG "memory/job/1/memory.usage_in_bytes", "950\n");
	put(CG "memory/job/1/memory.limit_in_bytes", "9223372036854771712\n");
	put(CG "memory/memory.usage_in_bytes", "5000\n");
	put(CG "memory/memory.limit_in_bytes", "9223372036854771712\n");
	is(PRESSURE_NONE, "");
	put(CG "memory/job/1/memory.limit_in_bytes", "1000\n");
	is(PRESSURE_HIGH, "cgroup /job/1 at 95 % of its limit");
	put(CG "memory/job/1/memory.stat",
	    "inactive_file 500\ntotal_inactive_file 60\n");
	is(PRESSURE_SOME, "cgroup /job/1 at 89 % of its limit");
	put(SELF, "4:cpu,memory_x:/job/1\n");
	is(PRESSURE_NONE, "");
}

/* Both versions at once: the worse of them. */
static void hybrid(void **state)
{
	(void)state;
	put(SELF, "4:memory:/old\n0::/new\n");
	put(MOUNTS, V1_MEMORY "38 31 0:35 / /sys/fs/cgroup/unified rw - "
			      "cgroup2 cgroup2 rw\n");
	put(CG "unified/new/cgroup.procs", "1\n");
	put(CG "memory/old/memory.usage_in_bytes", "900\n");
	put(CG "memory/old/memory.limit_in_bytes", "1000\n");
	is(PRESSURE_SOME, "cgroup /old at 90 % of its limit");
	put(CG "unified/new/memory.current", "94\n");
	put(CG "unified/new/memory.max", "100\n");
	is(PRESSURE_HIGH, "cgroup /new at 94 % of its limit");
}

/* What a container sees of the path and of the mount does not always agree. */
static void containers(void **state)
{
	static const struct {
		const char *self, *mounted, *name;
	} seen[] = {
		/* the path of the host, the mount of the container */
		{ "0::/docker/abc\n", "/", "/" },
		/* its root says where */
		{ "0::/docker/abc\n", "/docker/abc", "/" },
		{ "0::/docker/abc/in\n", "/docker/abc", "/in" },
		{ "0::/docker/abcdef\n", "/docker/abc", "/" },
		{ "0::/\n", "/docker/abc", "/" },
		/* outside of its namespace */
		{ "0::/../../other\n", "/", "/" },
		{ "0::/../in\n", "/..", "/in" },
		{ "0::/in (deleted)\n", "/", "/" },
	};
	char line[200];

	(void)state;
	put(CG "memory.current", "900\n");
	put(CG "memory.max", "1000\n");
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		put(CG "in/memory.current",
		    strcmp(seen[i].name, "/in") != 0 ? "1\n" : "950\n");
		put(CG "in/memory.max", "1000\n");
		put(SELF, seen[i].self);
		(void)snprintf(
			line, sizeof(line),
			"30 23 0:26 %s /sys/fs/cgroup rw - cgroup2 c rw\n",
			seen[i].mounted);
		put(MOUNTS, line);
		if (strcmp(seen[i].name, "/in") != 0)
			is(PRESSURE_SOME, "cgroup / at 90 % of its limit");
		else
			is(PRESSURE_HIGH, "cgroup /in at 95 % of its limit");
	}
}

static void mounts_are_chosen(void **state)
{
	(void)state;
	/* The one that has it, wherever it stands, blanks and all. */
	put(SELF, "0::/a b/c:d\n");
	put(MOUNTS,
	    "30 23 0:26 /other /sys/other rw - cgroup2 cgroup2 rw\n"
	    "31 23 0:26 / /sys/my\\040cg rw master:1 shared:2 - cgroup2 c rw\n"
	    "32 23 0:26 /a\\040b /sys/last rw - cgroup2 cgroup2 rw\n");
	put("sys/other/memory.current", "100\n");
	put("sys/other/memory.max", "100\n");
	put("sys/my cg/a b/c:d/memory.current", "88\n");
	put("sys/my cg/a b/c:d/memory.max", "100\n");
	is(PRESSURE_SOME, "cgroup /a b/c:d at 88 % of its limit");
}

static void long_names_are_cut(void **state)
{
	(void)state;
	put(SELF, "0::/kubepods.slice/kubepods-burstable.slice/"
		  "kubepods-burstable-pod0123456789abcdef.slice/"
		  "cri-containerd-0123456789abcdef.scope\n");
	put(MOUNTS, V2);
	put(CG "kubepods.slice/kubepods-burstable.slice/"
	       "kubepods-burstable-pod0123456789abcdef.slice/"
	       "cri-containerd-0123456789abcdef.scope/memory.current",
	    "99\n");
	put(CG "kubepods.slice/kubepods-burstable.slice/"
	       "kubepods-burstable-pod0123456789abcdef.slice/"
	       "cri-containerd-0123456789abcdef.scope/memory.max",
	    "100\n");
	is(PRESSURE_HIGH,
	   "cgroup ...ce/cri-containerd-0123456789abcdef.scope at 99 % of its "
	   "limit");
}

/* The worst of all is told; of what is as bad, what is nearest to us. */
static void the_worst_is_told(void **state)
{
	(void)state;
	put(SELF, "0::/x\n");
	put(MOUNTS, V2);
	put(CG "x/memory.current", "86\n");
	put(CG "x/memory.max", "100\n");
	put("proc/pressure/memory", "some avg10=20.00\nfull avg10=0.00\n");
	is(PRESSURE_SOME, "cgroup /x at 86 % of its limit");
	put("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 3 kB\n");
	is(PRESSURE_HIGH, "3 % of memory available");
	put("proc/pressure/memory", "some avg10=20.00\nfull avg10=7.00\n");
	is(PRESSURE_HIGH, "PSI: 7 % of the time all stalled");
}

/* Whatever it is like. */
static void this_machine(void **state)
{
	struct pressure_state s;
	struct pressure *p;

	(void)state;
	assert_int_equal(pressure_open(&p, ""), 0);
	pressure_read(p, &s);
	assert_true(s.level <= PRESSURE_HIGH);
	assert_int_equal(s.level == PRESSURE_NONE, !*s.why);
	pressure_close(p);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/dg-pressure-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int discard(const char *name, const struct stat *st, int type,
		   struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(name);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(root, discard, 16, FTW_DEPTH | FTW_PHYS);
}

#define MACHINE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MACHINE(nothing_says_nothing),
		MACHINE(the_system_runs_out),
		MACHINE(tasks_stall),
		MACHINE(a_cgroup_fills),
		MACHINE(an_ancestor_fills),
		MACHINE(version_one),
		MACHINE(hybrid),
		MACHINE(containers),
		MACHINE(mounts_are_chosen),
		MACHINE(long_names_are_cut),
		MACHINE(the_worst_is_told),
		MACHINE(this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
