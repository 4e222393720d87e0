#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/budget.h"

static void takes_and_gives(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 100);
	assert_int_equal(budget_take(&b, 60), 0);
	assert_int_equal(budget_take(&b, 41), -ENOSPC);
	assert_int_equal(budget_used(&b), 60);
	assert_int_equal(budget_take(&b, 40), 0);
	assert_int_equal(budget_take(&b, 1), -ENOSPC);
	assert_int_equal(budget_take(&b, 0), 0);
	assert_int_equal(budget_take(&b, UINT64_MAX), -ENOSPC);
	budget_give(&b, 30);
	assert_int_equal(budget_take(&b, 30), 0);
	budget_give(&b, 100);
	assert_int_equal(budget_used(&b), 0);
	budget_clear(&b);

	budget_init(&b, UINT64_MAX);
	assert_int_equal(budget_take(&b, UINT64_MAX - 1), 0);
	assert_int_equal(budget_take(&b, 2), -ENOSPC);
	assert_int_equal(budget_take(&b, 1), 0);
	budget_clear(&b);
}

struct hoard {
	struct budget *b;
	uint64_t kept, asked;
	unsigned calls;
};

/* Gives back ten at a time: the lock must not be held. */
static uint64_t give_some(void *arg, uint64_t missing)
{
	struct hoard *h = arg;
	uint64_t n = h->kept < 10 ? h->kept : 10;

	h->calls++;
	h->asked = missing;
	h->kept -= n;
	budget_give(h->b, n);
	return n;
}

static void reclaims(void **state)
{
	struct budget b;
	struct hoard h = { &b, 40, 0, 0 };

	(void)state;
	budget_init(&b, 100);
	b.reclaim = give_some;
	b.reclaim_arg = &h;
	assert_int_equal(budget_take(&b, 100), 0); /* 40 of them the hoard's */
	assert_int_equal(h.calls, 0);
	assert_int_equal(budget_take(&b, 25), 0);
	assert_int_equal(h.calls, 3);
	assert_int_equal(h.asked, 5);
	/* Not to be had: all that is reclaimed stays free for others. */
	assert_int_equal(budget_take(&b, 80), -ENOSPC);
	assert_int_equal(h.kept, 0);
	assert_int_equal(budget_take(&b, 15), 0);
	h.kept = 5;
	h.calls = 0;
	assert_int_equal(budget_take(&b, 101), -ENOSPC);
	assert_int_equal(h.calls, 0);
	budget_clear(&b);
}

struct crowd {
	struct budget *b;
	atomic_ullong *out; /* what all together hold */
	unsigned bad;
};

static void *take_and_give(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t n = i % 37;

		if (budget_take(c->b, n))
			continue;
		if (atomic_fetch_add(c->out, n) + n > 64)
			c->bad++;
		atomic_fetch_sub(c->out, n);
		budget_give(c->b, n);
	}
	return NULL;
}

static void never_overdrawn(void **state)
{
	atomic_ullong out = 0;
	struct budget b;
	struct crowd c[4];
	pthread_t t[4];

	(void)state;
	budget_init(&b, 64);
	for (unsigned i = 0; i < 4; i++) {
		c[i] = (struct crowd){ &b, &out, 0 };
		assert_int_equal(
			pthread_create(&t[i], NULL, take_and_give, &c[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(c[i].bad, 0);
	}
	assert_int_equal(budget_used(&b), 0);
	budget_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_and_gives),
		cmocka_unit_test(reclaims),
		cmocka_unit_test(never_overdrawn),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
