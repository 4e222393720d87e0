/* When an operation is given up, and how often it is tried until then. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "crypto/clock.h"
#include "s3/deadline.h"
#include "s3/errand.h"
#include "s3/rate.h"

static const struct store_error nothing_said;

static void pause_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&t, NULL);
}

static void only_news_is_progress(void **state)
{
	struct deadline d;
	uint64_t was;

	(void)state;
	deadline_init(&d, 60000, NULL);
	assert_in_range(deadline_left_ms(&d), 59000, 60000);
	deadline_reach(&d, 100, 0);
	was = d.moved_ms;
	pause_ms(5);
	/* The same bytes once more, and fewer. */
	deadline_reach(&d, 100, 0);
	deadline_reach(&d, 99, 0);
	assert_int_equal(d.moved_ms, was);
	deadline_reach(&d, 101, 0);
	assert_true(d.moved_ms > was);
	was = d.moved_ms;
	pause_ms(5);
	deadline_reach(&d, 0, 1);
	assert_true(d.moved_ms > was);
	was = d.moved_ms;
	pause_ms(20);
	deadline_excuse(&d, 10);
	assert_int_equal(d.moved_ms, was + 10);
	/* Never into the future. */
	deadline_excuse(&d, 100000);
	assert_true(deadline_left_ms(&d) <= 60000);
	assert_true(deadline_left_ms(NULL) == UINT64_MAX);
	deadline_init(&d, 0, NULL);
	assert_true(deadline_left_ms(&d) == UINT64_MAX);
}

/* However long the server asks for, something is left to try it in. */
static void a_wait_leaves_time_to_try(void **state)
{
	struct store_error asks = { .retry_after_s = 300 };
	struct deadline d;
	struct store_call call = { .deadline = &d };
	unsigned tries = 0;
	uint64_t start = clock_ms();

	(void)state;
	deadline_init(&d, 1000, NULL);
	while (deadline_backoff(1, &asks, &call) == 0) {
		assert_true(deadline_left_ms(&d) > 0);
		tries++;
	}
	assert_in_range(tries, 1, 20);
	assert_true(clock_ms() - start <= 1000);
	assert_int_equal(deadline_backoff(1, &asks, &call), -ETIMEDOUT);
}

/* Of an errand only the operations take time, not what lies between them. */
static void an_errand_may_think(void **state)
{
	struct deadline *d;
	uint64_t left;

	(void)state;
	assert_null(errand_operation(300, NULL));
	errand_operation_over();
	errand_begin();
	pause_ms(400);
	d = errand_operation(300, NULL);
	assert_non_null(d);
	assert_in_range(deadline_left_ms(d), 250, 300);
	pause_ms(100);
	errand_operation_over();
	left = deadline_left_ms(d);
	assert_in_range(left, 1, 200);
	pause_ms(400);
	/* Two at once: the first to begin ends the pause, the last begins one. */
	assert_ptr_equal(errand_operation(300, NULL), d);
	assert_in_range(deadline_left_ms(d), left - 40, left);
	assert_ptr_equal(errand_operation(300, NULL), d);
	errand_operation_over();
	pause_ms(300);
	errand_operation_over();
	assert_int_equal(deadline_left_ms(d), 0);
	/* What failed is told; the next errand knows nothing of it. */
	errand_failed("get", "k", -EIO, &(struct store_error){ .text = "why" });
	assert_string_equal(errand_reason(-EIO), "get \"k\": why");
	assert_null(errand_reason(-ETIMEDOUT));
	errand_begin();
	assert_null(errand_reason(-EIO));
	errand_hurry(100);
	d = errand_operation(300, NULL);
	assert_in_range(deadline_left_ms(d), 50, 100);
	errand_operation_over();
	errand_end();
	assert_null(errand_current());
}

static int at_once(void *arg)
{
	(void)arg;
	return 1;
}

static void a_wait_is_cancelled(void **state)
{
	struct store_error asks = { .retry_after_s = 300 };
	struct store_call call = { .cancel = at_once };

	(void)state;
	assert_int_equal(deadline_backoff(9, &asks, &call), -EINTR);
}

/* All repeats of a second, whoever's, against a server that only fails. */
static void repeats_have_a_budget(void **state)
{
	struct retry_budget *b;
	struct deadline d;
	struct store_call call = { .deadline = &d };
	uint64_t start = clock_ms();
	unsigned n = 0;

	(void)state;
	assert_int_equal(retry_budget_new(&b), 0);
	deadline_init(&d, 60000, b);
	/* Attempt 0 waits for no more than the budget. */
	while (clock_ms() - start < 8000 && n < 160) {
		assert_int_equal(deadline_backoff(0, &nothing_said, &call), 0);
		n++;
	}
	/* 100 at hand, and 10 a second: 160 take about six. */
	assert_in_range(n, 100, 160);
	assert_true(n < 160 || clock_ms() - start > 4000);
	start = clock_ms();
	for (n = 0; n < 400; n++)
		retry_budget_success(b);
	for (n = 0; n < 20; n++)
		assert_int_equal(deadline_backoff(0, &nothing_said, &call), 0);
	assert_true(clock_ms() - start < 4000);
	retry_budget_free(b);
}

static void a_rate_is_kept(void **state)
{
	struct rate *r;
	struct store_call call = { .cancel = at_once };
	uint64_t start;
	size_t done = 0;

	(void)state;
	assert_int_equal(rate_new(&r, 0), 0);
	assert_null(r);
	assert_int_equal(rate_take(r, 12345, &call), 12345);
	assert_int_equal(rate_new(&r, 1000000), 0);
	start = clock_ms();
	call.cancel = NULL;
	while (done < 1000000) {
		size_t n = rate_take(r, 100000, &call);

		assert_in_range(n, 1, 100000);
		done += n;
	}
	/* A quarter of a second's worth may be at hand. */
	assert_true(clock_ms() - start >= 700);
	while (rate_take(r, SIZE_MAX, &call) > 100000)
		;
	call.cancel = at_once;
	while (rate_take(r, 100000, &call) != 0)
		;
	rate_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_news_is_progress),
		cmocka_unit_test(an_errand_may_think),
		cmocka_unit_test(a_wait_leaves_time_to_try),
		cmocka_unit_test(a_wait_is_cancelled),
		cmocka_unit_test(repeats_have_a_budget),
		cmocka_unit_test(a_rate_is_kept),
	};

	return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
