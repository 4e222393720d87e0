#include "fs/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Of a cgroup's limit, without its idle page cache.  What is over the limit is
 * first reclaimed from and then killed, at once: with 15 % left there is time
 * to give back, with 7 % there may be no more than one large file's worth.
 */
#define CGROUP_SOME 0.85
#define CGROUP_HIGH 0.93

/*
 * Of the last ten seconds.  A tenth of it with a task that waits for memory is
 * felt; where nothing at all ran for a twentieth, the system has begun to
 * thrash.
 */
#define STALL_SOME 10.0
#define STALL_HIGH 5.0

/*
 * Of all memory, what can be had without swapping.  Systems with earlyoom or
 * systemd-oomd begin to kill at some 5 to 10 %: be done by then.
 */
#define AVAILABLE_SOME 0.08
#define AVAILABLE_HIGH 0.04

/* More than is before what is looked for, in any of the files. */
#define FILE_MAX 8192

#define NAME_LEN 40 /* the end of a cgroup's name, to fit into `why` */

/* What the two versions of cgroups call the same things. */
struct names {
	const char *usage, *limits[2], *idle;
};

/* Without a limit of its own a cgroup of v1 says one of some 2^63. */
static const struct names names_v1 = {
	"memory.usage_in_bytes",
	{ "memory.limit_in_bytes", NULL },
	"total_inactive_file ",
};

static const struct names names_v2 = {
	"memory.current",
	{ "memory.high", "memory.max" },
	"inactive_file ",
};

struct cgroup {
	char dir[PATH_MAX]; /* "" if there is none */
	size_t top; /* so much of it is the mount point */
};

struct pressure {
	char *root;
	struct cgroup v1, v2;
};

/* A line of /proc/self/mountinfo. */
struct mount {
	char *root, *point, *type, *options;
};

static FILE *list_open(const char *root, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", root, name) >= PATH_MAX)
		return NULL;
	return fopen(path, "re");
}

static int has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (;;) {
		size_t n = strcspn(list, ",");

		if (n == len && !memcmp(list, word, n))
			return 1;
		if (!list[n])
			return 0;
		list += n + 1;
	}
}

/* Which cgroup are we in, says "0::/path" for v2, "4:memory:/path" for v1. */
static const char *path_of_line(char *line, int v2)
{
	const char *list;

	line[strcspn(line, "\n")] = '\0';
	(void)strsep(&line, ":");
	list = strsep(&line, ":");
	if (!list || !line || *line != '/')
		return NULL;
	return (v2 ? !*list : has_word(list, "memory")) ? line : NULL;
}

/* "" if there is none. */
static void own_path(const char *root, int v2, char path[PATH_MAX])
{
	FILE *f = list_open(root, "proc/self/cgroup");
	char *line = NULL;
	size_t room = 0;

	*path = '\0';
	if (!f)
		return;
	while (!*path && getline(&line, &room, f) > 0) {
		const char *found = path_of_line(line, v2);

		if (found)
			(void)snprintf(path, PATH_MAX, "%s", found);
	}
	free(line);
	(void)fclose(f);
}

/* "\040" is how a blank is written. */
static void unescape(char *text)
{
	char *out = text;

	while (*text) {
		if (*text == '\\' && strspn(text + 1, "01234567") >= 3) {
			*out++ = (char)((text[1] - '0') << 6 |
					(text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/* Non-zero if it is one. */
static int mount_parse(char *line, struct mount *m)
{
	char *rest = strstr(line, " - ");

	if (!rest)
		return 0;
	*rest = '\0';
	rest += 3;
	rest[strcspn(rest, "\n")] = '\0';
	for (int i = 0; i < 3; i++)
		(void)strsep(&line, " "); /* numbers of it, parent, device */
	m->root = strsep(&line, " ");
	m->point = strsep(&line, " ");
	m->type = strsep(&rest, " ");
	(void)strsep(&rest, " ");
	m->options = rest;
	if (!m->point || !m->options)
		return 0;
	unescape(m->root);
	unescape(m->point);
	return 1;
}

/* What is left of `path` below `root`: "", "/...", or NULL if it is elsewhere. */
static const char *below(const char *path, const char *root)
{
	size_t len = strcmp(root, "/") != 0 ? strlen(root) : 0;

	if (strncmp(path, root, len) != 0)
		return NULL;
	path += len;
	/* "/..": outside of the namespace that the process sees. */
	if ((*path && *path != '/') || !strncmp(path, "/..", 3))
		return NULL;
	return strcmp(path, "/") != 0 ? path : "";
}

/*
 * Where is the cgroup `path` in this mount?  Non-zero if it is there.  If not,
 * as in a container that sees its own part only, the mount point stands in.
 */
static int cgroup_place(struct cgroup *c, const char *root,
			const struct mount *m, const char *path)
{
	const char *rest = below(path, m->root);
	char dir[PATH_MAX];
	struct stat st;
	int top = snprintf(dir, sizeof(dir), "%s%s", root, m->point);

	if (top < 0 || top >= PATH_MAX)
		return 0;
	if (!*c->dir) {
		memcpy(c->dir, dir, (size_t)top + 1);
		c->top = (size_t)top;
	}
	if (!rest || strlen(rest) >= sizeof(dir) - (size_t)top)
		return 0;
	memcpy(dir + top, rest, strlen(rest) + 1);
	if (stat(dir, &st) || !S_ISDIR(st.st_mode))
		return 0;
	memcpy(c->dir, dir, strlen(dir) + 1);
	c->top = (size_t)top;
	return 1;
}

static void cgroup_find(struct cgroup *c, const char *root, int v2)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	int found = 0;
	FILE *f;

	own_path(root, v2, path);
	if (!*path)
		return;
	f = list_open(root, "proc/self/mountinfo");
	if (!f)
		return;
	while (!found && getline(&line, &room, f) > 0) {
		struct mount m;

		if (!mount_parse(line, &m))
			continue;
		if (v2 ? !strcmp(m.type, "cgroup2")
		       : !strcmp(m.type, "cgroup") &&
				    has_word(m.options, "memory"))
			found = cgroup_place(c, root, &m, path);
	}
	free(line);
	(void)fclose(f);
}

int pressure_open(struct pressure **out, const char *root)
{
	struct pressure *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->root = strdup(root);
	if (!p->root) {
		free(p);
		return -ENOMEM;
	}
	cgroup_find(&p->v1, root, 0);
	cgroup_find(&p->v2, root, 1);
	*out = p;
	return 0;
}

void pressure_close(struct pressure *p)
{
	if (!p)
		return;
	free(p->root);
	free(p);
}

/* As much of a file as there is room for.  Non-zero if it can be read. */
static int slurp(const char *dir, const char *name, char text[FILE_MAX])
{
	char path[PATH_MAX];
	size_t len = 0;
	ssize_t n = 1;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_MAX)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while (n > 0 && len < FILE_MAX - 1) {
		n = read(fd, text + len, FILE_MAX - 1 - len);
		if (n > 0)
			len += (size_t)n;
	}
	(void)close(fd);
	text[len] = '\0';
	return n >= 0;
}

/* The number behind `key`, which begins a line.  Non-zero if there is one. */
static int number(const char *text, const char *key, double *out)
{
	size_t len = strlen(key);
	double v;
	char *end;

	while (strncmp(text, key, len) != 0) {
		text = strchr(text, '\n');
		if (!text)
			return 0;
		text++;
	}
	v = strtod(text + len, &end);
	if (end == text + len || !(v >= 0))
		return 0; /* "max" is none */
	*out = v;
	return 1;
}

static int file_number(const char *dir, const char *name, double *out)
{
	char text[FILE_MAX];

	return slurp(dir, name, text) && number(text, "", out);
}

/* The worst counts; of what is as bad, the first. */
__attribute__((format(printf, 3, 4))) static void
report(struct pressure_state *s, enum pressure_level level, const char *fmt,
       ...)
{
	va_list ap;

	if (level <= s->level)
		return;
	s->level = level;
	va_start(ap, fmt);
	(void)vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
}

static enum pressure_level level_of(double v, double some, double high)
{
	if (v >= high)
		return PRESSURE_HIGH;
	return v >= some ? PRESSURE_SOME : PRESSURE_NONE;
}

static void ask_level(const char *dir, const char *name,
		      const struct names *names, struct pressure_state *out)
{
	double used, v, limit = 0, idle = 0, part;
	char text[FILE_MAX];
	size_t len;

	for (size_t i = 0; i < 2 && names->limits[i]; i++)
		if (file_number(dir, names->limits[i], &v) &&
		    (limit <= 0 || v < limit))
			limit = v;
	if (limit <= 0 || !file_number(dir, names->usage, &used))
		return;
	if (slurp(dir, "memory.stat", text))
		(void)number(text, names->idle, &idle); /* else it is 0 */
	used = used > idle ? used - idle : 0;
	part = used / limit;
	if (limit < (double)out->limit)
		out->limit = (uint64_t)limit;
	if (used >= CGROUP_SOME * limit)
		out->room = 0;
	else if (CGROUP_SOME * limit - used < (double)out->room)
		out->room = (uint64_t)(CGROUP_SOME * limit - used);
	len = strlen(name);
	report(out, level_of(part, CGROUP_SOME, CGROUP_HIGH),
	       "cgroup %s%s at %.0f %% of its limit",
	       len > NAME_LEN ? "..." : "",
	       len > NAME_LEN ? name + len - NAME_LEN : name, 100 * part);
}

/* The cgroup and all above it: any of them may have the limit. */
static void ask_cgroup(const struct cgroup *c, const struct names *names,
		       struct pressure_state *out)
{
	char dir[PATH_MAX];
	char *name = dir + c->top;

	if (!*c->dir)
		return;
	memcpy(dir, c->dir, sizeof(dir));
	while (*name) {
		ask_level(dir, name, names, out);
		*strrchr(name, '/') = '\0';
	}
	ask_level(dir, "/", names, out);
}

static void ask_stalls(const struct pressure *p, struct pressure_state *out)
{
	char text[FILE_MAX];
	double v;

	if (!slurp(p->root, "proc/pressure/memory", text))
		return;
	if (number(text, "full avg10=", &v) && v >= STALL_HIGH)
		report(out, PRESSURE_HIGH,
		       "PSI: %.0f %% of the time all stalled", v);
	if (number(text, "some avg10=", &v) && v >= STALL_SOME)
		report(out, PRESSURE_SOME, "PSI: %.0f %% of the time stalled",
		       v);
}

static void ask_system(const struct pressure *p, struct pressure_state *out)
{
	double total, available;
	char text[FILE_MAX];

	if (!slurp(p->root, "proc/meminfo", text) ||
	    !number(text, "MemTotal:", &total) || total <= 0 ||
	    !number(text, "MemAvailable:", &available))
		return;
	available /= total;
	report(out, level_of(-available, -AVAILABLE_SOME, -AVAILABLE_HIGH),
	       "%.0f %% of memory available", 100 * available);
}

void pressure_read(const struct pressure *p, struct pressure_state *out)
{
	*out = (struct pressure_state){ .level = PRESSURE_NONE,
					.room = UINT64_MAX,
					.limit = UINT64_MAX };
	ask_cgroup(&p->v2, &names_v2, out);
	ask_cgroup(&p->v1, &names_v1, out);
	ask_stalls(p, out);
	ask_system(p, out);
}
