/*
 * Whatever somebody does to the files of a cache directory, each reference is
 * read right, at once, and within the limit.
 *
 *	flags | steps ...
 *
 * Flags: 1: opened with another key than what is there; the rest / 2: so many
 * steps are done before it is opened, the others while it is in use.  A step is
 * what to do, to which file, and what that needs: see step().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/cachekey.h"
#include "cache/reffile.h"
#include "tests/support/cacheuse.h"

#define REFS      3
#define STEPS     24
#define LONGEST   60
#define EACH(len) ((reffile_size(len) + 4095) / 4096 * 4096 + 4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t lens[REFS] = { 777, 5000, 66000 };

static struct {
	char path[64];
	char precious[80]; /* a file beside it, which must stay as it is */
	struct cacheuse u;
	struct aead_key key, other;
	struct known k[REFS];
	/* What lies in it before anybody touches it. */
	struct bytes image[REFS + 1];
	char name[REFS + 1][LONGEST];
} all;

static void must(int holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "not so: %s\n", what);
	abort();
}
#define MUST(what) must((what) != 0, #what)

struct input {
	const uint8_t *p, *end;
};

static unsigned byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static unsigned number(struct input *in)
{
	unsigned high = byte(in);

	return high << 8 | byte(in);
}

/* The next bytes: up to `most`, as many as the first says, and there are. */
static const uint8_t *piece(struct input *in, size_t most, size_t *len)
{
	const uint8_t *p;

	*len = byte(in);
	if (*len > most)
		*len = most;
	p = in->p;
	if (*len > (size_t)(in->end - p))
		*len = (size_t)(in->end - p);
	in->p += *len;
	return p;
}

static void name_pick(struct input *in, char out[LONGEST])
{
	static const char *const others[] = {
		"space",
		"lock",
		"alien",
		"0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdef.part",
		"0123456789abcdef.doomed",
	};
	const size_t count = sizeof(others) / sizeof(others[0]);
	unsigned which = byte(in);
	const uint8_t *text;
	struct stat st;
	size_t len;

	if (which < 0x40) {
		(void)snprintf(out, LONGEST, "%s", all.name[which % REFS]);
	} else if (which < 0x60) {
		(void)snprintf(out, LONGEST, "%.40s.part",
			       all.name[which % REFS]);
	} else if (which < 0x70) {
		st.st_ino = 0;
		(void)fstatat(all.u.dirfd, all.name[which % REFS], &st,
			      AT_SYMLINK_NOFOLLOW);
		(void)snprintf(out, LONGEST, "%016llx.doomed",
			       (unsigned long long)st.st_ino);
	} else if (which < 0xe0) {
		(void)snprintf(out, LONGEST, "%s", others[which % count]);
	} else {
		text = piece(in, LONGEST - 2, &len);
		out[0] = 'x';
		memcpy(out + 1, text, len);
		for (size_t i = 1; i <= len; i++)
			if (out[i] == '/' || !out[i])
				out[i] = '_';
		out[len + 1] = '\0';
		/* Any, but "." and "..": the first letter is there for those. */
		if (len && out[1] != '.')
			memmove(out, out + 1, len + 1);
	}
}

static void overwrite(struct input *in, const char *name)
{
	int fd = openat(all.u.dirfd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
	unsigned at = number(in);
	size_t len;
	const uint8_t *what = piece(in, 64, &len);

	if (fd < 0)
		return;
	(void)!pwrite(fd, what, len, at);
	(void)close(fd);
}

/* Flip bits where there are bytes. */
static void flip(struct input *in, const char *name)
{
	int fd = openat(all.u.dirfd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
	unsigned at = number(in), bits = byte(in);
	struct stat st;
	uint8_t c;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size &&
	    pread(fd, &c, 1, at % st.st_size) == 1) {
		c ^= (uint8_t)(bits ? bits : 1);
		(void)!pwrite(fd, &c, 1, at % st.st_size);
	}
	(void)close(fd);
}

static void resize(struct input *in, const char *name, int longer)
{
	int fd = openat(all.u.dirfd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
	unsigned by = number(in);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st))
		(void)!ftruncate(fd, longer ? st.st_size + by
					    : by % (st.st_size + 1));
	(void)close(fd);
}

static void plant_file(struct input *in, const char *name)
{
	size_t len;
	const uint8_t *what = piece(in, 255, &len);
	int fd;

	(void)unlinkat(all.u.dirfd, name, 0);
	fd = openat(all.u.dirfd, name,
		    O_CREAT | O_WRONLY | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return;
	(void)!write(fd, what, len);
	(void)close(fd);
}

static void plant_directory(const char *name, int full)
{
	int fd;

	(void)unlinkat(all.u.dirfd, name, 0);
	if (mkdirat(all.u.dirfd, name, 0700) < 0 || !full)
		return;
	fd = openat(all.u.dirfd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return;
	(void)!mknodat(fd, "inside", S_IFREG | 0600, 0);
	(void)close(fd);
}

/* A file made anew where another is opened: not a link to it. */
static void copy(const char *from, const char *to)
{
	int in = openat(all.u.dirfd, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	static uint8_t buf[1 << 17];
	ssize_t n;
	int out;

	if (in < 0)
		return;
	n = read(in, buf, sizeof(buf));
	(void)close(in);
	out = openat(all.u.dirfd, to, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW,
		     0600);
	if (out < 0)
		return;
	if (n > 0)
		(void)!write(out, buf, (size_t)n);
	(void)close(out);
}

static void step(struct input *in)
{
	unsigned what = byte(in);
	char name[LONGEST], other[LONGEST];
	int dir = all.u.dirfd;

	name_pick(in, name);
	switch (what % 16) {
	case 0:
		overwrite(in, name);
		break;
	case 1:
	case 2:
		flip(in, name);
		break;
	case 3:
		resize(in, name, 0);
		break;
	case 4:
		resize(in, name, 1);
		break;
	case 5: /* swap */
		name_pick(in, other);
		(void)renameat2(dir, name, dir, other, RENAME_EXCHANGE);
		break;
	case 6:
		name_pick(in, other);
		(void)renameat(dir, name, dir, other);
		break;
	case 7:
		if (unlinkat(dir, name, 0) < 0)
			(void)unlinkat(dir, name, AT_REMOVEDIR);
		break;
	case 8:
		plant_file(in, name);
		break;
	case 9:
		(void)unlinkat(dir, name, 0);
		(void)!symlinkat(byte(in) % 2 ? all.precious : "nowhere", dir,
				 name);
		break;
	case 10:
		plant_directory(name, byte(in) % 2);
		break;
	case 11:
		(void)unlinkat(dir, name, 0);
		(void)!mknodat(dir, name,
			       (byte(in) % 2 ? S_IFIFO : S_IFSOCK) | 0600, 0);
		break;
	case 12:
		name_pick(in, other);
		copy(name, other);
		break;
	case 13: /* one file under two names */
		name_pick(in, other);
		(void)!linkat(dir, name, dir, other, 0);
		break;
	case 14:
		plant_file(in, byte(in) % 2 ? "space" : "lock");
		break;
	default: /* the oldest goes first */
		(void)utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW);
	}
}

static void put_right(void)
{
	for (unsigned i = 0; i <= REFS; i++) {
		int fd = openat(all.u.dirfd, all.name[i],
				O_CREAT | O_EXCL | O_WRONLY, 0600);

		MUST(fd >= 0);
		MUST(write(fd, all.image[i].data, all.image[i].len) ==
		     (ssize_t)all.image[i].len);
		(void)close(fd);
	}
}

static void keep_image(unsigned i)
{
	int fd = openat(all.u.dirfd, all.name[i], O_RDONLY);
	struct stat st;

	MUST(fd >= 0 && !fstat(fd, &st));
	MUST(!bytes_reserve(&all.image[i], (size_t)st.st_size));
	all.image[i].len = (size_t)st.st_size;
	MUST(read(fd, all.image[i].data, all.image[i].len) == st.st_size);
	(void)close(fd);
}

static void tidy_up(void)
{
	cacheuse_empty(all.u.dirfd);
	(void)rmdir(all.path);
	(void)unlink(all.precious);
	(void)close(all.u.dirfd);
	for (unsigned i = 0; i < REFS; i++)
		known_clear(&all.k[i]);
	for (unsigned i = 0; i <= REFS; i++)
		bytes_clear(&all.image[i]);
}

/* Once: a directory as this program leaves it. */
static void begin(void)
{
	const char *base =
		access("/dev/shm", W_OK) ? getenv("TMPDIR") : "/dev/shm";
	struct cachekey *key;
	int fd;

	(void)snprintf(all.path, sizeof(all.path), "%.30s/dg-fuzz-XXXXXX",
		       base ? base : "/tmp");
	MUST(mkdtemp(all.path));
	(void)snprintf(all.precious, sizeof(all.precious), "%s.precious",
		       all.path);
	fd = open(all.precious, O_CREAT | O_EXCL | O_WRONLY, 0600);
	MUST(fd >= 0 && write(fd, "precious", 8) == 8);
	(void)close(fd);
	all.u.dirfd = open(all.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(all.u.dirfd >= 0);
	/* The same in each run, and with them the names. */
	memset(&all.key, 1, sizeof(all.key));
	memset(&all.other, 2, sizeof(all.other));
	all.u.limit = 40 << 10;
	MUST(!cachekey_new(&key, &all.key));
	for (unsigned i = 0; i < REFS; i++) {
		all.u.limit += EACH(lens[i]);
		MUST(!known_init(&all.k[i], i, lens[i]));
		MUST(!cachekey_name(key, all.k[i].digest, lens[i],
				    all.name[i]));
	}
	cachekey_put(key);
	MUST(!cacheuse_open(&all.u, &all.key));
	for (unsigned i = 0; i < REFS; i++)
		MUST(!cacheuse_see(&all.u, &all.k[i]));
	cacheuse_leave(&all.u);
	(void)snprintf(all.name[REFS], sizeof(all.name[REFS]), "space");
	for (unsigned i = 0; i <= REFS; i++)
		keep_image(i);
	cacheuse_empty(all.u.dirfd);
	(void)atexit(tidy_up);
}

static void see_all(void)
{
	time_t since = time(NULL);

	for (unsigned i = 0; i < REFS; i++) {
		int err = cacheuse_see(&all.u, &all.k[i]);

		/* A damaged page is found when it is read; then it is gone. */
		if (err == -EBADMSG)
			err = cacheuse_see(&all.u, &all.k[i]);
		MUST(!err);
	}
	MUST(time(NULL) - since < 8); /* there is nobody to be waited for */
}

static void nothing_but_ours(void *arg, int dirfd, const char *name)
{
	struct stat st, space;

	(void)arg;
	if (!strcmp(name, "space") || !strcmp(name, "lock") ||
	    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	MUST(!fstatat(dirfd, "space", &space, AT_SYMLINK_NOFOLLOW));
	/* With something in it, a directory is not ours to empty. */
	MUST(S_ISDIR(st.st_mode) || st.st_ino == space.st_ino);
}

static void outside_is_as_it_was(void)
{
	int fd = open(all.precious, O_RDONLY);
	char text[9];

	MUST(fd >= 0 && read(fd, text, 9) == 8 && !memcmp(text, "precious", 8));
	(void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned flags, before, steps = 0;

	if (!all.u.limit)
		begin();
	put_right();
	flags = byte(&in);
	for (before = flags / 2; before && in.p < in.end && steps < STEPS;
	     before--, steps++)
		step(&in);
	MUST(!cacheuse_open(&all.u, flags % 2 ? &all.other : &all.key));
	if (in.p == in.end) {
		see_all();
		MUST(cacheuse_disk(all.u.dirfd) <= all.u.limit);
	}
	for (; in.p < in.end && steps < STEPS; steps++) {
		step(&in);
		see_all();
	}
	cacheuse_leave(&all.u);

	MUST(!cacheuse_open(&all.u, &all.key));
	MUST(cacheuse_disk(all.u.dirfd) <= all.u.limit);
	see_all();
	MUST(cacheuse_disk(all.u.dirfd) <= all.u.limit);
	MUST(!refs_clear(all.u.refs));
	MUST(!cacheuse_each(all.u.dirfd, nothing_but_ours, NULL));
	cacheuse_leave(&all.u);
	outside_is_as_it_was();
	cacheuse_empty(all.u.dirfd);
	return 0;
}
