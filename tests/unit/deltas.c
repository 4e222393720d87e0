/*
 * Properties of the codec on generated pairs: what was encoded comes back, the
 * same bytes come out however it was fed, and nothing costs more than a
 * thousandth and a KiB over its own size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "delta/index.h"
#include "tests/support/codec.h"
#include "tests/support/recipes.h"

#define KIB   ((size_t)1 << 10)
#define MIB   ((size_t)1 << 20)
#define PAGE  ((size_t)4096)
#define FINE  ((size_t)1 << 18) /* a block, where the reference is binary */
#define BLOCK ((size_t)1 << 19) /* a block, where it is text */
#define CHUNK (4 * MIB)

static struct random x;

static size_t below(size_t n)
{
	return n ? random_next(&x) % n : 0;
}

/* The container's size. */
static size_t round_trip(const char *name, const struct bytes *ref,
			 const struct bytes *target, enum delta_level level)
{
	struct bytes one = BYTES_INIT, two = BYTES_INIT, back = BYTES_INIT;
	size_t len;

	assert_int_equal(codec_encode(ref, target, level, CODEC_KEY,
				      target->len + 1, 0, &one),
			 0);
	assert_int_equal(
		codec_encode(ref, target, level, CODEC_KEY, 100003, 1, &two),
		0);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		fail_msg("%s: not the same twice", name);
	if (one.len > codec_bound(target->len))
		fail_msg("%s: %zu bytes in %zu", name, target->len, one.len);
	if (codec_decode(ref, &one, target->len, &back) ||
	    back.len != target->len ||
	    (back.len && memcmp(back.data, target->data, back.len) != 0))
		fail_msg("%s: something else came back", name);
	len = one.len;
	bytes_clear(&one);
	bytes_clear(&two);
	bytes_clear(&back);
	return len;
}

static struct bytes copy_of(const struct bytes *b)
{
	struct bytes c = BYTES_INIT;

	put_bytes(&c, b->data, b->len);
	return c;
}

/* Take `del` bytes out and put `ins` in. */
static void splice(struct bytes *b, size_t at, size_t del, const uint8_t *ins,
		   size_t len)
{
	struct bytes out = BYTES_INIT;

	if (del > b->len - at)
		del = b->len - at;
	put_bytes(&out, b->data, at);
	put_bytes(&out, ins, len);
	put_bytes(&out, b->data + at + del, b->len - at - del);
	bytes_clear(b);
	*b = out;
}

/* What stands at `from` goes to, or is there as well as at, another place. */
static void move(struct bytes *b, int stays)
{
	struct bytes piece = BYTES_INIT;
	size_t from = below(b->len), n = 1 + below(40000);

	if (n > b->len - from)
		n = b->len - from;
	put_bytes(&piece, b->data + from, n);
	if (!stays)
		splice(b, from, n, piece.data, 0);
	splice(b, below(b->len + 1), 0, piece.data, piece.len);
	bytes_clear(&piece);
}

/* Addresses of what lies behind `at` move on. */
static void shift(struct bytes *b, size_t at)
{
	size_t step = 5 + below(60), n = below(60000);
	uint32_t by = (uint32_t)(1 + below(5000));

	for (size_t i = at; i + 4 <= b->len && i < at + n; i += step)
		le32_put(b->data + i, le32_get(b->data + i) + by);
}

static void edit(struct bytes *b, int binary)
{
	struct bytes fresh = BYTES_INIT;
	size_t at = below(b->len + 1), n = 1 + below(below(4) ? 100 : 20000);

	put_random(&fresh, &x, binary, n);
	switch (below(7)) {
	case 0:
		splice(b, at, 0, fresh.data, n);
		break;
	case 1:
		splice(b, at, n, fresh.data, 0);
		break;
	case 2:
		splice(b, at, n, fresh.data, n);
		break;
	case 3:
		move(b, 0);
		break;
	case 4:
		move(b, 1);
		break;
	case 5:
		shift(b, at);
		break;
	default:
		for (size_t i = 0; i < 20 && b->len; i++)
			b->data[below(b->len)] ^= 1;
	}
	bytes_clear(&fresh);
}

static void edited(int binary, enum delta_level level, size_t rounds,
		   size_t max)
{
	for (size_t k = 0; k < rounds; k++) {
		struct bytes ref = BYTES_INIT, target;
		size_t edits = below(1 + k);

		put_random(&ref, &x, binary, 1 + below(max));
		target = copy_of(&ref);
		while (edits--)
			edit(&target, binary);
		(void)round_trip("edited", &ref, &target, level);
		bytes_clear(&ref);
		bytes_clear(&target);
	}
}

static void edits_come_back(void **state)
{
	(void)state;
	x.state = 4711;
	for (int binary = 0; binary < 2; binary++) {
		edited(binary, DELTA_FAST, 12, 3 * BLOCK);
		edited(binary, DELTA_DEFAULT, 25, 3 * BLOCK);
		edited(binary, DELTA_BEST, 8, BLOCK);
		edited(binary, DELTA_DEFAULT, 40, 3 * PAGE);
	}
}

/* The two kinds are what the matchers are chosen by. */
static void both_matchers_are_met(void **state)
{
	struct bytes b = BYTES_INIT;

	(void)state;
	x.state = 1;
	put_random(&b, &x, 0, MIB);
	assert_int_equal(delta_grain_of(b.data, b.len), DELTA_COARSE);
	b.len = 0;
	put_random(&b, &x, 1, MIB);
	assert_int_equal(delta_grain_of(b.data, b.len), DELTA_FINE);
	bytes_clear(&b);
}

static void sized(int binary, size_t len)
{
	struct bytes ref = BYTES_INIT, target;
	uint8_t c = 'x';

	put_random(&ref, &x, binary, len);
	target = copy_of(&ref);
	assert_true(round_trip("same", &ref, &target, DELTA_DEFAULT) < 700);
	if (len) {
		target.data[0] ^= 1;
		target.data[len - 1] ^= 1;
	}
	assert_true(round_trip("ends", &ref, &target, DELTA_DEFAULT) < 700);
	/* All blocks begin a byte further on. */
	splice(&target, len / 2, 0, &c, 1);
	(void)round_trip("one more", &ref, &target, DELTA_FAST);
	target.len = len / 2;
	(void)round_trip("first half", &ref, &target, DELTA_DEFAULT);
	(void)round_trip("other way", &target, &ref, DELTA_DEFAULT);
	bytes_clear(&ref);
	bytes_clear(&target);
}

static void sizes_at_the_edges(void **state)
{
	static const size_t edge[] = { 2,     8,           16,       24,
				       39,    64,          PAGE,     3 * PAGE,
				       FINE,  2 * FINE,    3 * FINE, 3 * BLOCK,
				       CHUNK, CHUNK + FINE };

	(void)state;
	x.state = 99;
	for (size_t i = 0; i < sizeof(edge) / sizeof(edge[0]); i++)
		for (size_t d = 0; d < 3; d++) {
			sized(0, edge[i] + d - 1);
			sized(1, edge[i] + d - 1);
		}
	sized(0, 0);
}

/* Copies and literals that end, and fields that lie, across the edges. */
static void seams(void **state)
{
	(void)state;
	x.state = 7;
	for (int d = -5; d <= 5; d++) {
		struct bytes ref = BYTES_INIT, target, fresh = BYTES_INIT;

		put_random(&ref, &x, 1, 3 * FINE + 1000);
		put_random(&fresh, &x, 1, 300);
		target = copy_of(&ref);
		for (size_t k = 1; k <= 3; k++) {
			size_t at = k * FINE + (size_t)(d + 5) - 5;

			/* A number across it, and literals from it on. */
			le32_put(target.data + at - 2, (uint32_t)(at * 77));
			memcpy(target.data + at + 200, fresh.data, 300);
		}
		(void)round_trip("field", &ref, &target, DELTA_DEFAULT);
		splice(&target, FINE + (size_t)(d + 5) - 5, 20, fresh.data,
		       fresh.len);
		(void)round_trip("literal", &ref, &target, DELTA_DEFAULT);
		bytes_clear(&ref);
		bytes_clear(&target);
		bytes_clear(&fresh);
	}
}

/* Other data in place of old are no numbers that changed. */
static void replaced_data_are_literal(void **state)
{
	struct bytes ref = BYTES_INIT, target;
	size_t n = 1000, replaced = 0;

	(void)state;
	x.state = 8;
	put_random(&ref, &x, 1, MIB);
	target = copy_of(&ref);
	for (size_t i = n; i + n < target.len; i += 2 * n) {
		for (size_t k = 0; k < n; k++)
			target.data[i + k] = (uint8_t)random_next(&x);
		replaced += n;
	}
	assert_true(round_trip("replaced", &ref, &target, DELTA_DEFAULT) <
		    replaced + replaced / 50);
	bytes_clear(&ref);
	bytes_clear(&target);
}

/* See tests/support/recipes.h; bench_worst says how long each takes. */
static void hard_inputs(void **state)
{
	const struct recipe *r;

	(void)state;
	for (size_t i = 0; (r = recipe_get(i)); i++) {
		struct bytes ref = BYTES_INIT, target = BYTES_INIT;

		r->make(r, &ref, &target, 700 * KIB);
		(void)round_trip(r->name, &ref, &target, DELTA_DEFAULT);
		if (i % 4 == 0)
			(void)round_trip(r->name, &target, &ref, DELTA_FAST);
		bytes_clear(&ref);
		bytes_clear(&target);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_matchers_are_met),
		cmocka_unit_test(edits_come_back),
		cmocka_unit_test(sizes_at_the_edges),
		cmocka_unit_test(seams),
		cmocka_unit_test(replaced_data_are_literal),
		cmocka_unit_test(hard_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
