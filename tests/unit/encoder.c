/* The encoder's choices: levels, tasks, the index and when it is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "delta/encode.h"
#include "delta/index.h"
#include "delta/probe.h"
#include "fs/tasks.h"
#include "tests/support/codec.h"

#define MIB ((size_t)1 << 20)

static uint64_t seed;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32);
}

/* Lines of words: what the coarse matcher takes for text. */
static void text(struct bytes *b, size_t len)
{
	static const char *const words[] = { "window", "delta",  "block",
					     "target", "branch", "reference" };

	while (b->len < len)
		assert_int_equal(bytes_printf(b, "%s %u %s\n", words[rnd() % 6],
					      rnd() % 100000, words[rnd() % 6]),
				 0);
	b->len = len;
}

static void noise(struct bytes *b, size_t len)
{
	assert_int_equal(bytes_reserve(b, len), 0);
	for (size_t i = 0; i < len; i++)
		b->data[b->len++] = (uint8_t)rnd();
}

/* Every few hundred bytes something else: fields, insertions, deletions. */
static void edited(const struct bytes *from, struct bytes *to)
{
	size_t at = 0;

	while (at < from->len) {
		size_t n = 300 + rnd() % 3000;

		if (n > from->len - at)
			n = from->len - at;
		assert_int_equal(bytes_append(to, from->data + at, n), 0);
		at += n;
		switch (rnd() % 3) {
		case 0:
			text(to, to->len + rnd() % 100);
			break;
		case 1:
			at += rnd() % 100;
			break;
		default:
			to->data[to->len - 1] ^= 1;
		}
	}
}

static void levels(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	size_t size[3];

	(void)state;
	seed = 1;
	text(&ref, 6 * MIB);
	edited(&ref, &target);
	text(&target, target.len + MIB);
	for (int level = DELTA_FAST; level <= DELTA_BEST; level++) {
		struct bytes object = BYTES_INIT, out = BYTES_INIT;

		assert_int_equal(codec_encode(&ref, &target,
					      (enum delta_level)level,
					      CODEC_KEY, MIB, 0, &object),
				 0);
		assert_int_equal(codec_decode(&ref, &object, target.len, &out),
				 0);
		assert_int_equal(out.len, target.len);
		assert_memory_equal(out.data, target.data, out.len);
		size[level] = object.len;
		bytes_clear(&object);
		bytes_clear(&out);
	}
	assert_true(size[DELTA_DEFAULT] < size[DELTA_FAST]);
	assert_true(size[DELTA_BEST] < size[DELTA_DEFAULT]);
	bytes_clear(&ref);
	bytes_clear(&target);
}

/* An encoding under way, and what it asks of its surroundings. */
struct job {
	const struct bytes *ref;
	struct delta_index *ix;
	unsigned asked;
	int index_err;
	size_t index_max;
	size_t out_max; /* 0: any */
	struct bytes out;
};

static int get_index(void *arg, const struct delta_index **out)
{
	struct job *j = arg;
	int err = j->index_err;

	j->asked++;
	if (!err && !j->ix)
		err = delta_index_new(&j->ix, j->ref->data, j->ref->len,
				      j->index_max);
	if (!err)
		*out = j->ix;
	return err;
}

static int put(void *arg, const void *data, size_t len)
{
	struct job *j = arg;

	if (j->out_max && j->out.len + len > j->out_max)
		return -ENOSPC;
	return bytes_append(&j->out, data, len);
}

static int run(struct job *j, const struct bytes *target,
	       const struct delta_tasks *tasks)
{
	struct delta_encoder_conf conf = { .ref = j->ref->data,
					   .ref_len = j->ref->len,
					   .index = get_index,
					   .index_arg = j,
					   .level = DELTA_DEFAULT,
					   .max_len = UINT64_MAX,
					   .write = put,
					   .write_arg = j,
					   .tasks = tasks };
	struct delta_info info = { .target_len = target->len,
				   .ref_len = j->ref->len };
	struct delta_encoder *e;
	uint64_t len;
	int err;

	if (!j->index_max)
		j->index_max = SIZE_MAX;
	assert_int_equal(delta_encoder_new(&e, &conf, info.ref_digest), 0);
	err = delta_encoder_feed(e, target->data, target->len);
	if (!err)
		err = delta_encoder_finish(e, &info, &len);
	delta_encoder_free(e);
	return err;
}

static void job_clear(struct job *j)
{
	delta_index_free(j->ix);
	bytes_clear(&j->out);
}

/* Threads that are counted, on any machine. */
struct counted {
	pthread_t thread;
	void (*fn)(void *task);
	void *task;
};

static struct {
	unsigned started, waited;
} count;

static void *in_thread(void *arg)
{
	struct counted *c = arg;

	c->fn(c->task);
	return NULL;
}

static void *count_start(void *arg, void (*fn)(void *task), void *task)
{
	struct counted *c = malloc(sizeof(*c));

	(void)arg;
	assert_non_null(c);
	*c = (struct counted){ .fn = fn, .task = task };
	assert_int_equal(pthread_create(&c->thread, NULL, in_thread, c), 0);
	count.started++;
	return c;
}

static void count_wait(void *arg, void *started)
{
	struct counted *c = started;

	(void)arg;
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	free(c);
	count.waited++;
}

static const struct delta_tasks counting = { .width = 3,
					     .start = count_start,
					     .wait = count_wait };

/* Threads change when a window is packed, and nothing else. */
static void threads_make_no_difference(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	struct job one = { .ref = &ref };

	(void)state;
	seed = 2;
	text(&ref, 4 * MIB);
	edited(&ref, &target);
	noise(&target, 9 * MIB);
	text(&target, target.len + 5 * MIB);
	assert_int_equal(run(&one, &target, NULL), 0);
	for (int i = 0; i < 5; i++) {
		struct job many = { .ref = &ref };

		assert_int_equal(
			run(&many, &target, i ? &counting : tasks_threads()),
			0);
		assert_int_equal(many.out.len, one.out.len);
		assert_memory_equal(many.out.data, one.out.data, one.out.len);
		job_clear(&many);
	}
	job_clear(&one);
	bytes_clear(&ref);
	bytes_clear(&target);
}

/* Given up in the middle, with tasks under way: nothing is left behind. */
static void an_error_ends_it(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	struct job none = { .ref = &ref, .index_err = -EIO };

	(void)state;
	seed = 3;
	text(&ref, 3 * MIB);
	assert_int_equal(bytes_append(&target, ref.data, ref.len), 0);
	text(&target, target.len + 20 * MIB);
	assert_int_equal(run(&none, &target, &counting), -EIO);
	assert_int_equal(none.asked, 1);
	job_clear(&none);
	for (size_t max = MIB / 8; max < 2 * MIB; max *= 2) {
		struct job j = { .ref = &ref, .out_max = max };

		memset(&count, 0, sizeof(count));
		assert_int_equal(run(&j, &target, &counting), -ENOSPC);
		assert_true(count.started > 3);
		assert_int_equal(count.started, count.waited);
		job_clear(&j);
	}
	bytes_clear(&ref);
	bytes_clear(&target);
}

static void the_index_comes_late(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	struct job same = { .ref = &ref }, near = { .ref = &ref },
		   far = { .ref = &ref };

	(void)state;
	seed = 4;
	text(&ref, 5 * MIB);
	assert_int_equal(run(&same, &ref, NULL), 0);
	assert_int_equal(same.asked, 0);
	/* A few bytes put in, taken out, changed. */
	assert_int_equal(bytes_append(&target, ref.data, 2 * MIB), 0);
	assert_int_equal(bytes_append(&target, "put in\n", 7), 0);
	assert_int_equal(bytes_append(&target, ref.data + 2 * MIB, MIB), 0);
	assert_int_equal(
		bytes_append(&target, ref.data + 3 * MIB + 50, 2 * MIB - 50),
		0);
	target.data[4 * MIB] ^= 1;
	assert_int_equal(run(&near, &target, NULL), 0);
	assert_int_equal(near.asked, 0);
	assert_true(near.out.len < 1000);
	/* Halves that change places. */
	target.len = 0;
	assert_int_equal(bytes_append(&target, ref.data + 3 * MIB, 2 * MIB), 0);
	assert_int_equal(bytes_append(&target, ref.data, 3 * MIB), 0);
	assert_int_equal(run(&far, &target, NULL), 0);
	assert_int_equal(far.asked, 1);
	assert_true(far.out.len < 1000);
	job_clear(&same);
	job_clear(&near);
	job_clear(&far);
	bytes_clear(&ref);
	bytes_clear(&target);
}

/* With little memory it finds less, and is as right. */
static void a_small_index(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	size_t last = 0;

	(void)state;
	seed = 5;
	noise(&ref, 2 * MIB);
	for (size_t at = 0; at < 500; at++) {
		size_t from = rnd() % (2 * MIB - 600);

		assert_int_equal(bytes_append(&target, ref.data + from, 600),
				 0);
	}
	for (size_t max = 2 * MIB; max >= 1024; max /= 16) {
		struct job j = { .ref = &ref, .index_max = max };
		struct bytes out = BYTES_INIT;

		assert_int_equal(run(&j, &target, NULL), 0);
		assert_true(j.out.len >= last);
		last = j.out.len;
		assert_int_equal(codec_decode(&ref, &j.out, target.len, &out),
				 0);
		assert_memory_equal(out.data, target.data, target.len);
		bytes_clear(&out);
		job_clear(&j);
	}
	assert_true(delta_index_cost(ref.len) <= ref.len + 64);
	bytes_clear(&ref);
	bytes_clear(&target);
}

static unsigned probe(const struct bytes *ref, struct bytes *target,
		      unsigned *asked)
{
	struct job j = { .ref = ref, .index_max = SIZE_MAX };
	struct delta_encoder_conf conf = { .ref = ref->data,
					   .ref_len = ref->len,
					   .index = get_index,
					   .index_arg = &j };
	unsigned permille = 12345;

	assert_int_equal(
		delta_probe(&conf, codec_read, target, target->len, &permille),
		0);
	*asked = j.asked;
	job_clear(&j);
	return permille;
}

static void a_sample_tells(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	unsigned asked;

	(void)state;
	seed = 6;
	noise(&ref, 8 * MIB);
	assert_in_range(probe(&ref, &ref, &asked), 0, 10);
	assert_int_equal(asked, 0);
	noise(&target, 8 * MIB);
	assert_in_range(probe(&ref, &target, &asked), 990, 1010);
	/* Half of it is there, elsewhere. */
	memcpy(target.data, ref.data + 3 * MIB, 4 * MIB);
	assert_in_range(probe(&ref, &target, &asked), 350, 650);
	assert_true(asked > 0);
	/* Smaller than a sample, and nothing at all. */
	target.len = 100;
	(void)probe(&ref, &target, &asked);
	target.len = 0;
	assert_int_equal(probe(&ref, &target, &asked), 0);
	ref.len = 0;
	assert_int_equal(probe(&ref, &target, &asked), 0);
	bytes_clear(&ref);
	bytes_clear(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),
		cmocka_unit_test(threads_make_no_difference),
		cmocka_unit_test(an_error_ends_it),
		cmocka_unit_test(the_index_comes_late),
		cmocka_unit_test(a_small_index),
		cmocka_unit_test(a_sample_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
