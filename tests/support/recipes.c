#include "tests/support/recipes.h"

#include <stdlib.h>
#include <string.h>

uint32_t random_next(struct random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (uint32_t)(r->state >> 32);
}

void put_bytes(struct bytes *b, const void *data, size_t len)
{
	if (bytes_append(b, data, len))
		abort();
}

/* A quarter of the binary kind is zero, so that it does not look compressed. */
static uint8_t random_byte(struct random *r, int binary)
{
	uint32_t x = random_next(r);

	if (binary)
		return x >> 30 ? (uint8_t)x : 0;
	return (uint8_t)("etaoinshrdlucmfw"[x & 15]);
}

void put_random(struct bytes *b, struct random *r, int binary, size_t len)
{
	if (bytes_reserve(b, len))
		abort();
	for (size_t i = 0; i < len; i++)
		b->data[b->len++] = random_byte(r, binary);
}

/* Another byte of the same kind. */
static uint8_t other(uint8_t c, int binary)
{
	return binary ? (uint8_t)(c + 0x55) : c == 'e' ? 't' : 'e';
}

static void make_identical(const struct recipe *r, struct bytes *ref,
			   struct bytes *target, size_t n)
{
	struct random x = { 1 };

	put_random(ref, &x, r->binary, n);
	put_bytes(target, ref->data, n);
}

static void make_reversed(const struct recipe *r, struct bytes *ref,
			  struct bytes *target, size_t n)
{
	struct random x = { 2 };

	put_random(ref, &x, r->binary, n);
	for (size_t i = n; i > 0; i--)
		put_bytes(target, ref->data + i - 1, 1);
}

/* Nothing but one byte, in one more length than the other. */
static void make_uniform(const struct recipe *r, struct bytes *ref,
			 struct bytes *target, size_t n)
{
	uint8_t c = r->binary ? 0x90 : 'e';

	for (size_t i = 0; i < n; i++)
		put_bytes(target, &c, 1);
	put_bytes(ref, target->data, n - n / 3);
}

/* A period, and in both files a wrong byte every `arg`, at another phase. */
static void make_periodic(const struct recipe *r, struct bytes *ref,
			  struct bytes *target, size_t n)
{
	struct bytes period = BYTES_INIT;
	struct random x = { 3 };

	put_random(&period, &x, r->binary, 251);
	while (target->len < n)
		put_bytes(target, period.data, period.len);
	put_bytes(ref, target->data, target->len);
	for (size_t i = 0; i < ref->len; i += r->arg)
		ref->data[i] = other(ref->data[i], r->binary);
	for (size_t i = r->arg / 2; i < target->len; i += r->arg)
		target->data[i] = other(target->data[i], r->binary);
	bytes_clear(&period);
}

/* The same place, with a wrong byte every `arg`. */
static void make_mismatches(const struct recipe *r, struct bytes *ref,
			    struct bytes *target, size_t n)
{
	struct random x = { 4 };

	put_random(ref, &x, r->binary, n);
	put_bytes(target, ref->data, n);
	for (size_t i = 0; i < n; i += r->arg)
		target->data[i] = other(target->data[i], r->binary);
}

/* Pieces of `arg` bytes from anywhere. */
static void make_shuffled(const struct recipe *r, struct bytes *ref,
			  struct bytes *target, size_t n)
{
	struct random x = { 5 };

	put_random(ref, &x, r->binary, n < r->arg ? r->arg : n);
	while (target->len < n)
		put_bytes(target,
			  ref->data + random_next(&x) % (ref->len - r->arg + 1),
			  r->arg);
}

/* The same pieces of 64 bytes, of which two alignments are right in turn. */
static void make_alternating(const struct recipe *r, struct bytes *ref,
			     struct bytes *target, size_t n)
{
	struct random x = { 6 };
	size_t half = n / 2 + r->arg;

	put_random(ref, &x, r->binary, 2 * half);
	for (size_t at = 0; target->len < n && at + r->arg <= half;
	     at += r->arg) {
		put_bytes(target, ref->data + at, r->arg);
		put_bytes(target, ref->data + half + at, r->arg);
	}
}

/* A 4-byte number that changed at random, every `arg` bytes. */
static void make_escapes(const struct recipe *r, struct bytes *ref,
			 struct bytes *target, size_t n)
{
	struct random x = { 7 };

	put_random(ref, &x, r->binary, n);
	put_bytes(target, ref->data, n);
	for (size_t i = 0; i + 4 <= n; i += r->arg)
		le32_put(target->data + i, random_next(&x));
}

/* Nothing in common; `arg` letters of the alphabet. */
static void make_literals(const struct recipe *r, struct bytes *ref,
			  struct bytes *target, size_t n)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct random x = { 8 };

	put_random(ref, &x, r->binary, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)random_next(&x);

		if (r->arg < 256)
			c = (uint8_t)(r->binary
					      ? 128 + c % r->arg
					      : (unsigned)letters[c % r->arg]);
		put_bytes(target, &c, 1);
	}
}

/* Words, as prose has them: some often and most seldom. */
static void make_words(const struct recipe *r, struct bytes *ref,
		       struct bytes *target, size_t n)
{
	struct bytes words = BYTES_INIT;
	struct random x = { 9 };

	put_random(&words, &x, r->binary, 1 << 17);
	put_random(ref, &x, r->binary, n);
	while (target->len < n) {
		uint32_t bits = random_next(&x) % 14 + 4;
		uint32_t w = random_next(&x) & ((1u << bits) - 1);

		put_bytes(target, words.data + (w & ~7u), 3 + w * 7 % 8);
		put_bytes(target, " ", 1);
	}
	bytes_clear(&words);
}

/* Runs that are right, and between them as many bytes that are not. */
static void make_half(const struct recipe *r, struct bytes *ref,
		      struct bytes *target, size_t n)
{
	struct random x = { 10 };

	put_random(ref, &x, r->binary, n);
	put_bytes(target, ref->data, n);
	for (size_t i = r->arg + 16; i + r->arg < n; i += 2 * r->arg + 16) {
		struct bytes fresh = BYTES_INIT;

		put_random(&fresh, &x, r->binary, r->arg);
		memcpy(target->data + i, fresh.data, r->arg);
		bytes_clear(&fresh);
	}
}

#define BOTH(name, what, make, arg)                \
	{ name "/text", what, make, arg, 0 },      \
	{                                          \
		name "/binary", what, make, arg, 1 \
	}

const struct recipe recipes_plain[] = {
	BOTH("identical", "the same file", make_identical, 0),
	BOTH("reversed", "the same, backwards", make_reversed, 0),
	BOTH("uniform", "one byte, a third more often", make_uniform, 0),
	BOTH("periodic-7", "period 251, both wrong every 7", make_periodic, 7),
	BOTH("periodic-9", "period 251, both wrong every 9", make_periodic, 9),
	BOTH("periodic-15", "period 251, wrong every 15", make_periodic, 15),
	BOTH("periodic-17", "period 251, wrong every 17", make_periodic, 17),
	BOTH("periodic-31", "period 251, wrong every 31", make_periodic, 31),
	BOTH("mismatch-2", "in place, wrong every 2", make_mismatches, 2),
	BOTH("mismatch-3", "in place, wrong every 3", make_mismatches, 3),
	BOTH("mismatch-5", "in place, wrong every 5", make_mismatches, 5),
	BOTH("mismatch-7", "in place, wrong every 7", make_mismatches, 7),
	BOTH("mismatch-9", "in place, wrong every 9", make_mismatches, 9),
	BOTH("mismatch-15", "in place, wrong every 15", make_mismatches, 15),
	BOTH("mismatch-17", "in place, wrong every 17", make_mismatches, 17),
	BOTH("mismatch-31", "in place, wrong every 31", make_mismatches, 31),
	BOTH("shuffled-16", "pieces of 16 from anywhere", make_shuffled, 16),
	BOTH("shuffled-24", "pieces of 24 from anywhere", make_shuffled, 24),
	BOTH("shuffled-40", "pieces of 40 from anywhere", make_shuffled, 40),
	BOTH("shuffled-100", "pieces of 100 from anywhere", make_shuffled, 100),
	BOTH("shuffled-1000", "of 1000 from anywhere", make_shuffled, 1000),
	BOTH("alternating-32", "two places in turn", make_alternating, 32),
	BOTH("alternating-64", "two places in turn", make_alternating, 64),
	BOTH("escapes-9", "a random number every 9 bytes", make_escapes, 9),
	BOTH("escapes-16", "a random number every 16", make_escapes, 16),
	BOTH("half-100", "100 right, 100 wrong, in turn", make_half, 100),
	BOTH("half-1000", "1000 right, 1000 wrong, in turn", make_half, 1000),
	BOTH("literals-4", "nothing in common, 2 bits a byte", make_literals,
	     4),
	BOTH("literals-16", "nothing in common, 4 bits", make_literals, 16),
	BOTH("literals-64", "nothing in common, 6 bits", make_literals, 64),
	BOTH("literals-256", "nothing in common, 8 bits", make_literals, 256),
	BOTH("words", "nothing in common, words", make_words, 0),
};
const size_t n_recipes_plain = sizeof(recipes_plain) / sizeof(recipes_plain[0]);

const struct recipe *recipe_get(size_t i)
{
	if (i < n_recipes_plain)
		return &recipes_plain[i];
	i -= n_recipes_plain;
	return i < n_recipes_hard ? &recipes_hard[i] : NULL;
}
