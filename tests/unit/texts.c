#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/texts.h"
#include "delta/index.h"

#define LEN     ((uint64_t)100000)
#define EACH    (LEN + delta_index_cost((size_t)LEN)) /* of the budget */
#define SOURCES 12
#define THREADS 8

/* What is in a text, and who loads it. */
struct source {
	uint8_t digest[DIGEST_LEN];
	uint64_t len;
	uint8_t seed;
	atomic_uint loads;
	int fail; /* returned in the middle */
	struct gate *gate; /* loading waits for it */
};

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t open;
	int is_open;
};

struct fixture {
	struct texts *t;
	struct source s[SOURCES];
};

static uint8_t byte_at(const struct source *s, uint64_t i)
{
	return (uint8_t)((i * 2654435761u >> 7) + s->seed);
}

static int load(void *arg, uint8_t *dst, uint64_t len)
{
	struct source *s = arg;

	atomic_fetch_add(&s->loads, 1);
	if (s->gate) {
		pthread_mutex_lock(&s->gate->lock);
		while (!s->gate->is_open)
			pthread_cond_wait(&s->gate->open, &s->gate->lock);
		pthread_mutex_unlock(&s->gate->lock);
	}
	for (uint64_t i = 0; i < len; i++) {
		if (s->fail && i >= len / 2)
			return s->fail;
		dst[i] = byte_at(s, i);
	}
	return 0;
}

static int is_right(const struct text *x, const struct source *s)
{
	const uint8_t *p = text_bytes(x);

	for (uint64_t i = 0; i < s->len; i++)
		if (p[i] != byte_at(s, i))
			return 0;
	return 1;
}

static int get(struct fixture *x, unsigned i, struct text **out)
{
	struct source *s = &x->s[i];

	return texts_get(x->t, s->digest, s->len, load, s, out);
}

static struct text *expect(struct fixture *x, unsigned i)
{
	struct text *text;

	assert_int_equal(get(x, i, &text), 0);
	assert_true(is_right(text, &x->s[i]));
	return text;
}

static int in_memory(struct fixture *x, unsigned i)
{
	struct text *text;

	if (texts_find(x->t, x->s[i].digest, x->s[i].len, &text))
		return 0;
	assert_true(is_right(text, &x->s[i]));
	text_put(x->t, text);
	return 1;
}

static uint64_t bytes(struct fixture *x)
{
	struct texts_stats st;

	texts_stats(x->t, &st);
	return st.bytes;
}

static void reopen(struct fixture *x, uint64_t max, uint64_t idle_max)
{
	texts_close(x->t);
	assert_int_equal(texts_open(&x->t, max, idle_max), 0);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	for (unsigned i = 0; i < SOURCES; i++) {
		x->s[i].len = LEN;
		x->s[i].seed = (uint8_t)(17 * i);
		memset(x->s[i].digest, (int)i, DIGEST_LEN);
	}
	reopen(x, 100 * EACH, 100 * EACH);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	texts_clear(x->t);
	assert_int_equal(bytes(x), 0);
	texts_close(x->t);
	free(x);
	return 0;
}

static void loaded_once_and_found(void **state)
{
	struct fixture *x = *state;
	struct text *a, *b, *c = NULL;
	struct texts_stats st;

	assert_int_equal(texts_find(x->t, x->s[0].digest, LEN, &c), -ENOENT);
	assert_null(c);
	a = expect(x, 0);
	b = expect(x, 0);
	assert_ptr_equal(a, b);
	assert_int_equal(texts_find(x->t, x->s[0].digest, LEN, &c), 0);
	assert_ptr_equal(a, c);
	texts_stats(x->t, &st);
	assert_int_equal(st.bytes, EACH);
	assert_int_equal(st.limit, 100 * EACH);
	text_put(x->t, a);
	text_put(x->t, b);
	text_put(x->t, c);
	text_put(x->t, NULL);
	/* Kept for the next. */
	text_put(x->t, expect(x, 0));
	assert_int_equal(x->s[0].loads, 1);
	assert_int_equal(bytes(x), EACH);
	texts_close(NULL);
}

static void the_length_is_part_of_the_name(void **state)
{
	struct fixture *x = *state;
	struct text *whole = expect(x, 0), *none, *shorter;

	x->s[1] = (struct source){ .len = LEN - 1 };
	memcpy(x->s[1].digest, x->s[0].digest, DIGEST_LEN);
	assert_false(in_memory(x, 1));
	shorter = expect(x, 1);
	assert_ptr_not_equal(whole, shorter);
	x->s[2] = (struct source){ .len = 0 };
	none = expect(x, 2);
	assert_true(bytes(x) > 2 * LEN);
	assert_true(in_memory(x, 2));
	text_put(x->t, whole);
	text_put(x->t, none);
	text_put(x->t, shorter);
}

static void a_failing_loader(void **state)
{
	struct fixture *x = *state;
	struct text *text = NULL;

	x->s[0].fail = -EIO;
	assert_int_equal(get(x, 0, &text), -EIO);
	assert_null(text);
	assert_int_equal(bytes(x), 0);
	assert_false(in_memory(x, 0));
	x->s[0].fail = -EEXIST; /* which means something inside */
	assert_int_equal(get(x, 0, &text), -EEXIST);
	assert_null(text);
	x->s[0].fail = 0;
	text_put(x->t, expect(x, 0));
	assert_int_equal(x->s[0].loads, 3);
}

static void what_is_idle_is_bounded(void **state)
{
	struct fixture *x = *state;
	struct text *held[5];

	reopen(x, 10 * EACH, 3 * EACH);
	for (unsigned i = 0; i < 5; i++)
		held[i] = expect(x, i);
	assert_int_equal(bytes(x), 5 * EACH);
	for (unsigned i = 0; i < 5; i++)
		text_put(x->t, held[i]);
	assert_int_equal(bytes(x), 3 * EACH);
	/* The last three, of which 2 is the oldest, until it is used. */
	assert_false(in_memory(x, 0));
	assert_false(in_memory(x, 1));
	assert_true(in_memory(x, 2));
	text_put(x->t, expect(x, 5));
	assert_false(in_memory(x, 3));
	assert_true(in_memory(x, 2));
	assert_true(in_memory(x, 4));
	assert_true(in_memory(x, 5));
	assert_int_equal(bytes(x), 3 * EACH);

	/* Nothing stays where nothing may, and one that is too large. */
	reopen(x, 10 * EACH, 0);
	text_put(x->t, expect(x, 0));
	assert_int_equal(bytes(x), 0);
	reopen(x, 10 * EACH, EACH - 1);
	text_put(x->t, expect(x, 0));
	assert_int_equal(bytes(x), 0);
}

static void what_is_held_counts_and_what_is_idle_makes_way(void **state)
{
	struct fixture *x = *state;
	struct text *a, *b, *none = NULL;

	reopen(x, 2 * EACH, 2 * EACH);
	a = expect(x, 0);
	b = expect(x, 1);
	assert_int_equal(get(x, 2, &none), -ENOMEM);
	assert_null(none);
	assert_int_equal(x->s[2].loads, 0);
	text_put(x->t, b);
	assert_int_equal(bytes(x), 2 * EACH);
	b = expect(x, 2); /* in the place of 1 */
	assert_false(in_memory(x, 1));
	assert_true(in_memory(x, 0));
	assert_int_equal(bytes(x), 2 * EACH);
	text_put(x->t, a);
	text_put(x->t, b);
}

static void others_take_of_the_same_budget(void **state)
{
	struct fixture *x = *state;
	struct text *a, *none = NULL;

	reopen(x, 2 * EACH, 2 * EACH);
	text_put(x->t, expect(x, 0));
	a = expect(x, 1);
	assert_int_equal(texts_take(x->t, EACH + 1), -ENOMEM);
	assert_true(in_memory(x, 0)); /* which has cost nothing */
	assert_int_equal(texts_take(x->t, EACH), 0);
	assert_false(in_memory(x, 0));
	assert_int_equal(bytes(x), 2 * EACH);
	assert_int_equal(texts_take(x->t, 1), -ENOMEM);
	assert_int_equal(texts_take(x->t, UINT64_MAX), -ENOMEM);
	assert_int_equal(texts_take(x->t, 0), 0);
	assert_int_equal(get(x, 0, &none), -ENOMEM);
	texts_give(x->t, 1);
	assert_int_equal(get(x, 0, &none), -ENOMEM);
	texts_give(x->t, EACH - 1);
	text_put(x->t, expect(x, 0));
	text_put(x->t, a);
}

static void forgotten_they_are_read_on_and_not_found(void **state)
{
	struct fixture *x = *state;
	struct text *old, *fresh;

	old = expect(x, 0);
	text_put(x->t, expect(x, 1));
	texts_clear(x->t);
	assert_int_equal(bytes(x), EACH); /* the idle one went at once */
	assert_false(in_memory(x, 0));
	assert_false(in_memory(x, 1));
	fresh = expect(x, 0);
	assert_ptr_not_equal(old, fresh);
	assert_int_equal(x->s[0].loads, 2);
	assert_int_equal(bytes(x), 2 * EACH);
	assert_true(is_right(old, &x->s[0]));
	text_put(x->t, old);
	assert_int_equal(bytes(x), EACH);
	text_put(x->t, fresh);
	assert_true(in_memory(x, 0));

	fresh = expect(x, 0);
	texts_drop_idle(x->t); /* what is held is not meant */
	assert_true(in_memory(x, 0));
	text_put(x->t, fresh);
	texts_drop_idle(x->t);
	assert_int_equal(bytes(x), 0);
}

static void limits_that_move(void **state)
{
	struct fixture *x = *state;
	struct text *held = expect(x, 0), *none = NULL;

	for (unsigned i = 1; i < 6; i++)
		text_put(x->t, expect(x, i));
	assert_int_equal(bytes(x), 6 * EACH);
	texts_set_limit(x->t, 100 * EACH, 4 * EACH);
	assert_int_equal(bytes(x), 5 * EACH);
	assert_false(in_memory(x, 1));
	texts_set_limit(x->t, 3 * EACH, 4 * EACH);
	assert_int_equal(bytes(x), 3 * EACH);
	assert_true(in_memory(x, 5));
	/* Below what is in use: that stays, and nothing else comes. */
	texts_set_limit(x->t, EACH - 1, EACH);
	assert_int_equal(bytes(x), EACH);
	assert_true(is_right(held, &x->s[0]));
	assert_int_equal(get(x, 1, &none), -ENOMEM);
	text_put(x->t, held);
	texts_set_limit(x->t, 2 * EACH, EACH);
	text_put(x->t, expect(x, 1));
	assert_int_equal(bytes(x), EACH);
}

static void an_index_is_made_once_and_kept(void **state)
{
	const struct delta_index *ix = NULL, *same = NULL;
	struct fixture *x = *state;
	struct text *a = expect(x, 0);

	assert_int_equal(text_index(x->t, a, &ix), 0);
	assert_non_null(ix);
	assert_int_equal(text_index(x->t, a, &same), 0);
	assert_ptr_equal(ix, same);
	assert_int_equal(bytes(x), EACH); /* its room was there */
	text_put(x->t, a);
	a = expect(x, 0);
	assert_int_equal(text_index(x->t, a, &same), 0);
	assert_ptr_equal(ix, same);
	text_put(x->t, a);

	/* Less of it where the budget is short, and nothing for too little. */
	for (uint64_t room = EACH - LEN; room > (EACH - LEN) / 16; room /= 2) {
		reopen(x, LEN + room, 0);
		a = expect(x, 0);
		assert_int_equal(bytes(x), LEN + room);
		assert_int_equal(text_index(x->t, a, &ix), 0);
		text_put(x->t, a);
	}
	reopen(x, LEN + (EACH - LEN) / 17, 0);
	assert_int_equal(get(x, 0, &a), -ENOMEM);
	assert_int_equal(bytes(x), 0);
}

struct worker {
	struct fixture *x;
	pthread_barrier_t *barrier;
	unsigned number, rounds;
	uint64_t seed;
	const struct delta_index *index;
	unsigned bad;
	int err;
};

static void run(struct fixture *x, void *(*fn)(void *), struct worker *w,
		unsigned n)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < n; i++) {
		w[i].x = x;
		w[i].number = i;
		w[i].seed = 77 + i;
		assert_int_equal(pthread_create(&threads[i], NULL, fn, &w[i]),
				 0);
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void *get_the_same(void *arg)
{
	struct worker *w = arg;
	struct text *text;

	pthread_barrier_wait(w->barrier);
	w->err = get(w->x, 0, &text);
	if (!w->err) {
		w->bad = !is_right(text, &w->x->s[0]);
		w->err = text_index(w->x->t, text, &w->index);
	}
	pthread_barrier_wait(w->barrier);
	if (!w->err)
		text_put(w->x->t, text);
	return NULL;
}

static void one_load_and_one_index_for_all(void **state)
{
	struct worker w[THREADS] = { 0 };
	struct fixture *x = *state;
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		w[i].barrier = &barrier;
	for (unsigned round = 1; round <= 20; round++) {
		run(x, get_the_same, w, THREADS);
		for (unsigned i = 0; i < THREADS; i++) {
			assert_int_equal(w[i].err, 0);
			assert_int_equal(w[i].bad, 0);
			assert_ptr_equal(w[i].index, w[0].index);
		}
		assert_int_equal(x->s[0].loads, round);
		assert_int_equal(bytes(x), EACH);
		texts_drop_idle(x->t);
	}
	pthread_barrier_destroy(&barrier);
}

static void *get_failing(void *arg)
{
	struct worker *w = arg;
	struct text *text = NULL;

	w->err = get(w->x, 0, &text);
	w->bad = text != NULL;
	return NULL;
}

/* Those who wait for a load that fails fail with it, or try for themselves. */
static void all_are_told_of_a_load_that_fails(void **state)
{
	struct gate gate = { PTHREAD_MUTEX_INITIALIZER,
			     PTHREAD_COND_INITIALIZER, 0 };
	struct fixture *x = *state;
	struct worker w[4] = { 0 };
	pthread_t threads[4];

	x->s[0].fail = -ETIMEDOUT;
	x->s[0].gate = &gate;
	for (unsigned i = 0; i < 4; i++) {
		w[i].x = x;
		assert_int_equal(
			pthread_create(&threads[i], NULL, get_failing, &w[i]),
			0);
	}
	while (!atomic_load(&x->s[0].loads))
		(void)sched_yield();
	assert_false(in_memory(x, 0)); /* not before it is loaded */
	pthread_mutex_lock(&gate.lock);
	gate.is_open = 1;
	pthread_cond_broadcast(&gate.open);
	pthread_mutex_unlock(&gate.lock);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(w[i].err, -ETIMEDOUT);
		assert_int_equal(w[i].bad, 0);
	}
	assert_int_equal(bytes(x), 0);
}

static uint32_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32);
}

/* One at a time each, and so always room for all. */
static void *one_after_the_other(void *arg)
{
	struct worker *w = arg;
	struct text *text;

	for (unsigned k = 0; k < 150; k++) {
		/* Nobody else's: 3 for each of 4 threads. */
		unsigned i = 3 * w->number + next(&w->seed) % 3;

		w->err = get(w->x, i, &text);
		if (w->err)
			return NULL;
		w->bad += !is_right(text, &w->x->s[i]);
		text_put(w->x->t, text);
	}
	return NULL;
}

static void who_is_within_the_budget_is_not_refused(void **state)
{
	struct worker w[4] = { 0 };
	struct fixture *x = *state;

	reopen(x, 4 * EACH, 4 * EACH);
	run(x, one_after_the_other, w, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(w[i].err, 0);
		assert_int_equal(w[i].bad, 0);
	}
}

/* What all threads together hold, by their own account. */
struct account {
	pthread_mutex_t lock;
	unsigned holders[SOURCES];
	uint64_t held, most;
};
static struct account account = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void note(unsigned i, int more)
{
	struct account *a = &account;

	pthread_mutex_lock(&a->lock);
	if (more > 0 && !a->holders[i]++)
		a->held += LEN;
	if (more < 0 && !--a->holders[i])
		a->held -= LEN;
	if (a->held > a->most)
		a->most = a->held;
	pthread_mutex_unlock(&a->lock);
}

static void hammer_step(struct worker *w)
{
	unsigned i = next(&w->seed) % SOURCES, how = next(&w->seed) % 40;
	struct fixture *x = w->x;
	const struct delta_index *ix;
	struct text *text;
	uint64_t n = next(&w->seed) % (2 * EACH);
	int err;

	if (how == 0)
		texts_clear(x->t);
	if (how == 1)
		texts_drop_idle(x->t);
	if (how < 10 && !texts_take(x->t, n))
		texts_give(x->t, n);
	err = how == 2 ? texts_find(x->t, x->s[i].digest, LEN, &text)
		       : get(x, i, &text);
	if (err) {
		w->bad += err != (how == 2 ? -ENOENT : -ENOMEM);
		return;
	}
	note(i, 1);
	w->bad += !is_right(text, &x->s[i]);
	if (how > 30 && text_index(x->t, text, &ix))
		w->bad++;
	w->bad += bytes(x) > 5 * EACH;
	note(i, -1);
	text_put(x->t, text);
	w->bad += bytes(x) > 5 * EACH;
	w->rounds++;
}

static void *hammer(void *arg)
{
	for (unsigned k = 0; k < 200; k++)
		hammer_step(arg);
	return NULL;
}

static void never_over_budget(void **state)
{
	struct worker w[THREADS] = { 0 };
	struct fixture *x = *state;
	unsigned rounds = 0;

	reopen(x, 5 * EACH, 2 * EACH);
	run(x, hammer, w, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(w[i].bad, 0);
		rounds += w[i].rounds;
	}
	assert_true(rounds > THREADS * 200 / 4);
	assert_int_equal(account.held, 0);
	assert_true(account.most >= 2 * LEN);
	assert_true(account.most <= 5 * EACH);
	/* Nobody holds any, so they are idle, and no more than may be. */
	assert_true(bytes(x) <= 2 * EACH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loaded_once_and_found),
		TEST(the_length_is_part_of_the_name),
		TEST(a_failing_loader),
		TEST(what_is_idle_is_bounded),
		TEST(what_is_held_counts_and_what_is_idle_makes_way),
		TEST(others_take_of_the_same_budget),
		TEST(forgotten_they_are_read_on_and_not_found),
		TEST(limits_that_move),
		TEST(an_index_is_made_once_and_kept),
		TEST(one_load_and_one_index_for_all),
		TEST(all_are_told_of_a_load_that_fails),
		TEST(who_is_within_the_budget_is_not_refused),
		TEST(never_over_budget),
	};

	return cmocka_run_group_tests_name("texts", tests, NULL, NULL);
}
