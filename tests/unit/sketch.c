/* Sketches: what is alike is told from what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "delta/sketch.h"
#include "tests/support/edits.h"

#define MIB ((size_t)1 << 20)

static void sketch_of(const struct bytes *b, size_t piece, struct sketch *out)
{
	struct sketcher s = { 0 };

	for (size_t off = 0; off < b->len; off += piece)
		sketcher_feed(&s, b->data + off,
			      b->len - off < piece ? b->len - off : piece);
	sketcher_finish(&s, out);
}

static void sketches(void **state)
{
	struct bytes a = BYTES_INIT, b = BYTES_INIT;
	struct sketch sa, sb, again;
	unsigned alike = 0;

	(void)state;
	edits_seed(15);
	edits_fill(&a, MIB);
	sketch_of(&a, 1000, &sa);
	sketch_of(&a, 77777, &again);
	assert_memory_equal(&sa, &again, sizeof(sa));
	assert_int_equal(sketch_resemblance(&sa, &sa), 1000);
	/* Shifted by an insertion at the start it is still the same. */
	assert_int_equal(bytes_append(&b, a.data, a.len), 0);
	edits_splice(&b, 0, 0, "inserted", 8);
	sketch_of(&b, 4096, &sb);
	assert_true(sketch_resemblance(&sa, &sb) > 900);
	/* Half of it: about a half. */
	b.len /= 2;
	sketch_of(&b, 4096, &sb);
	assert_in_range(sketch_resemblance(&sa, &sb), 250, 750);
	/* Strangers are hardly ever taken for relatives. */
	for (int i = 0; i < 200; i++) {
		b.len = 0;
		edits_fill(&b, 50000);
		sketch_of(&b, 4096, &sb);
		alike += sketch_resemblance(&sa, &sb) >= SKETCH_ALIKE;
	}
	assert_true(alike <= 1);
	bytes_clear(&a);
	bytes_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sketches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
