#include "fs/attr.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "s3/meta.h"
#include "s3/store.h"

#define TEXT_MAX 48

struct timespec attr_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t;
}

int attr_time_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* "1700000000", "1700000000.5", "-3.25".  0 or -EINVAL. */
static int read_time(const char *text, struct timespec *out)
{
	long nsec = 0, place = 100000000;
	const char *p;
	char *end;
	long long sec;

	errno = 0;
	sec = strtoll(text, &end, 10);
	if (errno || end == text || sec == LLONG_MIN)
		return -EINVAL;
	p = end;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, place /= 10)
			nsec += (*p - '0') * place;
	if (*p)
		return -EINVAL;
	if (*text == '-' && nsec) {
		sec--;
		nsec = 1000000000 - nsec;
	}
	out->tv_sec = (time_t)sec;
	out->tv_nsec = nsec;
	return 0;
}

static void write_time(const struct timespec *t, char out[TEXT_MAX])
{
	long long sec = t->tv_sec;
	long nsec = t->tv_nsec;
	const char *sign = "";

	if (sec < 0 && nsec) {
		sec++;
		nsec = 1000000000 - nsec;
		if (!sec)
			sign = "-";
	}
	(void)snprintf(out, TEXT_MAX, "%s%lld.%09ld", sign, sec, nsec);
}

static int read_number(const struct meta *m, const char *name, uint64_t max,
		       uint64_t *out)
{
	char text[TEXT_MAX], *end;
	unsigned long long v;

	if (meta_get(m, name, text, sizeof(text)))
		return -ENOENT;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v > max)
		return -EINVAL;
	*out = v;
	return 0;
}

static void read_stamp(const struct meta *m, const char *name,
		       struct timespec *out)
{
	char text[TEXT_MAX];

	if (!meta_get(m, name, text, sizeof(text)))
		/* Not a time: the fallback stays. */
		(void)!read_time(text, out);
}

/* Types that are an object of their own, be it an empty one. */
static int is_file_type(mode_t mode)
{
	return S_ISREG(mode) || S_ISLNK(mode) || S_ISFIFO(mode) ||
	       S_ISSOCK(mode) || S_ISCHR(mode) || S_ISBLK(mode);
}

static int is_device(mode_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

/* "8,1".  0 or -EINVAL: then it is no device. */
static int read_device(const struct meta *m, dev_t *out)
{
	char text[TEXT_MAX], *text2, *end;
	unsigned long first, second;

	if (meta_get(m, "dg-rdev", text, sizeof(text)))
		return -EINVAL;
	errno = 0;
	first = strtoul(text, &end, 10);
	if (errno || end == text || *end != ',' || first > UINT32_MAX)
		return -EINVAL;
	text2 = end + 1;
	second = strtoul(text2, &end, 10);
	if (errno || end == text2 || *end || second > UINT32_MAX)
		return -EINVAL;
	*out = makedev((unsigned)first, (unsigned)second);
	return 0;
}

void attr_assume(struct attr *a, const struct attr_defaults *d, int directory)
{
	if (a->assumed & ATTR_MODE)
		a->mode = directory ? S_IFDIR | d->dir_mode
				    : S_IFREG | d->file_mode;
	if (a->assumed & ATTR_UID)
		a->uid = d->uid;
	if (a->assumed & ATTR_GID)
		a->gid = d->gid;
}

void attr_read(struct attr *out, const struct store_stat *st,
	       const struct attr_defaults *d, int directory)
{
	mode_t type = directory ? S_IFDIR : S_IFREG;
	uint64_t n;

	*out = (struct attr){ .mtime = st->mtime, .assumed = ATTR_ALL };
	attr_assume(out, d, directory);
	if (!read_number(&st->meta, "mode", 0177777, &n)) {
		mode_t mode = (mode_t)n;

		out->assumed &= ~(unsigned)ATTR_MODE;
		/* s3fs writes it with a type; what has none, or another, is a file. */
		if (is_file_type(mode) || S_ISDIR(mode))
			out->mode = mode;
		else
			out->mode = type | (mode & 07777);
		if (directory != !!S_ISDIR(out->mode))
			out->mode = type | (mode & 07777);
		if (is_device(out->mode) && read_device(&st->meta, &out->rdev))
			out->mode = type | (mode & 07777);
	}
	if (!read_number(&st->meta, "uid", UINT32_MAX - 1, &n)) {
		out->uid = (uid_t)n;
		out->assumed &= ~(unsigned)ATTR_UID;
	}
	if (!read_number(&st->meta, "gid", UINT32_MAX - 1, &n)) {
		out->gid = (gid_t)n;
		out->assumed &= ~(unsigned)ATTR_GID;
	}
	read_stamp(&st->meta, "mtime", &out->mtime);
	out->atime = out->ctime = out->mtime;
	read_stamp(&st->meta, "atime", &out->atime);
	read_stamp(&st->meta, "ctime", &out->ctime);
}

int attr_write(const struct attr *a, struct meta *m)
{
	const struct {
		const char *name;
		const struct timespec *t;
	} times[] = { { "mtime", &a->mtime },
		      { "atime", &a->atime },
		      { "ctime", &a->ctime } };
	const struct {
		const char *name;
		unsigned v;
	} numbers[] = { { "mode", a->mode },
			{ "uid", a->uid },
			{ "gid", a->gid } };
	char text[TEXT_MAX];
	int err = 0;

	for (size_t i = 0; !err && i < 3; i++) {
		(void)snprintf(text, sizeof(text), "%u", numbers[i].v);
		err = meta_set(m, numbers[i].name, text);
	}
	for (size_t i = 0; !err && i < 3; i++) {
		write_time(times[i].t, text);
		err = meta_set(m, times[i].name, text);
	}
	if (!err && is_device(a->mode)) {
		(void)snprintf(text, sizeof(text), "%u,%u", major(a->rdev),
			       minor(a->rdev));
		err = meta_set(m, "dg-rdev", text);
	}
	return err ? -ENOSPC : 0;
}
