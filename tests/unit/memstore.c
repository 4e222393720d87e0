#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/memstore.h"
#include "tests/support/store_contract.h"

static int setup(void **state)
{
	struct store *s;

	assert_int_equal(memstore_new(&s), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct store *s = *state;

	s->ops->free(s);
	return 0;
}

static int read_text(void *arg, void *buf, size_t len, uint64_t off)
{
	memcpy(buf, (const char *)arg + off, len);
	return 0;
}

static int put(struct store *s, const char *key, char *text,
	       const struct store_call *call, struct store_stat *out)
{
	static const struct store_call none;
	const struct store_source src = { strlen(text), read_text, text };

	return s->ops->put(s, key, &src, NULL, call ? call : &none, out);
}

struct taken {
	char text[256];
	size_t len;
};

static int take(void *arg, const void *data, size_t len)
{
	struct taken *t = arg;

	memcpy(t->text + t->len, data, len);
	t->len += len;
	t->text[t->len] = '\0';
	return 0;
}

static void expect(struct store *s, const char *key, const char *want)
{
	struct store_call call = { 0 };
	struct taken t = { "", 0 };

	assert_int_equal(
		s->ops->get(s, key, 0, strlen(want), &call, take, &t, NULL), 0);
	assert_string_equal(t.text, want);
}

static void puts_and_gets(void **state)
{
	struct store *s = *state;
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store_stat st, put_st;
	struct taken t = { "", 0 };
	char text[] = "hello, world";

	assert_int_equal(s->ops->head(s, "k", &call, &st), -ENOENT);
	assert_int_equal(error.http_status, 404);
	assert_true(error.text[0]);
	assert_int_equal(put(s, "k", text, &call, &put_st), 0);
	text[0] = 'J'; /* a deep copy is not ours to change */
	assert_int_equal(s->ops->head(s, "k", &call, &st), 0);
	assert_int_equal(st.len, 12);
	assert_string_equal(st.etag, put_st.etag);
	assert_string_equal(st.content_type, "application/octet-stream");
	assert_int_equal(s->ops->get(s, "k", 7, 5, &call, take, &t, &st), 0);
	assert_string_equal(t.text, "world");
	assert_int_equal(s->ops->get(s, "k", 7, 6, &call, take, &t, &st), -EIO);
	assert_int_equal(s->ops->get(s, "none", 0, 0, &call, take, &t, &st), 0);
	assert_int_equal(s->ops->get(s, "none", 0, 1, &call, take, &t, &st),
			 -ENOENT);
	expect(s, "k", "hello, world");
	assert_true(memstore_has(s, "k"));
	assert_int_equal(memstore_count(s, MEMSTORE_PUT), 1);
	assert_int_equal(memstore_count(s, MEMSTORE_HEAD), 2);

	assert_int_equal(memstore_flip(s, "k", 1), 0);
	expect(s, "k", "hdllo, world");
	assert_int_equal(memstore_flip(s, "k", 12), -ENOENT);
	assert_int_equal(memstore_flip(s, "none", 0), -ENOENT);
	assert_int_equal(s->ops->remove(s, "k", &call), 0);
	assert_int_equal(s->ops->remove(s, "k", &call), 0);
	assert_false(memstore_has(s, "k"));
}

static void conditions_hold(void **state)
{
	struct store *s = *state;
	struct store_call absent = { .if_absent = 1 }, match = { 0 };
	struct store_stat first, second;
	char a[] = "a", b[] = "b";

	assert_int_equal(put(s, "k", a, &absent, &first), 0);
	assert_int_equal(put(s, "k", b, &absent, NULL), -EEXIST);
	match.if_match = first.etag;
	assert_int_equal(put(s, "k", b, &match, &second), 0);
	assert_string_not_equal(first.etag, second.etag);
	assert_int_equal(put(s, "k", a, &match, NULL), -ESTALE);
	assert_int_equal(s->ops->remove(s, "k", &match), -ESTALE);
	assert_int_equal(s->ops->head(s, "k", &match, &first), -ESTALE);
	match.if_match = first.etag;
	assert_int_equal(s->ops->copy(s, "k", "c", NULL, &match, NULL),
			 -ESTALE);
	match.if_match = second.etag;
	assert_int_equal(s->ops->copy(s, "k", "c", NULL, &match, &first), 0);
	assert_string_not_equal(first.etag, second.etag);
	assert_int_equal(s->ops->copy(s, "k", "c", NULL, &absent, NULL),
			 -EEXIST);
	expect(s, "c", "b");
	assert_int_equal(s->ops->remove(s, "k", &match), 0);
	assert_int_equal(put(s, "k", a, &match, NULL), -ESTALE);

	/* A server that knows none of it takes all. */
	memstore_set_caps(s, &(struct store_caps){ 0 });
	assert_int_equal(put(s, "k", a, &match, NULL), 0);
	assert_int_equal(put(s, "k", b, &absent, NULL), 0);
	assert_int_equal(s->ops->copy(s, "k", "c", NULL, &absent, NULL), 0);
	match.if_match = "no such";
	assert_int_equal(s->ops->remove(s, "k", &match), 0);
}

static int read_then_fail(void *arg, void *buf, size_t len, uint64_t off)
{
	(void)arg;
	memset(buf, 'x', len);
	return off ? -EIO : 0;
}

static void a_failed_put_changes_nothing(void **state)
{
	const struct store_source src = { 200000, read_then_fail, NULL };
	struct store *s = *state;
	struct store_call call = { 0 };
	struct store_stat before, after;
	char a[] = "old";

	assert_int_equal(put(s, "k", a, NULL, &before), 0);
	assert_int_equal(s->ops->put(s, "k", &src, NULL, &call, NULL), -EIO);
	assert_int_equal(s->ops->head(s, "k", &call, &after), 0);
	assert_string_equal(before.etag, after.etag);
	expect(s, "k", "old");
}

static int append(void *arg, const char *key, const struct store_stat *st,
		  int is_prefix)
{
	char *out = arg;
	size_t len = strlen(out);

	assert_true(is_prefix ? !st : st && st->etag[0]);
	snprintf(out + len, 256 - len, "%s ", key);
	return 0;
}

static void list(struct store *s, struct store_list what, const char *want)
{
	struct store_call call = { 0 };
	char got[256] = "";

	assert_int_equal(s->ops->list(s, &what, &call, append, got), 0);
	assert_string_equal(got, want);
}

static int refuse_second(void *arg, const char *key,
			 const struct store_stat *st, int is_prefix)
{
	unsigned *n = arg;

	(void)key;
	(void)st;
	(void)is_prefix;
	return ++*n == 2 ? 42 : 0;
}

static void lists(void **state)
{
	static const char *const keys[] = { "b/2", "a",     "b/1", "b",
					    "b-",  "b/c/d", "c",   "\xc3\xa4" };
	const struct store_list all = { .prefix = "" };
	struct store *s = *state;
	struct store_call call = { 0 };
	unsigned n = 0;
	char x[] = "x";

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_int_equal(put(s, keys[i], x, NULL, NULL), 0);
	list(s, all, "a b b- b/1 b/2 b/c/d c \xc3\xa4 ");
	list(s, (struct store_list){ .prefix = "", .shallow = 1 },
	     "a b b- b/ c \xc3\xa4 ");
	list(s, (struct store_list){ .prefix = "b/", .shallow = 1 },
	     "b/1 b/2 b/c/ ");
	list(s, (struct store_list){ .prefix = "b" }, "b b- b/1 b/2 b/c/d ");
	list(s, (struct store_list){ .prefix = "b", .max = 2 }, "b b- ");
	list(s, (struct store_list){ .prefix = "x" }, "");
	list(s, (struct store_list){ .prefix = "", .after = "b/2" },
	     "b/c/d c \xc3\xa4 ");
	list(s, (struct store_list){ .prefix = "b/", .after = "a" },
	     "b/1 b/2 b/c/d ");
	list(s,
	     (struct store_list){ .prefix = "", .shallow = 1, .after = "b/2" },
	     "b/ c \xc3\xa4 ");
	list(s,
	     (struct store_list){ .prefix = "", .shallow = 1, .after = "b/" },
	     "c \xc3\xa4 ");
	list(s, (struct store_list){ .prefix = "", .after = "zzz\xff" },
	     "\xc3\xa4 ");
	assert_int_equal(s->ops->list(s, &all, &call, refuse_second, &n), 42);
	assert_int_equal(n, 2);
}

struct plan {
	struct store *s;
	int before, after; /* what to answer */
	int act; /* be the other writer, once */
	unsigned asked;
};

static int fault(void *arg, enum memstore_op op, const char *key, int after)
{
	struct plan *p = arg;
	char theirs[] = "theirs";

	p->asked++;
	if (op == MEMSTORE_PUT && !after && p->act) {
		p->act = 0;
		assert_int_equal(put(p->s, key, theirs, NULL, NULL), 0);
	}
	return after ? p->after : p->before;
}

static void faults(void **state)
{
	struct store *s = *state;
	struct plan p = { .s = s };
	struct store_call absent = { .if_absent = 1 };
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	char ours[] = "ours";

	memstore_on_op(s, fault, &p);
	p.before = -EAGAIN;
	assert_int_equal(put(s, "k", ours, &call, NULL), -EAGAIN);
	assert_int_equal(error.cause, EIO);
	assert_false(memstore_has(s, "k"));
	p.before = 0;
	p.after = -EAGAIN; /* done, and the answer is lost */
	assert_int_equal(put(s, "k", ours, NULL, NULL), -EAGAIN);
	assert_true(memstore_has(s, "k"));
	p.after = 0;
	p.act = 1;
	assert_int_equal(put(s, "new", ours, &absent, NULL), -EEXIST);
	expect(s, "new", "theirs");
	assert_true(p.asked > 5);
	memstore_on_op(s, NULL, NULL);
}

static int yes(void *arg)
{
	(void)arg;
	return 1;
}

static void cancels(void **state)
{
	struct store *s = *state;
	struct store_call call = { .cancel = yes };
	char a[] = "a";

	assert_int_equal(put(s, "k", a, &call, NULL), -EINTR);
	assert_false(memstore_has(s, "k"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(puts_and_gets),
		TEST(conditions_hold),
		TEST(a_failed_put_changes_nothing),
		TEST(lists),
		TEST(faults),
		TEST(cancels),
	};

	struct store *s;
	int failed;

	failed = cmocka_run_group_tests_name("memstore", tests, NULL, NULL);
	/* And all that is asked of the real ones. */
	if (memstore_new(&s))
		return 1;
	failed += store_contract_run("memstore: contract", s, "p/", 1 << 20);
	s->ops->free(s);
	return failed;
}
