/*
 * The cache directory that several processes use at once: some are killed,
 * and leave it to the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/reffile.h"
#include "tests/support/cacheuse.h"

#define MIB     ((uint64_t)1 << 20)
#define SOURCES 6 /* the last is small */
#define LEN(i)  ((i) < SOURCES - 1 ? 300000 + (uint64_t)(i)*70001 : 777)

/* Room for `n` of `len` bytes: blocks, one for the map, and what is ours. */
#define EACH(len)    ((reffile_size(len) + 4095) / 4096 * 4096 + 4096)
#define ROOM(n, len) ((n)*EACH(len) + (40 << 10))

/* Half of what is waited for others who live and do nothing. */
#define AT_ONCE ((uint64_t)5000000000u)

/* What the processes of a test tell each other. */
struct shared {
	struct known k[SOURCES];
	atomic_uint arrived, go, done, stop;
	atomic_uint bad, slow, gets, samples, over, spins;
	atomic_uint_fast64_t killed_ns;
};

struct fixture {
	char dir[64];
	struct aead_key key, other;
	struct cacheuse u; /* of this process */
	struct shared *sh;
	struct known *k;
};

/* For children, which are no place for cmocka's assertions. */
#define MUST(what)                                                          \
	do {                                                                \
		if (!(what)) {                                              \
			(void)fprintf(stderr, "%s:%d: in a child: !(%s)\n", \
				      __FILE__, __LINE__, #what);           \
			_exit(1);                                           \
		}                                                           \
	} while (0)

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32);
}

static void wait_for(atomic_uint *what, unsigned value)
{
	while (atomic_load(what) < value)
		(void)sched_yield();
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	snprintf(x->dir, sizeof(x->dir), "/tmp/dg-dirbackend-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->u.dirfd = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(x->u.dirfd >= 0);
	x->u.limit = 64 * MIB;
	assert_int_equal(aead_key_random(&x->key), 0);
	assert_int_equal(aead_key_random(&x->other), 0);
	x->sh = mmap(NULL, sizeof(*x->sh), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(x->sh != MAP_FAILED);
	x->k = x->sh->k;
	for (unsigned i = 0; i < SOURCES; i++)
		assert_int_equal(known_init(&x->k[i], i, LEN(i)), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	cacheuse_leave(&x->u);
	cacheuse_empty(x->u.dirfd);
	close(x->u.dirfd);
	assert_int_equal(rmdir(x->dir), 0);
	for (unsigned i = 0; i < SOURCES; i++)
		known_clear(&x->k[i]);
	munmap(x->sh, sizeof(*x->sh));
	free(x);
	return 0;
}

/* Use it, as who comes now. */
static void use_under(struct fixture *x, const struct aead_key *key)
{
	cacheuse_leave(&x->u);
	assert_int_equal(cacheuse_open(&x->u, key), 0);
}

static void use(struct fixture *x)
{
	use_under(x, &x->key);
}

/* It comes, right and at once, by a fetch or not. */
static void expect(struct fixture *x, unsigned i)
{
	uint64_t since = now_ns();

	assert_int_equal(cacheuse_see(&x->u, &x->k[i]), 0);
	assert_true(now_ns() - since < AT_ONCE);
}

static void expect_kept(struct fixture *x, unsigned i, int kept)
{
	assert_int_equal(cacheuse_see_kept(&x->u, &x->k[i]),
			 kept ? 0 : -ENOTCONN);
}

static void clear(struct fixture *x)
{
	assert_int_equal(refs_clear(x->u.refs), 0);
}

static struct backend_stats stats(struct fixture *x)
{
	struct refs_stats st;

	refs_stats(x->u.refs, &st);
	return st.backend;
}

static unsigned names(struct fixture *x, char one[256])
{
	return cacheuse_names(x->u.dirfd, one);
}

static struct cacheuse_tally tally(struct fixture *x)
{
	struct cacheuse_tally t;

	assert_int_equal(cacheuse_tally(x->u.dirfd, &t), 0);
	return t;
}

static void expect_unlocked(void *arg, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY);

	(void)arg;
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

/* Once everybody has gone: no lock, no left-over, a tally that is right. */
static void expect_order(struct fixture *x)
{
	char name[256];

	cacheuse_leave(&x->u);
	assert_int_equal(cacheuse_each(x->u.dirfd, expect_unlocked, NULL), 0);
	use(x);
	clear(x);
	if (names(x, name))
		fail_msg("%s was left", name);
	assert_int_equal(tally(x).bytes, 0);
	assert_int_equal(tally(x).entries, 0);
	assert_int_equal(tally(x).doomed, 0);
	cacheuse_leave(&x->u);
}

typedef void child_fn(struct fixture *x, unsigned arg);

static pid_t spawn(struct fixture *x, child_fn *fn, unsigned arg)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* none is left behind */
	if (getppid() != parent)
		_exit(1);
	(void)alarm(250);
	/* Nor holds it the locks of its parent, which belong to open files. */
	(void)close_range((unsigned)x->u.dirfd + 1, ~0u, 0);
	x->u.refs = NULL;
	fn(x, arg);
	_exit(0);
}

static void expect_exit(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void kill_it(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(
		WIFSIGNALED(status)); /* else it ended, so something failed */
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void get_with_others(struct fixture *x, unsigned i)
{
	struct refs_stats st;
	struct ref *ref;

	MUST(!cacheuse_open(&x->u, &x->key));
	atomic_fetch_add(&x->sh->arrived, 1);
	wait_for(&x->sh->arrived, 4);
	MUST(!cacheuse_get(&x->u, &x->k[i], &ref));
	MUST(known_is(&x->k[i], ref));
	refs_stats(x->u.refs, &st);
	MUST(!st.unkept && st.backend.entries == 1);
	ref_put(ref);
	cacheuse_leave(&x->u);
}

static void filled_once_for_four_processes(void **state)
{
	struct fixture *x = *state;

	for (unsigned round = 0; round < 4 * SOURCES; round++) {
		unsigned i = round % SOURCES;
		pid_t pids[4];

		atomic_store(&x->sh->arrived, 0);
		for (unsigned k = 0; k < 4; k++)
			pids[k] = spawn(x, get_with_others, i);
		for (unsigned k = 0; k < 4; k++)
			expect_exit(pids[k]);
		assert_int_equal(x->k[i].fetches, round / SOURCES + 1);
		use(x);
		expect_kept(x, i, 1);
		expect_order(x);
	}
}

static void stall(struct fixture *x, unsigned i)
{
	struct ref *ref;

	MUST(!cacheuse_open(&x->u, &x->key));
	(void)!cacheuse_get(&x->u, &x->k[i], &ref);
	MUST(!"it came back");
}

static void get_after_it_was_killed(struct fixture *x, unsigned i)
{
	MUST(!cacheuse_open(&x->u, &x->key));
	atomic_fetch_add(&x->sh->arrived, 1);
	MUST(!cacheuse_see(&x->u, &x->k[i]));
	MUST(now_ns() - atomic_load(&x->sh->killed_ns) < AT_ONCE);
	cacheuse_leave(&x->u);
}

/* Killed before the first byte, in the middle, and before the last. */
static void who_is_killed_while_it_fills_makes_way(void **state)
{
	struct fixture *x = *state;
	const uint64_t at[] = { 0, LEN(0) / 2, LEN(0) - 1 };

	for (unsigned k = 0; k < 6; k++) {
		pid_t filler, waiter = 0;

		atomic_store(&x->k[0].stalled, 0);
		atomic_store(&x->sh->arrived, 0);
		x->k[0].stall_at = at[k / 2];
		filler = spawn(x, stall, 0);
		wait_for(&x->k[0].stalled, 1);
		x->k[0].stall_at = UINT64_MAX;
		/* Somebody waits for it already, or comes afterwards. */
		if (k % 2) {
			waiter = spawn(x, get_after_it_was_killed, 0);
			wait_for(&x->sh->arrived, 1);
		}
		atomic_store(&x->sh->killed_ns, now_ns());
		kill_it(filler);
		if (waiter)
			expect_exit(waiter);
		use(x);
		expect(x, 0);
		assert_int_equal(x->k[0].fetches, 2 * (k + 1));
		assert_int_equal(names(x, NULL), 1);
		assert_int_equal(stats(x).entries, 1);
		assert_true(stats(x).bytes >= EACH(LEN(0)) - 4096);
		expect_order(x);
	}
}

/* A thing in the directory, as a watcher saw it. */
struct seen {
	ino_t ino;
	blkcnt_t blocks;
};
struct look {
	struct seen seen[64];
	unsigned n;
};

static void look_at(void *arg, int dirfd, const char *name)
{
	struct look *l = arg;
	struct stat st;

	MUST(l->n < 64);
	if (!fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		l->seen[l->n++] = (struct seen){ st.st_ino, st.st_blocks };
}

/*
 * While one looks at one file another comes and goes: only what is the same in
 * two looks in a row was there all at once, in between.
 */
static void watch(struct fixture *x, unsigned arg)
{
	struct look a = { .n = 0 }, b;
	struct stat st;

	(void)arg;
	while (!atomic_load(&x->sh->stop)) {
		uint64_t sum;

		b.n = 0;
		MUST(!cacheuse_each(x->u.dirfd, look_at, &b));
		MUST(!fstat(x->u.dirfd, &st));
		sum = (uint64_t)st.st_blocks * 512;
		for (unsigned i = 0; i < a.n; i++)
			for (unsigned k = 0; k < b.n; k++)
				if (a.seen[i].ino == b.seen[k].ino &&
				    a.seen[i].blocks == b.seen[k].blocks)
					sum += (uint64_t)b.seen[k].blocks * 512;
		atomic_fetch_add(&x->sh->samples, 1);
		if (sum > x->u.limit)
			atomic_fetch_add(&x->sh->over, 1);
		a = b;
	}
}

static void work_step(struct fixture *x, uint64_t *seed)
{
	unsigned i = next(seed) % SOURCES, k = next(seed) % SOURCES;
	struct ref *ref, *second = NULL;
	uint64_t since = now_ns();
	int bad = 0;

	if (next(seed) % 30 == 0)
		bad += refs_clear(x->u.refs) != 0;
	if (next(seed) % 30 == 0)
		(void)refs_evict(x->u.refs, next(seed) % 500000);
	if (!cacheuse_get(&x->u, &x->k[i], &ref)) {
		if (next(seed) % 4 == 0)
			bad += cacheuse_get(&x->u, &x->k[k], &second) != 0;
		bad += !known_is(&x->k[i], ref);
		bad += second && !known_is(&x->k[k], second);
		ref_put(ref);
		ref_put(second);
	} else {
		bad++;
	}
	atomic_fetch_add(&x->sh->bad, (unsigned)bad);
	atomic_fetch_add(&x->sh->slow, now_ns() - since > AT_ONCE);
	atomic_fetch_add(&x->sh->gets, 1);
}

static void work(struct fixture *x, unsigned arg)
{
	uint64_t seed = (arg + 1) * 0x9e3779b97f4a7c15u;

	MUST(!cacheuse_open(&x->u, &x->key));
	while (!atomic_load(&x->sh->stop))
		work_step(x, &seed);
	cacheuse_leave(&x->u);
}

/* They got what they wanted, and never waited for what does not come. */
static void expect_good_work(struct fixture *x)
{
	assert_int_equal(atomic_load(&x->sh->bad), 0);
	assert_int_equal(atomic_load(&x->sh->slow), 0);
	use(x);
	for (unsigned i = 0; i < SOURCES; i++)
		expect(x, i);
	assert_true(cacheuse_disk(x->u.dirfd) <= x->u.limit);
	expect_order(x);
}

#define WORKERS 3
#define KILLS   90

static void killed_again_and_again(void **state)
{
	struct fixture *x = *state;
	uint64_t seed = 4711;
	pid_t watcher, workers[WORKERS];
	unsigned count = 0;

	x->u.limit = ROOM(2, LEN(4)) + EACH(LEN(5));
	watcher = spawn(x, watch, 0);
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = spawn(x, work, count++);
	for (unsigned i = 0; i < KILLS; i++) {
		/* Whatever it is at by then. */
		struct timespec t = { .tv_nsec = next(&seed) % 20000000 };

		(void)nanosleep(&t, NULL);
		kill_it(workers[i % WORKERS]);
		workers[i % WORKERS] = spawn(x, work, count++);
	}
	/* And all have got on with their work. */
	wait_for(&x->sh->gets, atomic_load(&x->sh->gets) + 3 * WORKERS);
	for (unsigned i = 0; i < WORKERS; i++)
		kill_it(workers[i]);
	atomic_store(&x->sh->stop, 1);
	expect_exit(watcher);
	assert_int_equal(atomic_load(&x->sh->over), 0);
	assert_true(atomic_load(&x->sh->samples) > 100);
	expect_good_work(x);
	assert_int_equal(x->u.events[CACHE_DAMAGED], 0);
	assert_int_equal(x->u.events[CACHE_ALIEN], 0);
}

static void use_it(struct fixture *x, unsigned i)
{
	MUST(!cacheuse_open(&x->u, &x->key));
	MUST(!cacheuse_see_kept(&x->u, &x->k[i]));
	cacheuse_leave(&x->u);
}

static void what_another_used_last_stays(void **state)
{
	struct fixture *x = *state;

	x->u.limit = ROOM(3, LEN(3));
	use(x);
	for (unsigned i = 0; i < 3; i++)
		expect(x, i);
	expect_exit(spawn(x, use_it, 0));
	expect(x, 3);
	assert_int_equal(stats(x).evictions[EVICT_SPACE], 1);
	expect_kept(x, 0, 1);
	expect_kept(x, 2, 1);
	expect_kept(x, 3, 1);
	/* A miss takes its room first, so this comes last. */
	expect_kept(x, 1, 0);
}

static void hold_it(struct fixture *x, unsigned i)
{
	struct ref *ref;

	MUST(!cacheuse_open(&x->u, &x->key));
	MUST(!cacheuse_get(&x->u, &x->k[i], &ref));
	atomic_fetch_add(&x->sh->arrived, 1);
	wait_for(&x->sh->go, 1);
	MUST(known_is(&x->k[i], ref));
	ref_put(ref);
	atomic_fetch_add(&x->sh->done, 1);
	wait_for(&x->sh->go, 2);
	cacheuse_leave(&x->u);
}

/* Two others hold it; a fresh one is made beside theirs. */
static void cleared_while_others_hold_it(void **state)
{
	struct fixture *x = *state;
	char name[256];
	pid_t a, b;

	a = spawn(x, hold_it, 0);
	b = spawn(x, hold_it, 0);
	wait_for(&x->sh->arrived, 2);
	use(x);
	clear(x);
	assert_int_equal(names(x, name), 1);
	assert_non_null(strstr(name, ".doomed"));
	assert_int_equal(stats(x).clear_pending, 1);
	assert_int_equal(stats(x).entries, 0);
	assert_true(stats(x).bytes >= EACH(LEN(0)) - 4096);
	expect(x, 0);
	assert_int_equal(x->k[0].fetches, 2);
	assert_int_equal(names(x, NULL), 2);
	atomic_store(&x->sh->go, 1);
	wait_for(&x->sh->done, 2);
	/* Both have put theirs, and live. */
	assert_int_equal(names(x, name), 1);
	assert_null(strchr(name, '.'));
	assert_int_equal(stats(x).clear_pending, 0);
	assert_int_equal(stats(x).entries, 1);
	expect_kept(x, 0, 1);
	atomic_store(&x->sh->go, 2);
	expect_exit(a);
	expect_exit(b);
	expect_order(x);
}

static void who_is_killed_holding_it_leaves_nothing(void **state)
{
	struct fixture *x = *state;
	pid_t a = spawn(x, hold_it, 0);

	wait_for(&x->sh->arrived, 1);
	use(x);
	clear(x);
	assert_int_equal(stats(x).clear_pending, 1);
	kill_it(a);
	expect(x, 0); /* as if it had never been */
	assert_int_equal(x->k[0].fetches, 2);
	expect_order(x);
}

static void what_others_hold_is_not_evicted(void **state)
{
	struct fixture *x = *state;
	pid_t a = spawn(x, hold_it, 0), b = spawn(x, hold_it, 1);

	wait_for(&x->sh->arrived, 2);
	use(x);
	expect(x, 2);
	assert_true(refs_evict(x->u.refs, UINT64_MAX) >= EACH(LEN(2)) - 4096);
	expect_kept(x, 0, 1);
	expect_kept(x, 1, 1);
	expect_kept(x, 2, 0);
	atomic_store(&x->sh->go, 2);
	expect_exit(a);
	expect_exit(b);
	assert_true(refs_evict(x->u.refs, UINT64_MAX) > 0);
	assert_int_equal(names(x, NULL), 0);
	assert_int_equal(tally(x).bytes, 0);
}

#define MOMENTS 300

/* Put at about the moment when another clears. */
static void put_at_a_moment(struct fixture *x, unsigned arg)
{
	uint64_t seed = arg;
	struct ref *ref;

	MUST(!cacheuse_open(&x->u, &x->key));
	for (unsigned k = 1; k <= MOMENTS; k++) {
		MUST(!cacheuse_get(&x->u, &x->k[SOURCES - 1], &ref));
		atomic_fetch_add(&x->sh->arrived, 1);
		wait_for(&x->sh->go, 2 * k - 1);
		for (unsigned n = next(&seed) % 4096; n; n--)
			atomic_fetch_add(&x->sh->spins, 1);
		ref_put(ref);
		atomic_fetch_add(&x->sh->done, 1);
		wait_for(&x->sh->go, 2 * k);
	}
	cacheuse_leave(&x->u);
}

static void put_while_cleared(struct fixture *x, unsigned holders)
{
	uint64_t seed = holders;
	char name[256];
	pid_t pids[2];

	for (unsigned i = 0; i < holders; i++)
		pids[i] = spawn(x, put_at_a_moment, i + 1);
	use(x);
	for (unsigned k = 1; k <= MOMENTS; k++) {
		wait_for(&x->sh->arrived, holders * k);
		atomic_fetch_add(&x->sh->go, 1);
		for (unsigned n = next(&seed) % 4096; n; n--)
			atomic_fetch_add(&x->sh->spins, 1);
		clear(x);
		wait_for(&x->sh->done, holders * k);
		if (names(x, name))
			fail_msg("%s was left", name);
		assert_int_equal(tally(x).bytes, 0);
		assert_int_equal(tally(x).doomed, 0);
		atomic_fetch_add(&x->sh->go, 1);
	}
	for (unsigned i = 0; i < holders; i++)
		expect_exit(pids[i]);
}

static void put_and_clear_at_once_leave_nothing(void **state)
{
	put_while_cleared(*state, 1);
}

static void two_puts_and_clear_at_once_leave_nothing(void **state)
{
	put_while_cleared(*state, 2);
}

static void entries_of_another_key_go_unless_in_use(void **state)
{
	struct fixture *x = *state;
	pid_t holder = spawn(x, hold_it, 2);

	wait_for(&x->sh->arrived, 1);
	use(x);
	expect(x, 0);
	expect(x, 1);
	use_under(x, &x->other);
	assert_int_equal(x->u.events[CACHE_FOREIGN], 2);
	assert_int_equal(x->u.events[CACHE_DAMAGED], 0);
	assert_int_equal(x->u.events[CACHE_ALIEN], 0);
	assert_int_equal(stats(x).foreign, 2);
	assert_int_equal(stats(x).corruptions, 0);
	assert_int_equal(stats(x).entries, 1);
	assert_int_equal(names(x, NULL), 1);
	expect(x, 2); /* two, one under each key */
	assert_int_equal(x->k[2].fetches, 2);
	assert_int_equal(names(x, NULL), 2);
	atomic_store(&x->sh->go, 2);
	expect_exit(holder);
	use_under(x, &x->other);
	assert_int_equal(x->u.events[CACHE_FOREIGN], 1);
	expect_kept(x, 2, 1);
}

struct listed {
	struct fixture *x;
	unsigned count, in_use, stop_after;
	unsigned seen[SOURCES];
};

static int list_one(void *arg, const struct cached_facts *facts)
{
	struct listed *l = arg;

	for (unsigned i = 0; i < SOURCES; i++)
		if (!memcmp(facts->digest, l->x->k[i].digest, DIGEST_LEN) &&
		    facts->len == LEN(i))
			l->seen[i]++;
	l->in_use += facts->in_use != 0;
	assert_true(facts->used_s <= time(NULL));
	assert_true(facts->used_s + 100 > time(NULL));
	return ++l->count == l->stop_after ? 77 : 0;
}

static unsigned listed(struct fixture *x)
{
	struct listed l = { .x = x };

	assert_int_equal(refs_list(x->u.refs, list_one, &l), 0);
	return l.count;
}

static void listed_and_retired_by_key(void **state)
{
	struct fixture *x = *state;
	struct listed l = { .x = x };
	struct cachekey *key;
	struct ref *held;
	pid_t holder = spawn(x, hold_it, 3);

	wait_for(&x->sh->arrived, 1);
	use(x);
	expect(x, 0);
	expect(x, 1);
	assert_int_equal(refs_list(x->u.refs, list_one, &l), 0);
	assert_int_equal(l.count, 3);
	assert_int_equal(l.in_use, 1);
	assert_true(l.seen[0] == 1 && l.seen[1] == 1 && l.seen[3] == 1);
	l = (struct listed){ .x = x, .stop_after = 2 };
	assert_int_equal(refs_list(x->u.refs, list_one, &l), 77);
	assert_int_equal(l.count, 2);

	/* Another key from now on; one of the old is in use here, one there. */
	assert_int_equal(cacheuse_get(&x->u, &x->k[1], &held), 0);
	assert_int_equal(refs_rotate(x->u.refs, &x->other), 0);
	assert_true(known_is(&x->k[1], held));
	assert_int_equal(names(x, NULL), 2);
	assert_int_equal(stats(x).clear_pending, 2);
	assert_int_equal(listed(x), 0);
	expect(x, 1);
	ref_put(held);
	atomic_store(&x->sh->go, 2);
	expect_exit(holder);
	assert_int_equal(names(x, NULL), 1);
	assert_int_equal(listed(x), 1);

	/* What is not sealed under it stays. */
	assert_int_equal(cachekey_new(&key, &x->key), 0);
	(void)x->u.backend->ops->retire(x->u.backend, key);
	cachekey_put(key);
	expect_kept(x, 1, 1);
	refs_retire(x->u.refs);
	assert_int_equal(names(x, NULL), 0);
	assert_int_equal(tally(x).bytes, 0);
	expect_order(x);
}

/* What may become of the file "space" under those who use it. */
static void spoil_space(int dirfd, unsigned how)
{
	static const uint8_t junk[100] = "dgspace\n";
	int fd;

	if (how == 0) {
		(void)unlinkat(dirfd, "space", 0);
		return;
	}
	if (how == 1) {
		(void)renameat(dirfd, "space", dirfd, "moved");
		return;
	}
	if (how == 2) {
		fd = openat(dirfd, "new", O_CREAT | O_EXCL | O_WRONLY, 0600);
		/* One of them may have removed it by now. */
		if (fd >= 0 && write(fd, junk, sizeof(junk)) > 0)
			(void)renameat(dirfd, "new", dirfd, "space");
	} else {
		fd = openat(dirfd, "space", O_WRONLY);
		if (fd >= 0 && how == 3)
			assert_int_equal(ftruncate(fd, 0), 0);
		else if (fd >= 0 && how == 4)
			assert_int_equal(pwrite(fd, junk + 9, 40, 0), 40);
		else if (fd >= 0)
			assert_int_equal(pwrite(fd, "x", 1, 13), 1);
	}
	if (fd >= 0)
		close(fd);
}

static void the_tally_is_spoilt_while_it_is_used(void **state)
{
	struct fixture *x = *state;
	uint64_t seed = 12345;
	pid_t a, b;

	x->u.limit = ROOM(2, LEN(4)) + EACH(LEN(5));
	a = spawn(x, work, 1);
	b = spawn(x, work, 2);
	for (unsigned i = 0; i < 60; i++) {
		spoil_space(x->u.dirfd, next(&seed) % 6);
		wait_for(&x->sh->gets, 5 * (i + 1));
	}
	atomic_store(&x->sh->stop, 1);
	expect_exit(a);
	expect_exit(b);
	expect_good_work(x);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(filled_once_for_four_processes),
		TEST(who_is_killed_while_it_fills_makes_way),
		TEST(killed_again_and_again),
		TEST(what_another_used_last_stays),
		TEST(cleared_while_others_hold_it),
		TEST(who_is_killed_holding_it_leaves_nothing),
		TEST(what_others_hold_is_not_evicted),
		TEST(put_and_clear_at_once_leave_nothing),
		TEST(two_puts_and_clear_at_once_leave_nothing),
		TEST(entries_of_another_key_go_unless_in_use),
		TEST(listed_and_retired_by_key),
		TEST(the_tally_is_spoilt_while_it_is_used),
	};

	return cmocka_run_group_tests_name("dirbackend", tests, NULL, NULL);
}
