/* codec=bsdiff: patches that are decoded once, as a whole, and never trusted. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#define LEN ((size_t)300000)

static struct handle *open_file(struct fixture *x, const char *path)
{
	struct inode *i = at(x, path);
	struct handle *h;
	int same;

	assert_non_null(i);
	assert_int_equal(volume_open(x->v, &somebody, i, O_RDONLY, &h, &same),
			 0);
	inode_forget(x->v, i, 1);
	return h;
}

/* Two versions in the bucket; a mount that has read none of it. */
static void two_versions(struct fixture *x, uint8_t **one, uint8_t **two)
{
	*one = noise(1, LEN);
	*two = noise(1, LEN);
	for (size_t i = 0; i < LEN; i += 5000)
		(*two)[i] ^= 0x55;
	memmove(*two + 100000, *two + 100100, LEN - 100100);
	x->conf.codec = CODEC_BSDIFF;
	fixture_mount(x);
	assert_int_equal(put(x, "v1", *one, LEN), 0);
	assert_int_equal(put(x, "v2", *two, LEN), 0);
	fixture_mount(x);
}

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static void expect_codec(struct fixture *x, const char *path, const char *want)
{
	char *codec = xattr(x, path, "codec");

	assert_string_equal(codec, want);
	free(codec);
}

static void versions_become_patches(void **state)
{
	struct fixture *x = *state;
	struct bytes start = BYTES_INIT;
	uint8_t *one, *two;
	char *ref;

	two_versions(x, &one, &two);
	expect(x, "v1", one, LEN);
	expect(x, "v2", two, LEN);
	expect_codec(x, "v1", "bsdiff");
	expect_codec(x, "v2", "bsdiff");
	expect_storage(x, "v1", "delta");
	for (int k = 1; k <= 2; k++) {
		start.len = 0;
		assert_int_equal(x->store->ops->get(x->store,
						    k == 1 ? "v1" : "v2", 0, 8,
						    &(struct store_call){ 0 },
						    take, &start, NULL),
				 0);
		assert_memory_equal(start.data, "BSDIFF40", 8);
	}
	ref = xattr(x, "v2", "reference");
	assert_true(memstore_has(x->store, ref));
	/* A native version finds the reference that the patches use. */
	x->conf.codec = CODEC_NATIVE;
	fixture_mount(x);
	two[7]++;
	assert_int_equal(put(x, "v3", two, LEN), 0);
	expect_codec(x, "v3", "native");
	free(ref);
	ref = xattr(x, "v3", "reference");
	assert_true(memstore_has(x->store, ref));
	expect(x, "v3", two, LEN);
	expect(x, "v1", one, LEN);
	bytes_clear(&start);
	free(ref);
	free(one);
	free(two);
}

struct reader {
	struct fixture *x;
	struct handle *h;
	const uint8_t *want;
	int wrong;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[8192];

	for (size_t off = 0; off < LEN; off += sizeof(buf)) {
		size_t n = LEN - off < sizeof(buf) ? LEN - off : sizeof(buf);

		if (handle_read(r->h, &somebody, buf, sizeof(buf), off) !=
			    (ssize_t)n ||
		    memcmp(buf, r->want + off, n) != 0)
			r->wrong = 1;
	}
	return NULL;
}

/* Counts what is fetched of one key. */
struct counter {
	const char *key;
	int gets;
	pthread_mutex_t lock;
};

static int count(void *arg, enum memstore_op op, const char *key, int after)
{
	struct counter *c = arg;

	(void)pthread_mutex_lock(&c->lock);
	if (op == MEMSTORE_GET && !after && !strcmp(key, c->key))
		c->gets++;
	(void)pthread_mutex_unlock(&c->lock);
	return 0;
}

static void readers_share_what_is_decoded(void **state)
{
	struct fixture *x = *state;
	struct counter c = { .key = "v2", .lock = PTHREAD_MUTEX_INITIALIZER };
	struct reader r[6];
	pthread_t thread[6];
	uint8_t *one, *two;

	two_versions(x, &one, &two);
	memstore_on_op(x->store, count, &c);
	for (int i = 0; i < 6; i++) {
		r[i] = (struct reader){ x, open_file(x, "v2"), two, 0 };
		assert_int_equal(
			pthread_create(&thread[i], NULL, read_all, &r[i]), 0);
	}
	for (int i = 0; i < 6; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_false(r[i].wrong);
	}
	assert_int_equal(c.gets, 1);
	assert_true(budget_used(&x->spool) >= LEN);
	assert_true(budget_used(&x->spool) < 2 * LEN);
	for (int i = 0; i < 6; i++)
		handle_release(r[i].h);
	assert_int_equal(budget_used(&x->spool), 0);
	free(one);
	free(two);
}

static int flip_twice(void *arg, enum memstore_op op, const char *key,
		      int after)
{
	struct fixture *x = arg;

	/* Wrong when it is fetched first, and right the second time. */
	if (op == MEMSTORE_GET && !after && !strcmp(key, "v2"))
		assert_int_equal(memstore_flip(x->store, "v2", 60), 0);
	return 0;
}

static void damage_is_fetched_again_and_then_eio(void **state)
{
	struct fixture *x = *state;
	uint8_t *one, *two, *buf = malloc(LEN);
	struct volume_stats s;

	two_versions(x, &one, &two);
	memstore_on_op(x->store, flip_twice, x);
	assert_int_equal(readable(x, "v2", buf, LEN), 0);
	assert_memory_equal(buf, two, LEN);
	volume_stats(x->v, &s);
	assert_int_equal(s.verify_failures, 1);
	memstore_on_op(x->store, NULL, NULL);
	for (uint64_t off = 0; off < 60; off += 8) {
		assert_int_equal(memstore_flip(x->store, "v2", off), 0);
		assert_int_equal(readable(x, "v2", buf, LEN), -EIO);
		assert_int_equal(memstore_flip(x->store, "v2", off), 0);
	}
	assert_int_equal(readable(x, "v2", buf, LEN), 0);
	expect(x, "v1", one, LEN);
	free(one);
	free(two);
	free(buf);
}

static void no_room_is_said_and_nothing_is_kept(void **state)
{
	struct fixture *x = *state;
	uint8_t *one, *two, *buf = malloc(LEN);

	two_versions(x, &one, &two);
	x->spool.max = 128 << 10;
	assert_int_equal(readable(x, "v2", buf, LEN), -ENOSPC);
	assert_int_equal(budget_used(&x->spool), 0);
	x->spool.max = 64 << 20;
	expect(x, "v2", two, LEN);
	free(one);
	free(two);
	free(buf);
}

static int at_once(void *arg)
{
	(void)arg;
	return 1;
}

static void an_interrupt_ends_the_decoding(void **state)
{
	struct fixture *x = *state;
	struct request hurried = { .uid = 1000, .gid = 100, .cancel = at_once };
	uint8_t *one, *two, buf[16];
	struct handle *h;

	two_versions(x, &one, &two);
	h = open_file(x, "v2");
	assert_int_equal(handle_read(h, &hurried, buf, 16, 0), -EINTR);
	assert_int_equal(handle_read(h, &somebody, buf, 16, 200000), 16);
	assert_memory_equal(buf, two + 200000, 16);
	handle_release(h);
	free(one);
	free(two);
}

/* A GET that takes until it is let go. */
static struct {
	sem_t entered, go;
} slow;

static int slow_get(void *arg, enum memstore_op op, const char *key, int after)
{
	(void)arg;
	if (op == MEMSTORE_GET && !after && !strcmp(key, "v2")) {
		(void)sem_post(&slow.entered);
		while (sem_wait(&slow.go))
			;
	}
	return 0;
}

struct patient {
	struct handle *h;
	ssize_t n;
};

static void *read_patiently(void *arg)
{
	struct patient *p = arg;
	uint8_t buf[16];

	p->n = handle_read(p->h, &somebody, buf, 16, 0);
	return NULL;
}

/* One decodes, another waits for that, and may be interrupted meanwhile. */
static void an_interrupt_ends_the_waiting(void **state)
{
	struct fixture *x = *state;
	struct request hurried = { .uid = 1000, .gid = 100, .cancel = at_once };
	struct patient p = { 0 };
	uint8_t *one, *two, buf[16];
	struct handle *other;
	pthread_t thread;

	two_versions(x, &one, &two);
	assert_int_equal(sem_init(&slow.entered, 0, 0), 0);
	assert_int_equal(sem_init(&slow.go, 0, 0), 0);
	p.h = open_file(x, "v2");
	other = open_file(x, "v2");
	memstore_on_op(x->store, slow_get, NULL);
	assert_int_equal(pthread_create(&thread, NULL, read_patiently, &p), 0);
	while (sem_wait(&slow.entered))
		;
	assert_int_equal(handle_read(other, &hurried, buf, 16, 0), -EINTR);
	assert_int_equal(sem_post(&slow.go), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(p.n, 16);
	assert_int_equal(handle_read(other, &somebody, buf, 16, 200000), 16);
	assert_memory_equal(buf, two + 200000, 16);
	memstore_on_op(x->store, NULL, NULL);
	handle_release(p.h);
	handle_release(other);
	free(one);
	free(two);
}

/* Promotion under a reader: another form, the same bytes. */
static void a_reader_follows_a_change_of_form(void **state)
{
	struct fixture *x = *state;
	uint8_t *one = noise(2, LEN), buf[16];
	struct handle *h;

	x->conf.codec = CODEC_BSDIFF;
	fixture_mount(x);
	assert_int_equal(put(x, "v1", one, LEN), 0);
	h = open_file(x, "v1");
	assert_int_equal(handle_read(h, &somebody, buf, 16, 0), 16);
	assert_int_equal(put(x, "v2", one, LEN), 0);
	expect_codec(x, "v1", "bsdiff");
	assert_int_equal(handle_read(h, &somebody, buf, 16, 299000), 16);
	assert_memory_equal(buf, one + 299000, 16);
	handle_release(h);
	free(one);
}

/* A patch is nothing without its metadata: where they do not fit, it is none. */
static void too_long_a_key_for_the_metadata(void **state)
{
	struct fixture *x = *state;
	char prefix[702];
	uint8_t *one, *two;

	memset(prefix, 0xe9, 700);
	prefix[700] = '/';
	prefix[701] = '\0';
	x->conf.prefix = prefix;
	two_versions(x, &one, &two);
	expect_storage(x, "v1", "plain");
	expect_storage(x, "v2", "plain");
	expect(x, "v2", two, LEN);
	fixture_unmount(x);
	x->conf.prefix = "";
	free(one);
	free(two);
}

static void appending_starts_from_the_patch(void **state)
{
	struct fixture *x = *state;
	uint8_t *one, *two, *three = malloc(LEN + 4);
	struct handle *h;
	struct inode *i;
	int same;

	two_versions(x, &one, &two);
	i = at(x, "v2");
	assert_int_equal(
		volume_open(x->v, &somebody, i, O_WRONLY | O_APPEND, &h, &same),
		0);
	assert_int_equal(handle_append(h, &somebody, "more", 4), 4);
	assert_int_equal(handle_flush(h), 0);
	handle_release(h);
	inode_forget(x->v, i, 1);
	memcpy(three, two, LEN);
	memcpy(three + LEN, "more", 4);
	fixture_mount(x);
	expect(x, "v2", three, LEN + 4);
	expect_codec(x, "v2", "bsdiff");
	free(one);
	free(two);
	free(three);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(versions_become_patches),
		TEST(readers_share_what_is_decoded),
		TEST(damage_is_fetched_again_and_then_eio),
		TEST(no_room_is_said_and_nothing_is_kept),
		TEST(an_interrupt_ends_the_decoding),
		TEST(an_interrupt_ends_the_waiting),
		TEST(a_reader_follows_a_change_of_form),
		TEST(too_long_a_key_for_the_metadata),
		TEST(appending_starts_from_the_patch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
