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

/* Lowered below what is in use: nothing until enough came back. */
static void a_limit_that_moves(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 100);
	assert_int_equal(budget_take(&b, 60), 0);
	budget_set_max(&b, 50);
	assert_int_equal(budget_max(&b), 50);
	assert_int_equal(budget_take(&b, 1), -ENOSPC);
	budget_give(&b, 11);
	assert_int_equal(budget_take(&b, 2), -ENOSPC);
	assert_int_equal(budget_take(&b, 1), 0);
	budget_set_max(&b, 70);
	assert_int_equal(budget_take(&b, 20), 0);
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
		cmocka_unit_test(a_limit_that_moves),
		cmocka_unit_test(never_overdrawn),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
