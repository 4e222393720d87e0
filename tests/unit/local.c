#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "s3/local.h"
#include "s3/local_path.h"
#include "tests/support/store_contract.h"

static char base[] = "/tmp/dg-local-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static const char *path_of(const char *name)
{
	static char paths[4][256];
	static unsigned turn;
	char *out = paths[turn++ % 4];

	(void)snprintf(out, sizeof(paths[0]), "%s/%s", base, name);
	return out;
}

static int put(struct store *s, const char *key, const char *text,
	       const struct store_call *call)
{
	struct contract_memory m = { (const unsigned char *)text,
				     strlen(text) };
	struct store_source src = contract_source(&m);

	return s->ops->put(s, key, &src, NULL, call, NULL);
}

static void touch(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void paths(void **state)
{
	static const struct {
		const char *key, *path;
	} cases[] = {
		{ "a", "a.object" },
		{ "a/b", "a/b.object" },
		{ "a/", "a/%.object" },
		{ "/", "%/%.object" },
		{ "a//b", "a/%/b.object" },
		{ ".x", "%2Ex.object" },
		{ "..", "%2E..object" },
		{ "x.object", "x.object.object" },
		{ "x.object/y", "x%2Eobject/y.object" },
		{ "a b", "a b.object" },
		{ " a ", "%20a%20.object" },
		{ "50%", "50%25.object" },
		{ "\xc3\xa9", "%C3%A9.object" },
	};
	char path[LOCAL_PATH_MAX];
	char part[LOCAL_NAME_MAX];
	char key[STORE_KEY_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(local_path(path, cases[i].key), 0);
		assert_string_equal(path, cases[i].path);
	}
	memset(key, 0xff, STORE_KEY_MAX);
	key[STORE_KEY_MAX] = '\0';
	assert_int_equal(local_path(path, key), 0);
	memset(key, '/', STORE_KEY_MAX);
	assert_int_equal(local_path(path, key), 0);
	assert_int_equal(local_path_dir(path, "none"), 0);
	assert_string_equal(path, ".");
	assert_int_equal(local_path_dir(path, "a//b"), 0);
	assert_string_equal(path, "a/%");

	assert_int_equal(local_name_decode(part, "a b.object"), LOCAL_OBJECT);
	assert_string_equal(part, "a b");
	assert_int_equal(local_name_decode(part, "%2Ex"), LOCAL_DIR);
	assert_string_equal(part, ".x/");
	assert_int_equal(local_name_decode(part, "%"), LOCAL_DIR);
	assert_string_equal(part, "/");
	assert_int_equal(local_name_decode(part, "%.object"), LOCAL_OBJECT);
	assert_string_equal(part, "");
	/* Names that we never give. */
	assert_int_equal(local_name_decode(part, "%41"), LOCAL_ALIEN);
	assert_int_equal(local_name_decode(part, "%2ex"), LOCAL_ALIEN);
	assert_int_equal(local_name_decode(part, "%00"), LOCAL_ALIEN);
	assert_int_equal(local_name_decode(part, "a%2"), LOCAL_ALIEN);
	assert_int_equal(local_name_decode(part, "a%"), LOCAL_ALIEN);
	assert_int_equal(local_name_decode(part, ".tmp"), LOCAL_ALIEN);
	assert_int_equal(local_name_decode(part, ".object"), LOCAL_ALIEN);
}

static void opens(void **state)
{
	struct store_error error = { 0 };
	struct store *s;
	struct store *t;

	(void)state;
	assert_int_equal(local_new(&s, path_of("no/such"), 5, &error), -ENOENT);
	assert_non_null(strstr(error.text, "no/such"));
	assert_int_equal(local_new(&s, path_of("new"), 5, &error), 0);
	assert_int_equal(local_new(&t, path_of("new"), 5, &error), 0);
	assert_int_equal(s->ops->check(s, NULL), 0);
	t->ops->free(t);
	s->ops->free(s);

	/* Somebody else's directory stays as it is. */
	assert_int_equal(mkdir(path_of("home"), 0700), 0);
	touch(path_of("home/file"), "x");
	assert_int_equal(local_new(&s, path_of("home"), 5, &error), -ENOTEMPTY);
	assert_non_null(strstr(error.text, "home"));
	assert_int_equal(access(path_of("home/.lock"), F_OK), -1);
	assert_int_equal(access(path_of("home/.tmp"), F_OK), -1);

	assert_int_equal(local_new(&s, path_of("home/file"), 5, &error),
			 -ENOTDIR);
	touch(path_of("new/.deltaglider-store"), "format 9\n");
	assert_int_equal(local_new(&s, path_of("new"), 5, &error), -ENOTSUP);
}

static int count_entry(void *arg, const char *key, const struct store_stat *st,
		       int is_prefix)
{
	unsigned *n = arg;

	(void)key;
	(void)st;
	(void)is_prefix;
	++*n;
	return 0;
}

static unsigned entries(struct store *s, int shallow)
{
	struct store_list what = { .prefix = "", .shallow = shallow };
	unsigned n = 0;

	assert_int_equal(s->ops->list(s, &what, NULL, count_entry, &n), 0);
	return n;
}

/* Cut the file, or flip a byte of it. */
static void damage(const char *path, off_t cut, off_t flip)
{
	int fd = open(path, O_RDWR);
	char c;

	assert_true(fd >= 0);
	if (cut >= 0)
		assert_int_equal(ftruncate(fd, cut), 0);
	if (flip >= 0) {
		assert_int_equal(pread(fd, &c, 1, flip), 1);
		c = (char)(c ^ 1);
		assert_int_equal(pwrite(fd, &c, 1, flip), 1);
	}
	close(fd);
}

static void aliens(void **state)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store_call absent = { .if_absent = 1 };
	struct store_stat st;
	struct store *s;

	(void)state;
	assert_int_equal(local_new(&s, path_of("aliens"), 5, NULL), 0);
	assert_int_equal(put(s, "d/good", "x", NULL), 0);
	assert_int_equal(put(s, "flipped", "x", NULL), 0);
	assert_int_equal(put(s, "cut", "xyz", NULL), 0);
	assert_int_equal(put(s, "header", "x", NULL), 0);
	assert_int_equal(put(s, "e/renamed", "x", NULL), 0);
	assert_int_equal(entries(s, 0), 5);
	touch(path_of("aliens/notes.txt"), "mine");
	touch(path_of("aliens/notes.object"), "mine");
	assert_int_equal(mkdir(path_of("aliens/empty"), 0700), 0);
	assert_int_equal(mkdir(path_of("aliens/dir.object"), 0700), 0);
	assert_int_equal(symlink("/", path_of("aliens/root")), 0);
	assert_int_equal(symlink("cut.object", path_of("aliens/l.object")), 0);
	assert_int_equal(mkfifo(path_of("aliens/fifo.object"), 0600), 0);
	damage(path_of("aliens/flipped.object"), -1, 400);
	damage(path_of("aliens/cut.object"), 8194, -1);
	damage(path_of("aliens/header.object"), 100, -1);
	assert_int_equal(rename(path_of("aliens/e/renamed.object"),
				path_of("aliens/e/other.object")),
			 0);
	assert_int_equal(entries(s, 0), 1);
	assert_int_equal(entries(s, 1), 1);
	assert_int_equal(s->ops->head(s, "flipped", &call, &st), -EIO);
	assert_non_null(strstr(error.text, "flipped"));
	assert_int_equal(s->ops->head(s, "cut", NULL, &st), -EIO);
	assert_int_equal(s->ops->head(s, "header", NULL, &st), -EIO);
	assert_int_equal(s->ops->head(s, "e/other", NULL, &st), -EIO);
	assert_int_equal(s->ops->head(s, "l", NULL, &st), -EIO);
	assert_int_equal(s->ops->head(s, "fifo", NULL, &st), -EIO);
	assert_int_equal(s->ops->head(s, "dir", NULL, &st), -EIO);
	assert_int_equal(put(s, "flipped", "y", &absent), -EEXIST);
	assert_int_equal(put(s, "flipped", "y", NULL), 0);
	assert_int_equal(entries(s, 0), 2);
	s->ops->free(s);
}

/* Directories that an object needed go with it, and no others. */
static void parents(void **state)
{
	struct store *s;

	(void)state;
	assert_int_equal(local_new(&s, path_of("parents"), 5, NULL), 0);
	assert_int_equal(put(s, "a/b/c/d", "x", NULL), 0);
	assert_int_equal(put(s, "a/e", "x", NULL), 0);
	assert_int_equal(s->ops->remove(s, "a/b/c/d", NULL), 0);
	assert_int_equal(access(path_of("parents/a/b"), F_OK), -1);
	assert_int_equal(access(path_of("parents/a"), F_OK), 0);
	assert_int_equal(s->ops->remove(s, "a/e", NULL), 0);
	assert_int_equal(access(path_of("parents/a"), F_OK), -1);
	assert_int_equal(s->ops->remove(s, "a/e", NULL), 0);
	s->ops->free(s);
}

/* A dead writer's file is swept, a living one's is not. */
static void sweeps(void **state)
{
	struct store *s;
	int fd;

	(void)state;
	assert_int_equal(local_new(&s, path_of("sweeps"), 5, NULL), 0);
	s->ops->free(s);
	touch(path_of("sweeps/.tmp/dead"), "x");
	touch(path_of("sweeps/.tmp/alive"), "x");
	fd = open(path_of("sweeps/.tmp/alive"), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(local_new(&s, path_of("sweeps"), 5, NULL), 0);
	s->ops->free(s);
	assert_int_equal(access(path_of("sweeps/.tmp/dead"), F_OK), -1);
	assert_int_equal(access(path_of("sweeps/.tmp/alive"), F_OK), 0);
	close(fd);
}

static int soon(void *arg)
{
	int *left = arg;

	return --*left < 0;
}

/* A stopped process that holds the lock does not make us deaf. */
static void lock_is_cancellable(void **state)
{
	int left = 5;
	struct store_call call = { .cancel = soon, .cancel_arg = &left };
	struct store_error error;
	const struct store_call told = { .error = &error };
	struct store *s, *other;
	int fd;

	(void)state;
	assert_int_equal(local_new(&s, path_of("locked"), 1, NULL), 0);
	fd = open(path_of("locked/.lock"), O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(put(s, "k", "x", &call), -EINTR);
	assert_int_equal(s->ops->remove(s, "k", &call), -EINTR);
	/* Nor does it keep us for ever. */
	assert_int_equal(put(s, "k", "x", &told), -ETIMEDOUT);
	assert_non_null(strstr(error.text, "/.lock: locked by another"));
	assert_int_equal(local_new(&other, path_of("locked"), 1, &error),
			 -ETIMEDOUT);
	assert_non_null(strstr(error.text, "/.lock: locked by another"));
	close(fd);
	assert_int_equal(put(s, "k", "x", NULL), 0);
	s->ops->free(s);
}

/* Several processes create and delete in the same directories. */
static void processes(void **state)
{
	struct store_call absent = { .if_absent = 1 };
	struct store *s;
	pid_t pids[4];
	int status;
	int won = 0;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] > 0)
			continue;
		if (local_new(&s, path_of("many"), 5, NULL) != 0)
			_exit(100);
		for (n = 0; n < 50; n++) {
			char key[64];

			(void)snprintf(key, sizeof(key), "a/b/%d/%zu", n % 3,
				       i);
			if (put(s, key, "x", NULL) != 0 ||
			    s->ops->remove(s, key, NULL) != 0)
				_exit(101);
		}
		n = put(s, "once", "x", &absent);
		_exit(n == 0 ? 1 : n == -EEXIST ? 0 : 102);
	}
	for (i = 0; i < 4; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) < 100);
		won += WEXITSTATUS(status);
	}
	assert_int_equal(won, 1);
	assert_int_equal(access(path_of("many/a"), F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(opens),
		cmocka_unit_test(aliens),
		cmocka_unit_test(parents),
		cmocka_unit_test(sweeps),
		cmocka_unit_test(lock_is_cancellable),
		cmocka_unit_test(processes),
	};
	struct store_counters counters;
	struct store *s;
	int failed;

	if (mkdtemp(base) == NULL)
		return 1;
	failed = cmocka_run_group_tests_name("local", tests, NULL, NULL);
	if (local_new(&s, path_of("contract"), 5, NULL) != 0)
		return 1;
	failed += store_contract_run("local: contract", s, "", 9 << 20);
	failed += store_contract_run("local: contract, deeper", s, "p/q/",
				     100000);
	s->ops->count(s, &counters);
	failed += counters.put == 0 || counters.errors == 0;
	s->ops->free(s);
	/* Nothing of it is left but what every store has. */
	failed += remove(path_of("contract/.tmp")) != 0;
	(void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return failed;
}
