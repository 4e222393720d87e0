/* Where the master key comes from, in whatever spelling, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "fs/keysource.h"
#include "fs/keytext.h"

#define STANDARD "+/+//u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv0="
#define URL_SAFE "-_-__u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv0="
#define DOUBLED  "Ky8rLy91OEZCZ2NJQ1FvTERBME9EeEFSRWhNVUZSWVhHQmthR3h3ZEh2MD0="

static const uint8_t key[AEAD_KEY_LEN] = { 0xfb, 0xff, 0xbf, 0xfe, 0xef, 5,  6,
					   7,    8,    9,    10,   11,   12, 13,
					   14,   15,   16,   17,   18,   19, 20,
					   21,   22,   23,   24,   25,   26, 27,
					   28,   29,   30,   0xfd };

static char dir[] = "/tmp/dg-keysource-XXXXXX";
static char path[sizeof(dir) + 16];

static const struct keysource key_file = { KEYSOURCE_FILE, path };

/* No eight characters of the text are in the message, which is one line. */
static void tells_nothing(const char *why, const char *text)
{
	size_t len = strlen(text);

	assert_true(strlen(why) > 10);
	assert_null(strchr(why, '\n'));
	for (size_t i = 0; i + 8 <= len; i++)
		assert_null(memmem(why, strlen(why), text + i, 8));
}

static void gives_the_key(const struct keysource *s)
{
	char why[OPTION_WHY] = "";
	struct aead_key out;

	if (keysource_load(s, &out, why))
		fail_msg("%s: %s", s->what, why);
	assert_memory_equal(out.bytes, key, sizeof(key));
}

static void fails_within(const struct keysource *s, int limit_ms, int err,
			 const char *says)
{
	char why[OPTION_WHY] = "";
	struct aead_key out, before;

	memset(&out, 0x5a, sizeof(out));
	before = out;
	assert_int_equal(keysource_load_within(s, limit_ms, &out, why), err);
	if (!strstr(why, says))
		fail_msg("\"%s\" does not say \"%s\"", why, says);
	tells_nothing(why, STANDARD);
	assert_memory_equal(&out, &before, sizeof(out));
}

static void fails(const struct keysource *s, int err, const char *says)
{
	fails_within(s, 5000, err, says);
}

static void texts_are_read(void **state)
{
	static const char *const good[] = {
		STANDARD, URL_SAFE,
		"+/+//u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv0", STANDARD "\n",
		" \t" URL_SAFE "\r\n\n", DOUBLED, DOUBLED "\n",
		/* URL-safe, then standard */
		"LV8tX191OEZCZ2NJQ1FvTERBME9EeEFSRWhNVUZSWVhHQmthR3h3ZEh2MD0=",
		/* of a file, with the end of its line */
		"Ky8rLy91OEZCZ2NJQ1FvTERBME9EeEFSRWhNVUZSWVhHQmthR3h3ZEh2MD0K",
		"Ky8rLy91OEZCZ2NJQ1FvTERBME9EeEFSRWhNVUZSWVhHQmthR3h3ZEh2MAo="
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		gives_the_key(
			&(struct keysource){ KEYSOURCE_ENVIRONMENT, good[i] });
}

static void texts_are_refused(void **state)
{
	static const struct {
		const char *text;
		int err;
	} bad[] = {
		{ "", -ENODATA },
		{ " \n", -ENODATA },
		{ "password", -EINVAL },
		{ STANDARD "x", -EINVAL },
		{ STANDARD "=", -EINVAL },
		{ STANDARD " " STANDARD, -EINVAL },
		{ "\"" STANDARD "\"", -EINVAL },
		/* 42 and 44 digits, 44 characters with two of padding */
		{ "+/+//u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv", -EINVAL },
		{ "+/+//u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv0A", -EINVAL },
		{ "+/+//u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv==", -EINVAL },
		/* bits left over, in and out */
		{ "+/+//u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv1=", -EINVAL },
		{ "+/+//u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv2", -EINVAL },
		{ "Ky8rLy91OEZCZ2NJQ1FvTERBME9EeEFSRWhNVUZSWVhHQmthR3h3ZEh2MD1=",
		  -EINVAL },
		/* a blank, a strange digit, a padding inside */
		{ "+/+//u8FBgcICQoLDA0 DxAREhMUFRYXGBkaGxwdHv0=", -EINVAL },
		{ "+/+//u8FBgcICQoLDA0.DxAREhMUFRYXGBkaGxwdHv0=", -EINVAL },
		{ "+/+//u8FBgcICQoLDA0=DxAREhMUFRYXGBkaGxwdHv0=", -EINVAL },
		/* inside: 43 characters */
		{ "Ky8rLy91OEZCZ2NJQ1FvTERBME9EeEFSRWhNVUZSWVhHQmthR3h3ZEh2MA==",
		  -EINVAL },
		/* hexadecimal */
		{ "fbffbffeef05060708090a0b0c0d0e0f101112131415161718191a1b1c1d1efd",
		  -EINVAL },
	};
	char long_text[6000];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		fails(&(struct keysource){ KEYSOURCE_ENVIRONMENT, bad[i].text },
		      bad[i].err, "the environment ($DG_CACHE_ENCRYPTION_KEY)");
	memset(long_text, 'A', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	fails(&(struct keysource){ KEYSOURCE_ENVIRONMENT, long_text }, -EINVAL,
	      "44 characters");
}

static void weak_keys_are_refused(void **state)
{
	static const char *const weak[] = {
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"__________________________________________8="
	};

	(void)state;
	for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++)
		fails(&(struct keysource){ KEYSOURCE_ENVIRONMENT, weak[i] },
		      -EINVAL, "all the same");
}

static void keys_are_made(void **state)
{
	char a[KEYTEXT_SIZE], b[KEYTEXT_SIZE], why[OPTION_WHY];
	const struct keysource from_a = { KEYSOURCE_ENVIRONMENT, a };
	const struct keysource random = { KEYSOURCE_EPHEMERAL, NULL };
	struct aead_key x, y;

	(void)state;
	/* Every bit of the last digits, both ways. */
	for (int i = 0; i < 100; i++) {
		assert_int_equal(keytext_make(a), 0);
		assert_int_equal(strlen(a), 44);
		assert_int_equal(keysource_load(&from_a, &x, why), 0);
	}
	assert_int_equal(keytext_make(b), 0);
	assert_string_not_equal(a, b);

	assert_int_equal(keysource_load(&random, &x, why), 0);
	assert_int_equal(keysource_load(&random, &y, why), 0);
	assert_memory_not_equal(&x, &y, sizeof(x));
}

static void write_file(const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void files_are_read(void **state)
{
	char name[sizeof(path) + 8];
	const struct keysource link = { KEYSOURCE_FILE, name };

	(void)state;
	write_file(key, sizeof(key), 0600);
	gives_the_key(&key_file);
	write_file(STANDARD "\n", sizeof(STANDARD), 0400);
	gives_the_key(&key_file);
	(void)snprintf(name, sizeof(name), "%s-link", path);
	assert_int_equal(symlink(path, name), 0);
	gives_the_key(&link);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(unlink(path), 0);
}

static void files_are_refused(void **state)
{
	static const mode_t open_modes[] = { 0644, 0640, 0620, 0604, 0601 };
	static const char zeros[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(open_modes) / sizeof(mode_t); i++) {
		write_file(STANDARD, 44, open_modes[i]);
		fails(&key_file, -EACCES, "chmod 600");
	}
	write_file(STANDARD, 44, 0644);
	fails(&key_file, -EACCES, "others may read it (mode 0644)");
	fails(&key_file, -EACCES, path);
	write_file("", 0, 0600);
	fails(&key_file, -ENODATA, path);
	write_file(key, sizeof(key) - 1, 0600);
	fails(&key_file, -EINVAL, path);
	write_file(zeros, AEAD_KEY_LEN, 0600);
	fails(&key_file, -EINVAL, "all the same");
	write_file(zeros, 4096, 0600);
	fails(&key_file, -EINVAL, "44 characters");
	write_file(zeros, 4097, 0600);
	fails(&key_file, -EFBIG, "more than 4096 bytes");
	if (!geteuid()) {
		write_file(STANDARD, 44, 0600);
		assert_int_equal(chown(path, 12345, 0), 0);
		fails(&key_file, -EPERM, "user 12345");
	}
	assert_int_equal(unlink(path), 0);
	fails(&key_file, -ENOENT, path);
	assert_int_equal(mkfifo(path, 0600), 0);
	fails(&key_file, -EINVAL, "not a regular file");
	assert_int_equal(unlink(path), 0);
	fails(&(struct keysource){ KEYSOURCE_FILE, dir }, -EINVAL,
	      "not a regular file");
	fails(&(struct keysource){ KEYSOURCE_FILE, "/no\nsuch" }, -ENOENT,
	      "/no?such");
}

/* Nobody is left to be waited for, and no descriptor to be closed. */
static int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	assert_int_equal(closedir(d), 0);
	return n;
}

static void leaves_nothing(int descriptors_before)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(descriptors(), descriptors_before);
}

static void commands_are_run(void **state)
{
	static const char *const good[] = {
		"printf " STANDARD,
		"  /usr/bin/printf\t" STANDARD "  \n",
		"'printf' \"" STANDARD "\"",
		/* with a newline in front, by printf's own means */
		"printf %b \"\\\\n\"" STANDARD,
		"printf +'/'+\"/\"\\/u8FBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv0=",
		"sh -c 'echo " DOUBLED "'",
		/* no input */
		"sh -c 'read x && exit 1; echo " STANDARD "'",
		/* in pieces */
		"sh -c 'printf %s +/+//u8FBgcICQoLDA0O; sleep 0.05;"
		"printf %s DxAREhMUFRYXGBkaGxwdHv0='",
		/* it ends after its output does */
		"sh -c 'echo " STANDARD "; exec >&-; sleep 0.05'",
	};
	int before = descriptors();

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		gives_the_key(
			&(struct keysource){ KEYSOURCE_COMMAND, good[i] });
		leaves_nothing(before);
	}
}

/* The words as a program gets them. */
static void lines_are_split(void **state)
{
	static const struct {
		const char *line, *words;
	} lines[] = {
		{ "a  b", "<a><b>" },
		{ " 'a b'\tc ", "<a b><c>" },
		{ "'' \"\"", "<><>" },
		{ "a\\ b \\'c", "<a b><'c>" },
		{ "'a\\b' \"a\\b\" \"a\\\"b\\\\\"", "<a\\b><a\\b><a\"b\\>" },
		{ "\"a'b\"'c\"d'e", "<a'bc\"de>" },
		{ "$HOME `id` * ~ a|b #c", "<$HOME><`id`><*><~><a|b><#c>" },
		{ "\"\\$x\\`\"", "<$x`>" },
	};
	char line[400], script[200];
	const struct keysource s = { KEYSOURCE_COMMAND, line };

	(void)state;
	/* Gives the key if its words are as the file says. */
	(void)snprintf(script, sizeof(script),
		       "sh -c '"
		       "w=; for a; do w=\"$w<$a>\"; done;"
		       "[ \"$w\" = \"$(cat %s)\" ] && echo " STANDARD "' x ",
		       path);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		write_file(lines[i].words, strlen(lines[i].words), 0600);
		(void)snprintf(line, sizeof(line), "%s%s", script,
			       lines[i].line);
		gives_the_key(&s);
	}
	assert_int_equal(unlink(path), 0);
}

static void commands_fail(void **state)
{
	static const struct {
		const char *line;
		int err;
		const char *says;
	} bad[] = {
		{ "", -EINVAL, "empty" },
		{ " \t", -EINVAL, "empty" },
		{ "''", -EINVAL, "empty" },
		{ "echo 'a", -EINVAL, "quote" },
		{ "echo \"a", -EINVAL, "quote" },
		{ "echo \"a\\\"", -EINVAL, "quote" },
		{ "echo a\\", -EINVAL, "backslash" },
		{ "bin/get", -EINVAL, "absolute path" },
		{ "dg-no-such-program x", -ENOENT, "dg-no-such-program:" },
		{ "/no/such/program", -ENOENT, "/no/such/program:" },
		{ "/etc/passwd", -EACCES, "/etc/passwd:" },
		{ "KEY=" STANDARD " get", -EINVAL, "command KEY:" },
		{ "KEY=x get", -ENOENT, "command KEY:" },
		{ "true", -ENODATA, "printed nothing" },
		{ "echo", -ENODATA, "no key" },
		{ "echo hello", -EINVAL, "44 characters" },
		{ "echo " STANDARD " x", -EINVAL, "44 characters" },
		{ "echo AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", -EINVAL,
		  "all the same" },
		{ "sh -c 'echo " STANDARD "; exit 3'", -EIO,
		  "command sh: exit status 3" },
		{ "sh -c 'echo " STANDARD "; kill -9 $$'", -EIO,
		  "killed by signal 9" },
		{ "head -c 4097 /dev/zero", -EFBIG, "more than 4096" },
		{ "yes", -EFBIG, "more than 4096" },
	};
	int before = descriptors();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fails(&(struct keysource){ KEYSOURCE_COMMAND, bad[i].line },
		      bad[i].err, bad[i].says);
		leaves_nothing(before);
	}
}

static void programs_are_found_in_path(void **state)
{
	static const char script[] = "#!/bin/sh\necho " STANDARD "\n";
	const struct keysource s = { KEYSOURCE_COMMAND, "key" };

	(void)state;
	write_file(script, sizeof(script) - 1, 0700);
	assert_int_equal(setenv("PATH", dir, 1), 0);
	gives_the_key(&s);
	/* Without "#!" it is not handed to a shell. */
	write_file(script + 10, sizeof(script) - 11, 0700);
	fails(&s, -ENOEXEC, "absolute path");
	assert_int_equal(setenv("PATH", "/usr/bin:/bin", 1), 0);
	assert_int_equal(unlink(path), 0);
}

static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void slow_commands_are_killed(void **state)
{
	static const char *const slow[] = {
		"sleep 60",
		"sh -c 'trap : TERM INT HUP; echo x; while :; do :; done'",
		"sh -c 'exec >&-; sleep 60'",
		"sh -c 'kill -STOP $$'",
	};
	int before = descriptors();
	double begin = seconds();

	(void)state;
	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
		fails_within(&(struct keysource){ KEYSOURCE_COMMAND, slow[i] },
			     150, -ETIMEDOUT, "within 0.15 s");
		leaves_nothing(before);
	}
	assert_true(seconds() - begin < 30);
}

static void their_children_are_killed(void **state)
{
	static const char *const slow[] = {
		"sh -c 'sleep 60; sleep 60'",
		/* the program has ended; its child has its output */
		"sh -c 'sleep 60 & echo " STANDARD "'",
	};
	int status, before = descriptors();

	(void)state;
	/* Grandchildren whose parent is dead become ours. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
		int limit_ms = 150, n = 0;

		/* On a busy machine there is none yet: then once more. */
		for (; !n && limit_ms < 10000; limit_ms *= 2) {
			fails_within(&(struct keysource){ KEYSOURCE_COMMAND,
							  slow[i] },
				     limit_ms, -ETIMEDOUT, "within");
			for (; waitpid(-1, &status, 0) > 0; n++) {
				assert_true(WIFSIGNALED(status));
				assert_int_equal(WTERMSIG(status), SIGKILL);
			}
		}
		assert_int_equal(n, 1);
	}
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
	leaves_nothing(before);
}

static void signals_are_as_usual(void **state)
{
	/* Nothing is blocked, and neither HUP, INT, PIPE nor TERM ignored. */
	const struct keysource s = {
		KEYSOURCE_COMMAND,
		"sh -c 'grep -q \"^SigBlk:.0*$\" /proc/self/status || exit 1;"
		"ign=$(sed -n \"s/^SigIgn:.//p\" /proc/self/status);"
		"[ $((0x$ign & 0x5003)) -eq 0 ] && echo " STANDARD "'"
	};
	sigset_t all, old;

	(void)state;
	(void)sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &old), 0);
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	assert_true(signal(SIGHUP, SIG_IGN) != SIG_ERR);
	assert_true(signal(SIGTERM, SIG_IGN) != SIG_ERR);
	gives_the_key(&s);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);

	/* Where children are not waited for, their status is lost. */
	assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	fails(&s, -ECHILD, "SIGCHLD");
	(void)signal(SIGCHLD, SIG_DFL);
}

/* As in a daemon that has closed them. */
static void standard_descriptors_may_be_closed(void **state)
{
	const struct keysource s = { KEYSOURCE_COMMAND, "printf " STANDARD };
	char why[OPTION_WHY] = "";
	int in = dup(0), out = dup(1), err;
	struct aead_key k;

	(void)state;
	(void)close(0);
	(void)close(1);
	err = keysource_load(&s, &k, why);
	assert_int_equal(dup2(in, 0), 0);
	assert_int_equal(dup2(out, 1), 1);
	(void)close(in);
	(void)close(out);
	assert_int_equal(err, 0);
	assert_memory_equal(k.bytes, key, sizeof(key));
}

static void *load_often(void *arg)
{
	const struct keysource s = { KEYSOURCE_COMMAND, "echo " STANDARD };
	char why[OPTION_WHY];
	struct aead_key k;
	int *bad = arg;

	for (int i = 0; i < 10; i++)
		*bad += keysource_load(&s, &k, why) ||
			memcmp(k.bytes, key, sizeof(key)) != 0;
	return NULL;
}

static void threads_load_at_once(void **state)
{
	int bad[4] = { 0 }, before = descriptors();
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, load_often, &bad[i]),
			0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(bad[i], 0);
	}
	leaves_nothing(before);
}

static void sources_are_described(void **state)
{
	static const struct {
		struct keysource s;
		const char *text;
	} all[] = {
		{ { KEYSOURCE_EPHEMERAL, NULL }, "this mount alone (random)" },
		{ { KEYSOURCE_ENVIRONMENT, STANDARD },
		  "the environment ($DG_CACHE_ENCRYPTION_KEY)" },
		{ { KEYSOURCE_FILE, "/etc/key" }, "file /etc/key" },
		{ { KEYSOURCE_COMMAND, " 'vault get' --token=s3cret" },
		  "command vault get" },
		{ { KEYSOURCE_COMMAND, "TOKEN=s3cret vault-get" },
		  "command TOKEN" },
		{ { KEYSOURCE_COMMAND, "vault-get 'x" }, "command" },
	};
	char buf[64], small[8];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		keysource_describe(&all[i].s, buf, sizeof(buf));
		assert_string_equal(buf, all[i].text);
	}
	keysource_describe(&all[2].s, small, sizeof(small));
	assert_string_equal(small, "file /e");
}

/* In a process of its own, which was given the variable at its start. */
static int environment_is_taken(void)
{
	char text[8192], *taken = NULL, *again = NULL;
	size_t n;
	FILE *f;

	if (keysource_take_environment(&taken) || !taken ||
	    strcmp(taken, STANDARD) != 0)
		return 1;
	secret_free(taken, strlen(taken) + 1);
	if (getenv(KEYSOURCE_VARIABLE) || !getenv("OTHER") ||
	    strcmp(getenv("OTHER"), "kept") != 0)
		return 2;
	f = fopen("/proc/self/environ", "re");
	if (!f)
		return 3;
	n = fread(text, 1, sizeof(text), f);
	(void)fclose(f);
	/* Neither of the two, nor a piece of them. */
	if (!memmem(text, n, "OTHER=kept", 10))
		return 4;
	for (size_t i = 0; i + 4 <= strlen(STANDARD); i++)
		if (memmem(text, n, &STANDARD[i], 4))
			return 5;
	if (memmem(text, n, "second", 6))
		return 6;
	return keysource_take_environment(&again) || again ? 7 : 0;
}

static void environment_is_overwritten(void **state)
{
	char name[] = "keysource", mode[] = "taken";
	char first[] = KEYSOURCE_VARIABLE "=" STANDARD, other[] = "OTHER=kept";
	char second[] = KEYSOURCE_VARIABLE "=second";
	char *argv[] = { name, mode, NULL };
	char *env[] = { first, other, second, NULL };
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(
		posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, env), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void environment_may_be_empty(void **state)
{
	char *taken = dir;

	(void)state;
	assert_int_equal(unsetenv(KEYSOURCE_VARIABLE), 0);
	assert_int_equal(keysource_take_environment(&taken), 0);
	assert_null(taken);
	taken = dir;
	assert_int_equal(setenv(KEYSOURCE_VARIABLE, "", 1), 0);
	assert_int_equal(keysource_take_environment(&taken), 0);
	assert_null(taken);
	assert_null(getenv(KEYSOURCE_VARIABLE));
}

static int setup(void **state)
{
	(void)state;
	/* Folders that may not be searched would make EACCES of ENOENT. */
	if (!mkdtemp(dir) || setenv("PATH", "/usr/bin:/bin", 1))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/key", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_read),
		cmocka_unit_test(texts_are_refused),
		cmocka_unit_test(weak_keys_are_refused),
		cmocka_unit_test(keys_are_made),
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(files_are_refused),
		cmocka_unit_test(commands_are_run),
		cmocka_unit_test(lines_are_split),
		cmocka_unit_test(commands_fail),
		cmocka_unit_test(programs_are_found_in_path),
		cmocka_unit_test(slow_commands_are_killed),
		cmocka_unit_test(their_children_are_killed),
		cmocka_unit_test(signals_are_as_usual),
		cmocka_unit_test(standard_descriptors_may_be_closed),
		cmocka_unit_test(threads_load_at_once),
		cmocka_unit_test(sources_are_described),
		cmocka_unit_test(environment_is_overwritten),
		cmocka_unit_test(environment_may_be_empty),
	};

	if (argc > 1 && !strcmp(argv[1], "taken"))
		return environment_is_taken();
	return cmocka_run_group_tests(tests, setup, teardown);
}
