/*
 * Made with the matchers' source beside: what each step costs them most.  They
 * stay valid inputs whatever becomes of that source.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/index_private.h"
#include "tests/support/recipes.h"

/* x * inverse(a) undoes x * a: by Newton, each step doubles the right bits. */
static uint64_t inverse(uint64_t a)
{
	uint64_t x = a;

	for (int i = 0; i < 6; i++)
		x *= 2 - a * x;
	return x;
}

/* Undoes h ^ (h >> n). */
static uint64_t unshift(uint64_t h, unsigned n)
{
	uint64_t x = h;

	for (unsigned i = n; i < 64; i += n)
		x = h ^ (x >> n);
	return x;
}

/* The last 8 bytes of a window whose index_hash() is `want`. */
static uint64_t last_word(uint64_t want, uint64_t before, unsigned window)
{
	uint64_t h = unshift(want, 31) * inverse(0xd6e8feb86659fd93u);

	h = unshift(h, 32);
	if (window == 8)
		return h * inverse(0x9e3779b97f4a7c15u);
	return (h * inverse(0x94d049bb133111ebu)) ^ before ^ (before >> 32);
}

/*
 * Windows of one bucket, and with `arg` of one tag too, that are all different;
 * others of the same bucket and tag are looked for.
 */
static void make_flood(const struct recipe *r, struct bytes *ref,
		       struct bytes *target, size_t n)
{
	size_t unit = r->binary ? 16 : 64, at = r->binary ? 0 : 48;
	struct random x = { 21 };
	uint32_t low = r->arg ? 0xfff : 0;

	while (target->len < n) {
		struct bytes *b = ref->len < target->len ? ref : target;
		uint64_t h, want;
		uint8_t *w;

		/* What surrounds them keeps the file of its kind. */
		put_random(b, &x, r->binary, unit);
		w = b->data + b->len - unit;
		if (r->binary)
			memset(w + 8, 0, 8);
		/* The bucket is in the top bits, the tag in the low ones. */
		want = (uint64_t)0x123456 << 40 |
		       (uint64_t)(random_next(&x) & 0xff) << 32 |
		       (random_next(&x) & ~low);
		h = r->binary ? 0 : load64(w + 32) * 0x9e3779b97f4a7c15u;
		if (!r->binary)
			h = (h ^ (h >> 29) ^ load64(w + 40)) *
			    0xbf58476d1ce4e5b9u;
		le64_put(w + at,
			 last_word(want, h, r->binary ? 8 : INDEX_WINDOW_MAX));
	}
}

/* One window of `arg` bytes everywhere, between bytes of no use. */
static void make_equal_windows(const struct recipe *r, struct bytes *ref,
			       struct bytes *target, size_t n)
{
	struct random x = { 22 };
	struct bytes w = BYTES_INIT;

	put_random(&w, &x, r->binary, r->arg);
	while (target->len < n) {
		put_random(ref, &x, r->binary, 64 - r->arg);
		put_bytes(ref, w.data, w.len);
		put_random(target, &x, r->binary, 56 - r->arg);
		put_bytes(target, w.data, w.len);
	}
	bytes_clear(&w);
}

/*
 * Each step of `arg` bytes is found in another place, where all that came
 * before it stands just as well: each may take a long stretch from the last.
 */
static void make_stairs(const struct recipe *r, struct bytes *ref,
			struct bytes *target, size_t n)
{
	struct random x = { 23 };
	struct bytes base = BYTES_INIT, like = BYTES_INIT;
	size_t reach = r->binary ? 1100 : 4200, len = 20000, exact;

	put_random(&base, &x, r->binary, len);
	put_bytes(&like, base.data, len);
	/* Long enough to be found, and slow to compare in between. */
	exact = r->binary ? r->arg / 2 : r->arg * 3 / 4;
	for (size_t at = 0; at + r->arg <= len; at += r->arg)
		for (size_t i = at + exact; i < at + r->arg; i += 5)
			like.data[i] =
				r->binary ? (uint8_t)(like.data[i] + 99) : '.';
	for (size_t at = reach - reach % r->arg; at + r->arg <= len;
	     at += r->arg) {
		/* What is looked for must lie at an indexed position. */
		while (ref->len % 16)
			put_random(ref, &x, r->binary, 1);
		put_bytes(ref, like.data + at - (reach - reach % r->arg),
			  reach - reach % r->arg + r->arg);
		put_random(ref, &x, r->binary, 24);
	}
	while (target->len < n)
		put_bytes(target, base.data, len);
	bytes_clear(&base);
	bytes_clear(&like);
}

/* Every `arg` bytes the alignment moves, by nearly as much as is looked for. */
static void make_dance(const struct recipe *r, struct bytes *ref,
		       struct bytes *target, size_t n)
{
	struct random x = { 24 };
	size_t at = 0;

	put_random(ref, &x, r->binary, n + 4096);
	for (unsigned i = 0; target->len < n; i++) {
		size_t off = at + (i & 1 ? 1000 : 0);

		/* What is looked for first is not there at all. */
		put_random(target, &x, r->binary, r->arg > 100 ? 90 : 30);
		put_bytes(target, ref->data + off, r->arg);
		at += r->arg + (r->arg > 100 ? 90 : 30);
		if (at + 2000 > n)
			at = 0;
	}
}

/* Six long runs begin alike, each a little longer than the one before. */
static void make_long_candidates(const struct recipe *r, struct bytes *ref,
				 struct bytes *target, size_t n)
{
	struct random x = { 25 };
	struct bytes base = BYTES_INIT;

	put_random(&base, &x, r->binary, r->arg);
	for (size_t i = 0; ref->len < n; i++) {
		put_bytes(ref, base.data, r->arg - i % 6 * 16);
		put_random(ref, &x, r->binary, 48);
	}
	while (target->len < n) {
		put_bytes(target, base.data, r->arg - 8);
		put_random(target, &x, r->binary, 8);
	}
	bytes_clear(&base);
}

/* Exact runs of 8 in a place that is wrong otherwise: what is taken is poor. */
static void make_crumbs(const struct recipe *r, struct bytes *ref,
			struct bytes *target, size_t n)
{
	struct random x = { 26 };

	put_random(ref, &x, r->binary, n);
	while (target->len < n) {
		size_t at = random_next(&x) % (n - r->arg);

		put_bytes(target, ref->data + (at & ~(size_t)15), r->arg);
		put_random(target, &x, r->binary, 5);
	}
}

/*
 * 24 bytes that are right and `arg` that are not, in turn and in place: what an
 * extension wins it loses again, and never so much that it is given up.
 */
static void make_hover(const struct recipe *r, struct bytes *ref,
		       struct bytes *target, size_t n)
{
	struct random x = { 27 };

	put_random(ref, &x, r->binary, n);
	put_bytes(target, ref->data, n);
	for (size_t i = 0; i < n; i++)
		if (i % (24 + r->arg) >= 24)
			target->data[i] =
				r->binary ? (uint8_t)(random_next(&x) | 1)
					  : (uint8_t)('A' + i % 23);
}

/*
 * Where the alignment is lost, its surroundings are full of what is looked for
 * first, but for a byte that comes too early.
 */
static void make_trap(const struct recipe *r, struct bytes *ref,
		      struct bytes *target, size_t n)
{
	struct random x = { 28 };
	uint8_t run[22];

	memset(run, r->binary ? 0xcc : 'e', sizeof(run));
	while (target->len < n) {
		size_t start = ref->len;

		put_random(ref, &x, r->binary, r->arg);
		put_bytes(target, ref->data + start, r->arg);
		for (unsigned i = 0; i < 100; i++) {
			put_bytes(ref, run, 20);
			put_bytes(ref, "X", 1);
		}
		for (unsigned i = 0; i < 7; i++) {
			put_bytes(target, run, 22);
			put_bytes(target, "Y", 1);
		}
	}
}

/*
 * Six versions of the target, in each of which `arg` bytes of a hundred are
 * wrong: whichever is followed, another one is better soon.
 */
static void make_echo(const struct recipe *r, struct bytes *ref,
		      struct bytes *target, size_t n)
{
	struct random x = { 30 };

	put_random(target, &x, r->binary, n);
	for (unsigned k = 0; k < 6; k++) {
		size_t start = ref->len;

		put_bytes(ref, target->data, n);
		for (size_t i = start; i < ref->len; i++)
			if (random_next(&x) % 100 < r->arg)
				ref->data[i] = r->binary ? 0xc3 : '_';
		put_random(ref, &x, r->binary, 48);
	}
}

/* Two bytes of five are new: four of them make a number of no use. */
static void make_torn(const struct recipe *r, struct bytes *ref,
		      struct bytes *target, size_t n)
{
	struct random x = { 29 };

	put_random(ref, &x, r->binary, n);
	put_bytes(target, ref->data, n);
	for (size_t i = 0; i + 4 <= n; i += r->arg) {
		target->data[i] = (uint8_t)random_next(&x);
		target->data[i + 3] = (uint8_t)random_next(&x);
	}
}

static void put_same(struct bytes *b, char c, size_t n)
{
	uint8_t buf[1024];

	memset(buf, c, sizeof(buf));
	put_bytes(b, buf, n < sizeof(buf) ? n : sizeof(buf));
}

/* Islands in a sea of equal bytes, which look like a way back everywhere. */
static void make_islands(const struct recipe *r, struct bytes *ref,
			 struct bytes *target, size_t n)
{
	struct random x = { 31 };

	while (target->len < n) {
		size_t at;

		put_same(ref, 'a', 1000);
		at = ref->len;
		put_random(ref, &x, r->binary, (size_t)r->arg);
		put_same(target, 'Z', 8);
		put_same(target, 'a', 8);
		put_bytes(target, ref->data + at, (size_t)r->arg);
	}
}

#define BOTH(name, what, make, arg)                \
	{ name "/text", what, make, arg, 0 },      \
	{                                          \
		name "/binary", what, make, arg, 1 \
	}

const struct recipe recipes_hard[] = {
	BOTH("flood-bucket", "windows of one bucket", make_flood, 0),
	BOTH("flood-tag", "windows of one bucket and tag", make_flood, 1),
	BOTH("equal-8", "8 bytes equal everywhere", make_equal_windows, 8),
	BOTH("equal-16", "16 bytes equal everywhere", make_equal_windows, 16),
	BOTH("equal-24", "24 bytes equal everywhere", make_equal_windows, 24),
	BOTH("equal-39", "39 bytes equal everywhere", make_equal_windows, 39),
	BOTH("stairs-48", "every 48 bytes another place, as good before",
	     make_stairs, 48),
	BOTH("stairs-16", "every 16 bytes another place", make_stairs, 16),
	BOTH("stairs-64", "every 64 bytes another place", make_stairs, 64),
	BOTH("dance-48", "48 bytes, then 1000 further", make_dance, 48),
	BOTH("dance-64", "64 bytes, then 1000 further", make_dance, 64),
	BOTH("dance-128", "128 bytes, then 1000 further", make_dance, 128),
	BOTH("runs-1000", "six runs of up to 1000 begin alike",
	     make_long_candidates, 1000),
	BOTH("runs-4100", "six runs of up to 4100", make_long_candidates, 4100),
	BOTH("hover-23", "24 right, 23 wrong", make_hover, 23),
	BOTH("hover-24", "24 right, 24 wrong: quits at the end only",
	     make_hover, 24),
	BOTH("hover-25", "24 right, 25 wrong", make_hover, 25),
	BOTH("echo-20", "six versions, each a fifth wrong", make_echo, 20),
	BOTH("echo-50", "six versions, each half wrong", make_echo, 50),
	BOTH("echo-54", "six versions, each half wrong", make_echo, 54),
	BOTH("trap-800", "800 right, then look-alikes", make_trap, 800),
	BOTH("trap-1600", "1600 right, then look-alikes", make_trap, 1600),
	BOTH("torn-5", "bytes 0 and 3 of 5 are new", make_torn, 5),
	BOTH("torn-9", "bytes 0 and 3 of 9 are new", make_torn, 9),
	BOTH("islands-80", "80 bytes between 1000 equal ones", make_islands,
	     80),
	BOTH("crumbs-8", "8 bytes from anywhere, 5 from nowhere", make_crumbs,
	     8),
	BOTH("crumbs-12", "12 from anywhere, 5 from nowhere", make_crumbs, 12),
	BOTH("crumbs-24", "24 from anywhere, 5 from nowhere", make_crumbs, 24),
};
const size_t n_recipes_hard = sizeof(recipes_hard) / sizeof(recipes_hard[0]);
