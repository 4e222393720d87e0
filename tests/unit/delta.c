/* The codec: whatever was edited comes back, and damage never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delta/encode.h"
#include "delta/index.h"
#include "delta/reader.h"
#include "tests/support/edits.h"

#define MIB ((size_t)1 << 20)

static int sink(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int source(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	/* What is asked for is always inside: the decoder must see to it. */
	assert_true(off <= b->len && len <= b->len - off);
	memcpy(buf, b->data + off, len);
	return 0;
}

static struct delta_info describe(const struct bytes *ref,
				  const struct bytes *target)
{
	struct delta_info info = { .target_len = target->len,
				   .ref_len = ref->len,
				   .ref_key = "some/.dg/refs/key" };

	assert_int_equal(
		digest_buffer(target->data, target->len, info.target_digest),
		0);
	assert_int_equal(digest_buffer(ref->data, ref->len, info.ref_digest),
			 0);
	return info;
}

struct indexed {
	const struct bytes *ref;
	struct delta_index *ix;
};

static int get_index(void *arg, const struct delta_index **out)
{
	struct indexed *i = arg;

	assert_null(i->ix); /* asked once */
	assert_int_equal(
		delta_index_new(&i->ix, i->ref->data, i->ref->len, SIZE_MAX),
		0);
	*out = i->ix;
	return 0;
}

static int encode(const struct bytes *ref, const struct bytes *target,
		  uint64_t max_len, size_t piece, struct bytes *out)
{
	struct delta_info info = describe(ref, target);
	struct indexed indexed = { .ref = ref };
	struct delta_encoder_conf conf = { .ref = ref->data,
					   .ref_len = ref->len,
					   .index = get_index,
					   .index_arg = &indexed,
					   .level = DELTA_DEFAULT,
					   .max_len = max_len,
					   .write = sink,
					   .write_arg = out };
	struct delta_encoder *e;
	uint64_t len = 0;
	int err;

	assert_int_equal(delta_encoder_new(&e, &conf, info.ref_digest), 0);
	err = 0;
	for (size_t off = 0; !err && off < target->len; off += piece)
		err = delta_encoder_feed(
			e, target->data + off,
			target->len - off < piece ? target->len - off : piece);
	if (!err)
		err = delta_encoder_finish(e, &info, &len);
	if (!err)
		assert_int_equal(len, out->len);
	delta_encoder_free(e);
	delta_index_free(indexed.ix);
	return err;
}

static int decode(struct bytes *ref, struct bytes *object, struct bytes *out)
{
	struct delta_reader_conf conf = { .ref = { ref->len, source, ref },
					  .read_object = source,
					  .object_arg = object };
	struct delta_table *t;
	struct delta_reader *r;
	size_t need, len;
	int err;

	err = delta_table_parse(&t, object->data, object->len, object->len,
				&need);
	if (err)
		return err;
	conf.table = t;
	len = (size_t)delta_table_info(t)->target_len;
	assert_true(len < 100 * MIB);
	assert_int_equal(bytes_reserve(out, len + 1), 0);
	assert_int_equal(delta_reader_new(&r, &conf), 0);
	for (size_t off = 0; !err && off < len;) {
		size_t n = len - off < 77777 ? len - off : 77777;

		err = delta_reader_read(r, out->data + off, n, off);
		off += n;
	}
	out->len = len;
	delta_reader_free(r);
	delta_table_free(t);
	return err;
}

/* Encode, decode, compare; the size of the object. */
static size_t round_trip(struct bytes *ref, struct bytes *target)
{
	struct bytes object = BYTES_INIT, again = BYTES_INIT, out = BYTES_INIT;
	size_t len;

	assert_int_equal(encode(ref, target, UINT64_MAX, 100000, &object), 0);
	/* The same object, however the target was cut into calls. */
	assert_int_equal(encode(ref, target, UINT64_MAX, 4093, &again), 0);
	assert_int_equal(object.len, again.len);
	assert_memory_equal(object.data, again.data, object.len);
	assert_int_equal(decode(ref, &object, &out), 0);
	assert_int_equal(out.len, target->len);
	assert_true(!target->len ||
		    !memcmp(out.data, target->data, target->len));
	len = object.len;
	bytes_clear(&object);
	bytes_clear(&again);
	bytes_clear(&out);
	return len;
}

static void edits_of_all_kinds(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 60; k++) {
		struct bytes ref = BYTES_INIT, target = BYTES_INIT;
		unsigned edits = k % 12;

		edits_seed(1000 + k);
		edits_fill(&ref, edits_below(300000) + (k % 5 ? 1 : 0));
		assert_int_equal(bytes_append(&target, ref.data, ref.len), 0);
		while (edits--)
			edits_make(&target);
		(void)round_trip(&ref, &target);
		bytes_clear(&ref);
		bytes_clear(&target);
	}
}

/* Sizes around every boundary that the code has. */
static void sizes(void **state)
{
	static const size_t around[] = { 0,      8,    16,      24,
					 32,     4096, 32768,   65536,
					 524288, MIB,  4 * MIB, 8 * MIB };
	(void)state;
	edits_seed(77);
	for (size_t k = 0; k < sizeof(around) / sizeof(around[0]); k++) {
		for (int d = -2; d <= 2; d++) {
			struct bytes ref = BYTES_INIT, target = BYTES_INIT;
			size_t len = around[k] + (size_t)(d + 2);

			len = len < 2 ? 0 : len - 2;
			edits_fill(&ref, len);
			assert_int_equal(
				bytes_append(&target, ref.data, ref.len), 0);
			assert_true(round_trip(&ref, &target) < 600);
			if (len)
				target.data[len / 2] ^= 1;
			if (len)
				target.data[len - 1] ^= 1;
			(void)round_trip(&ref, &target);
			bytes_clear(&ref);
			bytes_clear(&target);
		}
	}
}

static void odd_contents(void **state)
{
	struct bytes zeros = BYTES_INIT, noise = BYTES_INIT,
		     turned = BYTES_INIT, wave = BYTES_INIT, none = BYTES_INIT;
	size_t n = 3 * MIB;

	(void)state;
	edits_seed(5);
	edits_fill(&noise, n);
	assert_int_equal(bytes_reserve(&zeros, n), 0);
	memset(zeros.data, 0, n);
	zeros.len = n;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = noise.data[n - 1 - i], w = (uint8_t)(i % 251);

		assert_int_equal(bytes_append(&turned, &c, 1), 0);
		assert_int_equal(bytes_append(&wave, &w, 1), 0);
	}
	assert_true(round_trip(&zeros, &zeros) < 600);
	assert_true(round_trip(&noise, &zeros) < 2000);
	/* What has nothing in common costs its own size and little more. */
	assert_true(round_trip(&zeros, &noise) < n + n / 1000);
	assert_true(round_trip(&noise, &turned) < n + n / 1000);
	assert_true(round_trip(&none, &noise) < n + n / 1000);
	assert_true(round_trip(&noise, &none) < 600);
	assert_true(round_trip(&wave, &wave) < 600);
	assert_true(round_trip(&noise, &wave) < n / 50);
	assert_true(round_trip(&wave, &noise) < n + n / 1000);
	bytes_clear(&zeros);
	bytes_clear(&noise);
	bytes_clear(&turned);
	bytes_clear(&wave);
}

/* Halves that change places, and a file in another: found, not stored. */
static void what_moved_is_found(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;
	size_t half = MIB;

	(void)state;
	edits_seed(6);
	edits_fill(&ref, 2 * half);
	assert_int_equal(bytes_append(&target, ref.data + half, half), 0);
	assert_int_equal(bytes_append(&target, ref.data, half), 0);
	assert_true(round_trip(&ref, &target) < 600);
	bytes_clear(&target);
	assert_int_equal(bytes_append(&target, ref.data + 12345, half), 0);
	assert_true(round_trip(&ref, &target) < 600);
	bytes_clear(&ref);
	bytes_clear(&target);
}

static void given_up_when_it_does_not_pay(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, out = BYTES_INIT;

	(void)state;
	edits_seed(8);
	edits_fill(&ref, 20 * MIB);
	edits_fill(&target, 20 * MIB);
	assert_int_equal(encode(&ref, &target, 10 * MIB, MIB, &out), -E2BIG);
	/* Not a byte past the limit was written. */
	assert_true(out.len <= 10 * MIB);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&out);
}

static void any_range(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, object = BYTES_INIT;
	struct delta_reader_conf conf = { .read_object = source };
	struct delta_table *t;
	struct delta_reader *r;
	uint8_t *buf = malloc(300000);
	size_t need;

	(void)state;
	edits_seed(9);
	edits_fill(&ref, 2 * MIB);
	assert_int_equal(bytes_append(&target, ref.data, ref.len), 0);
	for (int i = 0; i < 30; i++)
		edits_make(&target);
	assert_int_equal(encode(&ref, &target, UINT64_MAX, MIB, &object), 0);
	assert_int_equal(delta_table_parse(&t, object.data, object.len,
					   object.len, &need),
			 0);
	conf.table = t;
	conf.ref = (struct delta_ref){ ref.len, source, &ref };
	conf.object_arg = &object;
	assert_int_equal(delta_reader_new(&r, &conf), 0);
	for (int i = 0; i < 300; i++) {
		size_t off = edits_below(target.len), n = edits_below(300000);

		if (n > target.len - off)
			n = target.len - off;
		assert_int_equal(delta_reader_read(r, buf, n, off), 0);
		assert_memory_equal(buf, target.data + off, n);
	}
	assert_int_equal(delta_reader_read(r, buf, 2, target.len - 1), -ERANGE);
	assert_int_equal(delta_reader_read(r, buf, 1, UINT64_MAX), -ERANGE);
	delta_reader_free(r);
	delta_table_free(t);
	free(buf);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&object);
}

/* Each byte of an object flipped in turn: never a wrong byte. */
static void damage_is_noticed(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, object = BYTES_INIT;
	size_t harmless = 0, text;

	(void)state;
	edits_seed(10);
	edits_fill(&ref, 60000);
	assert_int_equal(bytes_append(&target, ref.data, ref.len), 0);
	for (int i = 0; i < 10; i++)
		edits_make(&target);
	assert_int_equal(encode(&ref, &target, UINT64_MAX, MIB, &object), 0);
	text = (size_t)((uint8_t *)memchr(object.data, '\n', object.len) -
			object.data) +
	       1;
	for (size_t i = 0; i < object.len; i++) {
		struct bytes out = BYTES_INIT;
		uint8_t bit = (uint8_t)(1u << (i % 8));
		int err;

		object.data[i] ^= bit;
		err = decode(&ref, &object, &out);
		if (!err) {
			/*
			 * The text is for people; and some bits of a zstd
			 * frame do not matter.  The bytes do.
			 */
			assert_int_equal(out.len, target.len);
			assert_memory_equal(out.data, target.data, out.len);
			harmless++;
		} else {
			assert_true(err == -EBADMSG || err == -ENOTSUP ||
				    err == -EAGAIN);
		}
		object.data[i] ^= bit;
		bytes_clear(&out);
	}
	assert_in_range(harmless, text, text + 30);
	/* Cut anywhere it is refused. */
	for (size_t len = 0; len < object.len; len += 7) {
		struct bytes cut = { object.data, len, len }, out = BYTES_INIT;

		assert_int_not_equal(decode(&ref, &cut, &out), 0);
		bytes_clear(&out);
	}
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&object);
}

/* The wrong reference is noticed window by window. */
static void a_wrong_reference_is_noticed(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, object = BYTES_INIT,
		     out = BYTES_INIT;

	(void)state;
	edits_seed(11);
	edits_fill(&ref, 60000);
	assert_int_equal(bytes_append(&target, ref.data, ref.len), 0);
	for (size_t i = 0; i < target.len; i += 1000)
		target.data[i] ^= 1;
	assert_int_equal(encode(&ref, &target, UINT64_MAX, MIB, &object), 0);
	ref.data[30000] ^= 4;
	assert_int_equal(decode(&ref, &object, &out), -EBADMSG);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&object);
	bytes_clear(&out);
}

/* A window whose lengths fit, of which the rest is anything. */
static size_t hostile_window(uint8_t *enc, size_t cap, int wild)
{
	size_t n = 0, left;

	enc[n++] = (uint8_t)(12 + edits_below(11));
	for (int i = 0; i < 8; i++) {
		uint8_t len = (uint8_t)edits_below(12);

		enc[n++] = len;
		enc[n++] = edits_below(8) ? len : (uint8_t)edits_below(12);
	}
	enc[n++] = edits_below(8) ? 0 : (uint8_t)edits_below(128);
	left = edits_below(cap - n - 8) + 8;
	for (size_t i = 0; i < left; i++)
		enc[n++] = wild ? (uint8_t)edits_random()
				: (uint8_t)edits_below(12);
	return n;
}

static void hostile_bytes(void **state)
{
	struct bytes ref = BYTES_INIT;
	struct delta_decoder *d;
	static uint8_t enc[400], out[5000];
	unsigned loaded = 0;

	(void)state;
	edits_seed(12);
	edits_fill(&ref, 1000);
	assert_int_equal(delta_decoder_new(&d), 0);
	for (int k = 0; k < 300000; k++) {
		struct delta_extent e = { .kind = DELTA_WINDOW,
					  .target_len =
						  edits_below(sizeof(out)) + 1,
					  .len = edits_below(sizeof(enc)) + 1 };
		struct delta_ref r = { ref.len, source, &ref };

		if (k & 3)
			e.len = (uint32_t)hostile_window(enc, 120, k & 64);
		else
			for (size_t i = 0; i < e.len; i++)
				enc[i] = (uint8_t)edits_random();
		if (delta_decoder_load(d, &e, enc, &r))
			continue;
		loaded++;
		for (uint64_t at = 0, start; at < e.target_len;) {
			size_t len;

			assert_int_equal(
				delta_decoder_block(d, at, &start, &len), 0);
			assert_int_equal(
				delta_decoder_decode(d, start, &r, out),
				-EBADMSG);
			at = start + len;
		}
	}
	/* Or it would have looked at little. */
	assert_true(loaded > 100);
	delta_decoder_free(d);
	bytes_clear(&ref);
}

static void tails(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, object = BYTES_INIT;
	size_t need = 0, len;
	struct delta_table *t;

	(void)state;
	edits_seed(13);
	edits_fill(&ref, 1000);
	assert_int_equal(bytes_append(&target, ref.data, 1000), 0);
	assert_int_equal(encode(&ref, &target, UINT64_MAX, MIB, &object), 0);
	/* A short tail says how much more it takes, and that is enough. */
	for (len = 32; len < object.len; len++) {
		int err = delta_table_parse(&t, object.data + object.len - len,
					    len, object.len, &need);

		if (!err) {
			delta_table_free(t);
			break;
		}
		assert_int_equal(err, -EAGAIN);
		assert_true(need > len && need <= object.len);
	}
	assert_true(len < object.len);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&object);
}

static void identity(void **state)
{
	struct bytes ref = BYTES_INIT, object = BYTES_INIT, out = BYTES_INIT;
	struct delta_info info;

	(void)state;
	edits_seed(14);
	edits_fill(&ref, 100000);
	info = describe(&ref, &ref);
	assert_int_equal(delta_identity(&info, &object), 0);
	assert_int_equal(decode(&ref, &object, &out), 0);
	assert_int_equal(out.len, ref.len);
	assert_memory_equal(out.data, ref.data, ref.len);
	bytes_clear(&ref);
	bytes_clear(&object);
	bytes_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_of_all_kinds),
		cmocka_unit_test(sizes),
		cmocka_unit_test(odd_contents),
		cmocka_unit_test(what_moved_is_found),
		cmocka_unit_test(given_up_when_it_does_not_pay),
		cmocka_unit_test(any_range),
		cmocka_unit_test(damage_is_noticed),
		cmocka_unit_test(a_wrong_reference_is_noticed),
		cmocka_unit_test(hostile_bytes),
		cmocka_unit_test(tails),
		cmocka_unit_test(identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
