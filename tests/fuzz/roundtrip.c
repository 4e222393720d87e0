/*
 * What the encoder makes of any pair, the decoder gives back.
 *
 *	level | kind of reference | its length | recipe of the target ...
 *
 * Lengths are two bytes, a number and a shift, so that few bytes reach several
 * blocks and windows.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/codec.h"

#define REF_MAX    ((size_t)1 << 20)
#define TARGET_MAX ((size_t)9 << 19) /* past a chunk of 4 MiB */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p, *end;
};

static unsigned byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static size_t length(struct input *in)
{
	size_t n = byte(in) + 1;
	unsigned shift = byte(in);

	/* Large ones are slow: seldom, unless they prove worth it. */
	return n << (shift >= 250 ? 14 : shift % 10);
}

static void add(struct bytes *b, size_t max, const uint8_t *p, size_t len)
{
	if (len > max - b->len)
		len = max - b->len;
	if (bytes_append(b, p, len))
		abort();
}

/* Noise, text, or something like code, according to `kind`. */
static void generate(struct bytes *b, size_t max, size_t len, unsigned kind)
{
	uint32_t x = kind * 2654435761u + 1;

	if (len > max - b->len)
		len = max - b->len;
	if (bytes_reserve(b, len ? len : 1))
		abort();
	for (size_t i = 0; i < len; i++) {
		uint8_t c;

		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		c = (uint8_t)(x >> 11);
		if (kind % 4 == 1)
			c = (uint8_t)('a' + c % 26);
		else if (kind % 4 == 2)
			c = i % 8 == 3 ? 0xe8 : i % 8 == 7 ? 0 : c;
		else if (kind % 4 == 3)
			c = (uint8_t)(i % (kind / 4 + 1));
		b->data[b->len++] = c;
	}
}

/* Add to every 4-byte number at a distance, as a linker moves addresses. */
static void shift(struct bytes *b, size_t from, size_t distance, uint32_t by)
{
	for (size_t i = from; b->len >= 4 && i <= b->len - 4; i += distance + 4)
		le32_put(b->data + i, le32_get(b->data + i) + by);
}

static void patch(struct bytes *b, size_t from, size_t distance, unsigned with)
{
	for (size_t i = from; i < b->len; i += distance)
		b->data[i] ^= (uint8_t)with;
}

/* A run of `b` itself, reversed if asked. */
static void piece(struct bytes *to, const struct bytes *b, size_t off,
		  size_t len, int reversed)
{
	struct bytes run = BYTES_INIT;

	if (!b->len)
		return;
	off %= b->len;
	if (len > b->len - off)
		len = b->len - off;
	add(&run, TARGET_MAX, b->data + off, len);
	for (size_t i = 0; reversed && i < len / 2; i++) {
		uint8_t c = run.data[i];

		run.data[i] = run.data[len - 1 - i];
		run.data[len - 1 - i] = c;
	}
	add(to, TARGET_MAX, run.data, len);
	bytes_clear(&run);
}

/* One step of the recipe. */
static void step(struct input *in, const struct bytes *ref, struct bytes *t)
{
	unsigned op = byte(in);
	size_t off = length(in) - 1, len = length(in);

	switch (op % 8) {
	case 0:
	case 1:
		piece(t, ref, off, len, 0);
		break;
	case 2:
		if (len > (size_t)(in->end - in->p))
			len = (size_t)(in->end - in->p);
		add(t, TARGET_MAX, in->p, len);
		in->p += len;
		break;
	case 3:
		generate(t, TARGET_MAX, len, (unsigned)off);
		break;
	case 4:
		piece(t, t, off, len, 0);
		break;
	case 5:
		piece(t, ref, off, len, 1);
		break;
	case 6:
		shift(t, off, len, byte(in) * 257u + 1);
		break;
	default:
		patch(t, off, len, byte(in) + 1);
	}
}

static void check(const struct bytes *ref, const struct bytes *target,
		  enum delta_level level)
{
	struct bytes one = BYTES_INIT, two = BYTES_INIT, back = BYTES_INIT;

	if (codec_encode(ref, target, level, CODEC_KEY, target->len + 1, 0,
			 &one) ||
	    one.len > codec_bound(target->len))
		abort();
	/* However it is fed, and whoever packs it. */
	if (codec_encode(ref, target, level, CODEC_KEY, 70001, 1, &two) ||
	    one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	if (codec_decode(ref, &one, target->len, &back) ||
	    back.len != target->len ||
	    (back.len && memcmp(back.data, target->data, back.len) != 0))
		abort();
	bytes_clear(&one);
	bytes_clear(&two);
	bytes_clear(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	unsigned level = byte(&in) % 3, kind = byte(&in);
	size_t len = length(&in);

	if (kind) {
		generate(&ref, REF_MAX, len, kind);
	} else {
		if (len > (size_t)(in.end - in.p))
			len = (size_t)(in.end - in.p);
		add(&ref, REF_MAX, in.p, len);
		in.p += len;
	}
	while (in.p < in.end)
		step(&in, &ref, &target);
	/* Of their exact size, so that a byte too far is noticed. */
	ref.data = realloc(ref.data, ref.len + 1);
	target.data = realloc(target.data, target.len + 1);
	if (!ref.data || !target.data)
		abort();
	ref.cap = ref.len + 1;
	target.cap = target.len + 1;
	check(&ref, &target, (enum delta_level)level);
	bytes_clear(&ref);
	bytes_clear(&target);
	return 0;
}
