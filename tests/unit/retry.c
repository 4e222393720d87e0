/* The layer that repeats, over a store in memory that fails on request. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "s3/client.h"
#include "tests/support/memstore.h"
#include "tests/support/store_contract.h"

struct fixture {
	struct store *memory, *store;
	unsigned before, after; /* failures still to come, by kind */
	unsigned calls; /* of fault_fn with `after` 0 */
	int rc;
	unsigned told;
};

static int fault(void *arg, enum memstore_op op, const char *key, int after)
{
	struct fixture *f = arg;
	unsigned *left = after ? &f->after : &f->before;

	(void)key;
	if (op == MEMSTORE_HEAD)
		return 0;
	f->calls += !after;
	if (*left == 0)
		return 0;
	--*left;
	return f->rc;
}

static void on_retry(void *arg, const char *verb, const char *key,
		     const struct store_error *why, unsigned attempt)
{
	struct fixture *f = arg;

	(void)why;
	assert_true(*verb != '\0' && key != NULL);
	assert_in_range(attempt, 1, 3);
	f->told++;
}

static void begin(struct fixture *f)
{
	struct s3_conf conf = { .retries = 3,
				.on_retry = on_retry,
				.on_retry_arg = f };

	memset(f, 0, sizeof(*f));
	f->rc = -EAGAIN;
	assert_int_equal(memstore_new(&f->memory), 0);
	memstore_on_op(f->memory, fault, f);
	assert_int_equal(s3_retry_new(&f->store, f->memory, &conf), 0);
}

static void end(struct fixture *f)
{
	f->store->ops->free(f->store);
}

static int put(struct fixture *f, const char *text, const char *mark,
	       const struct store_call *call, struct store_stat *out)
{
	struct contract_memory m = { (const unsigned char *)text,
				     strlen(text) };
	struct store_source src = contract_source(&m);
	struct meta meta = { 0 };
	struct store_head head = { .meta = &meta };

	if (mark != NULL)
		assert_int_equal(meta_set(&meta, "mark", mark), 0);
	return f->store->ops->put(f->store, "k", &src, &head, call, out);
}

static void repeats(void **state)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store_counters counters;
	struct store_stat st;
	struct fixture f;

	(void)state;
	begin(&f);
	f.before = 3;
	assert_int_equal(put(&f, "x", NULL, &call, &st), 0);
	assert_int_equal(f.calls, 4);
	assert_int_equal(f.told, 3);
	store_count(f.store, &counters);
	assert_int_equal(counters.retries, 3);
	f.before = 4;
	f.calls = 0;
	assert_int_equal(put(&f, "x", NULL, &call, NULL), -EIO);
	assert_int_equal(f.calls, 4);
	assert_true(error.text[0] != '\0');
	/* What is permanent is not repeated. */
	f.before = 1;
	f.calls = 0;
	f.rc = -EACCES;
	assert_int_equal(f.store->ops->remove(f.store, "k", &call), -EACCES);
	assert_int_equal(f.calls, 1);
	end(&f);
}

/* Done, but the answer was lost: the repeated one meets its own result. */
static void meets_itself(void **state)
{
	struct store_call absent = { .if_absent = 1 };
	struct store_call match = { 0 };
	struct store_stat st;
	struct store_stat now;
	struct fixture f;

	(void)state;
	begin(&f);
	f.after = 1;
	assert_int_equal(put(&f, "x", "1", &absent, &st), 0);
	assert_int_equal(f.store->ops->head(f.store, "k", NULL, &now), 0);
	assert_string_equal(st.etag, now.etag);
	assert_int_equal(put(&f, "x", "1", &absent, &st), -EEXIST);
	f.after = 1;
	match.if_match = now.etag;
	assert_int_equal(put(&f, "y", "2", &match, &st), 0);
	/* A loser stays one: what is there is somebody else's. */
	f.before = 1;
	assert_int_equal(put(&f, "z", "3", &match, NULL), -ESTALE);
	f.after = 1;
	match.if_match = st.etag;
	assert_int_equal(f.store->ops->remove(f.store, "k", &match), 0);
	/* Without metadata there is no telling. */
	f.after = 1;
	assert_int_equal(put(&f, "x", NULL, &absent, &st), -EEXIST);
	end(&f);
}

static void copies(void **state)
{
	struct store_call absent = { .if_absent = 1 };
	struct store_stat st;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(put(&f, "x", "1", NULL, NULL), 0);
	f.after = 1;
	assert_int_equal(
		f.store->ops->copy(f.store, "k", "to", NULL, &absent, &st), 0);
	assert_int_equal(
		f.store->ops->copy(f.store, "k", "to", NULL, &absent, &st),
		-EEXIST);
	end(&f);
}

static int fails_itself(void *arg, const void *data, size_t len)
{
	unsigned *calls = arg;

	(void)data;
	(void)len;
	++*calls;
	return -EAGAIN;
}

static int takes(void *arg, const void *data, size_t len)
{
	size_t *got = arg;

	(void)data;
	*got += len;
	return 0;
}

static void downloads(void **state)
{
	struct store_stat st = { 0 };
	struct fixture f;
	unsigned calls = 0;
	size_t got = 0;

	(void)state;
	begin(&f);
	assert_int_equal(put(&f, "0123456789", NULL, NULL, NULL), 0);
	/* A sink's own error is the caller's, whatever its number. */
	assert_int_equal(f.store->ops->get(f.store, "k", 0, 10, NULL,
					   fails_itself, &calls, NULL),
			 -EAGAIN);
	assert_int_equal(calls, 1);
	/* All bytes came, only the end of the answer did not. */
	f.after = 1;
	assert_int_equal(
		f.store->ops->get(f.store, "k", 0, 10, NULL, takes, &got, &st),
		0);
	assert_int_equal(got, 10);
	assert_int_equal(st.len, 10);
	end(&f);
}

static int collect(void *arg, const char *key, const struct store_stat *st,
		   int is_prefix)
{
	char *out = arg;

	(void)st;
	(void)is_prefix;
	(void)snprintf(out + strlen(out), 64 - strlen(out), "%s,", key);
	return 0;
}

static void lists(void **state)
{
	static const char *const keys[] = { "a", "b", "c" };
	struct store_list what = { .prefix = "" };
	struct store_source src = { 0, NULL, NULL };
	char out[64] = "";
	struct fixture f;
	size_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < 3; i++)
		assert_int_equal(f.store->ops->put(f.store, keys[i], &src, NULL,
						   NULL, NULL),
				 0);
	/* The whole list came, then an error: nothing is given twice. */
	f.after = 1;
	assert_int_equal(f.store->ops->list(f.store, &what, NULL, collect, out),
			 0);
	assert_string_equal(out, "a,b,c,");
	out[0] = '\0';
	f.after = 1;
	what.max = 2;
	assert_int_equal(f.store->ops->list(f.store, &what, NULL, collect, out),
			 0);
	assert_string_equal(out, "a,b,");
	end(&f);
}

static int at_once(void *arg)
{
	(void)arg;
	return 1;
}

static void is_cancelled(void **state)
{
	struct store_call call = { .cancel = at_once };
	struct fixture f;

	(void)state;
	begin(&f);
	f.before = 100;
	assert_int_equal(put(&f, "x", NULL, &call, NULL), -EINTR);
	assert_true(f.calls <= 1);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repeats), cmocka_unit_test(meets_itself),
		cmocka_unit_test(copies),  cmocka_unit_test(downloads),
		cmocka_unit_test(lists),   cmocka_unit_test(is_cancelled),
	};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
