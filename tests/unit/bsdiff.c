/* Classic bsdiff: whatever was edited comes back, and damage never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include <bzlib.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delta/bsdiff.h"
#include "delta/index.h"
#include "tests/support/edits.h"

#define MIB ((size_t)1 << 20)

static void append(struct bytes *b, const void *data, size_t len)
{
	assert_int_equal(bytes_append(b, data, len), 0);
}

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

static int take(void *arg, enum bsdiff_block block, const void *data,
		size_t len)
{
	return bytes_append((struct bytes *)arg + block, data, len);
}

static int index_of(void *arg, const struct delta_index **out)
{
	*out = arg;
	return 0;
}

static int encode(const struct bytes *ref, const struct bytes *target,
		  uint64_t max_len, size_t piece, struct bytes *out)
{
	struct bytes block[BSDIFF_BLOCKS] = { BYTES_INIT, BYTES_INIT,
					      BYTES_INIT };
	struct bsdiff_encoder_conf conf = { .max_len = max_len,
					    .write = take,
					    .write_arg = block };
	uint8_t data[BSDIFF_HEAD_LEN];
	struct bsdiff_encoder *e;
	struct bsdiff_head head;
	struct delta_index *ix;
	int err = 0;

	assert_int_equal(delta_index_new(&ix, ref->data, ref->len, SIZE_MAX),
			 0);
	conf.ref = ref->data;
	conf.ref_len = ref->len;
	conf.index = index_of;
	conf.index_arg = ix;
	assert_int_equal(bsdiff_encoder_new(&e, &conf), 0);
	for (size_t off = 0; !err && off < target->len; off += piece)
		err = bsdiff_encoder_feed(
			e, target->data + off,
			target->len - off < piece ? target->len - off : piece);
	if (!err)
		err = bsdiff_encoder_finish(e, &head);
	bsdiff_encoder_free(e);
	delta_index_free(ix);
	if (!err) {
		bsdiff_head_write(&head, data);
		append(out, data, sizeof(data));
	}
	for (int b = 0; b < BSDIFF_BLOCKS; b++) {
		if (!err)
			assert_int_equal(head.len[b], block[b].len);
		append(out, block[b].data, block[b].len);
		bytes_clear(&block[b]);
	}
	return err;
}

static int decode(struct bytes *ref, struct bytes *patch, struct bytes *out)
{
	struct bsdiff_head head;
	struct bsdiff_source src = { .head = &head,
				     .read = source,
				     .read_arg = patch,
				     .ref = { ref->len, source, ref } };
	int err;

	out->len = 0;
	if (patch->len < BSDIFF_HEAD_LEN)
		return -EBADMSG;
	err = bsdiff_head_parse(&head, patch->data, patch->len);
	if (!err)
		err = bsdiff_decode(&src, sink, out);
	/* Never more than was announced, and exactly that if all was well. */
	if (!err)
		assert_int_equal(out->len, head.target_len);
	return err;
}

static size_t round_trip(struct bytes *ref, struct bytes *target)
{
	struct bytes patch = BYTES_INIT, again = BYTES_INIT, out = BYTES_INIT;
	size_t len;

	assert_int_equal(encode(ref, target, UINT64_MAX, 100000, &patch), 0);
	/* The same patch, however the target was cut into calls. */
	assert_int_equal(encode(ref, target, UINT64_MAX, 4093, &again), 0);
	assert_int_equal(patch.len, again.len);
	assert_memory_equal(patch.data, again.data, patch.len);
	assert_int_equal(decode(ref, &patch, &out), 0);
	assert_int_equal(out.len, target->len);
	assert_true(bytes_equal(out.data, target->data, target->len));
	len = patch.len;
	bytes_clear(&patch);
	bytes_clear(&again);
	bytes_clear(&out);
	return len;
}

static void edits_of_all_kinds(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 40; k++) {
		struct bytes ref = BYTES_INIT, target = BYTES_INIT;
		unsigned edits = k % 12;

		edits_seed(4000 + k);
		edits_fill(&ref, edits_below(300000) + (k % 5 ? 1 : 0));
		append(&target, ref.data, ref.len);
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
	static const size_t around[] = { 2,      16,     24,      4096,   65536,
					 262144, 900000, 4 * MIB, 8 * MIB };
	(void)state;
	edits_seed(78);
	for (size_t k = 0; k < sizeof(around) / sizeof(around[0]); k++) {
		for (size_t len = around[k] - 2; len <= around[k] + 2; len++) {
			struct bytes ref = BYTES_INIT, target = BYTES_INIT;

			if (len > MIB && len % 2) /* bzip2 takes its time */
				continue;
			edits_fill(&ref, len);
			append(&target, ref.data, ref.len);
			if (len)
				target.data[len / 2] ^= 1;
			if (len)
				target.data[len - 1] ^= 1;
			assert_true(round_trip(&ref, &target) < 300);
			bytes_clear(&ref);
			bytes_clear(&target);
		}
	}
}

static void empty_ones(void **state)
{
	struct bytes none = BYTES_INIT, some = BYTES_INIT;

	(void)state;
	edits_seed(5);
	edits_fill(&some, 30000);
	assert_true(round_trip(&none, &none) < 100);
	assert_true(round_trip(&some, &none) < 100);
	assert_true(round_trip(&none, &some) < 31000);
	bytes_clear(&some);
}

static void what_moved_is_found(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT;

	(void)state;
	edits_seed(6);
	edits_fill(&ref, 2 * MIB);
	append(&target, ref.data + MIB, MIB);
	append(&target, ref.data, MIB);
	assert_true(round_trip(&ref, &target) < 300);
	bytes_clear(&ref);
	bytes_clear(&target);
}

static void given_up_when_it_does_not_pay(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, out = BYTES_INIT;

	(void)state;
	edits_seed(8);
	edits_fill(&ref, 6 * MIB);
	edits_fill(&target, 6 * MIB);
	assert_int_equal(encode(&ref, &target, 3 * MIB, MIB, &out), -E2BIG);
	/* Not a byte past the limit was written. */
	assert_true(out.len <= 3 * MIB);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&out);
}

static void identities(void **state)
{
	static const size_t len[] = { 0, 1, 65536, 5 * MIB + 7 };

	(void)state;
	edits_seed(9);
	for (size_t k = 0; k < sizeof(len) / sizeof(len[0]); k++) {
		struct bytes ref = BYTES_INIT, patch = BYTES_INIT,
			     out = BYTES_INIT;

		edits_fill(&ref, len[k]);
		assert_int_equal(bsdiff_identity(ref.len, &patch), 0);
		assert_true(patch.len < 200);
		assert_int_equal(decode(&ref, &patch, &out), 0);
		assert_int_equal(out.len, ref.len);
		assert_true(bytes_equal(out.data, ref.data, ref.len));
		bytes_clear(&ref);
		bytes_clear(&patch);
		bytes_clear(&out);
	}
}

/* A patch by hand: what each block holds before compression. */
struct parts {
	int64_t control[24];
	size_t n; /* numbers in it */
	const char *diff, *extra;
	uint64_t target_len;
};

static void number(uint8_t p[8], int64_t v)
{
	uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;

	le64_put(p, v < 0 ? m | (uint64_t)1 << 63 : m);
}

static void compress_to(struct bytes *out, const void *data, size_t len)
{
	unsigned n = (unsigned)(len + len / 50 + 700);
	union {
		const void *in;
		char *out;
	} from = { .in = data };

	assert_int_equal(bytes_reserve(out, n), 0);
	assert_int_equal(BZ2_bzBuffToBuffCompress((char *)out->data + out->len,
						  &n, from.out, (unsigned)len,
						  9, 0, 0),
			 BZ_OK);
	out->len += n;
}

static void assemble(struct bytes *patch, const void *control,
		     size_t control_len, const struct parts *p)
{
	struct bytes block[BSDIFF_BLOCKS] = { BYTES_INIT, BYTES_INIT,
					      BYTES_INIT };
	uint8_t data[BSDIFF_HEAD_LEN];
	struct bsdiff_head head = { .target_len = p->target_len };

	compress_to(&block[0], control, control_len);
	compress_to(&block[1], p->diff, strlen(p->diff));
	compress_to(&block[2], p->extra, strlen(p->extra));
	patch->len = 0;
	for (int b = 0; b < BSDIFF_BLOCKS; b++)
		head.len[b] = block[b].len;
	bsdiff_head_write(&head, data);
	append(patch, data, sizeof(data));
	for (int b = 0; b < BSDIFF_BLOCKS; b++) {
		append(patch, block[b].data, block[b].len);
		bytes_clear(&block[b]);
	}
}

static void by_hand(struct bytes *patch, const struct parts *p)
{
	uint8_t control[8 * 24];

	for (size_t i = 0; i < p->n; i++)
		number(control + 8 * i, p->control[i]);
	assemble(patch, control, 8 * p->n, p);
}

static void expect_text(struct bytes *ref, const struct parts *p,
			const char *text)
{
	struct bytes patch = BYTES_INIT, out = BYTES_INIT;

	by_hand(&patch, p);
	assert_int_equal(decode(ref, &patch, &out), 0);
	assert_int_equal(out.len, strlen(text));
	assert_memory_equal(out.data, text, out.len);
	bytes_clear(&patch);
	bytes_clear(&out);
}

/* Outside of the reference there is nothing to add, as in bspatch. */
static void old_positions_outside(void **state)
{
	struct bytes ref = BYTES_INIT;

	(void)state;
	append(&ref, "\1\1\1\1", 4);
	expect_text(&ref, &(struct parts){ { 4, 0, 0 }, 3, "aaaa", "", 4 },
		    "bbbb");
	expect_text(&ref, &(struct parts){ { 6, 0, 0 }, 3, "aaaaaa", "", 6 },
		    "bbbbaa");
	expect_text(
		&ref,
		&(struct parts){ { 0, 0, -2, 8, 1, 0 }, 6, "aaaaaaaa", "z", 9 },
		"aabbbbaaz");
	expect_text(
		&ref,
		&(struct parts){ { 0, 1, INT64_MAX, 0, 1, -INT64_MAX, 2, 0, 0 },
				 9,
				 "aa",
				 "yz",
				 4 },
		"yzbb");
	expect_text(&ref,
		    &(struct parts){
			    { 0, 1, -5000000000, 2, 0, 7 }, 6, "aa", "y", 3 },
		    "yaa");
	bytes_clear(&ref);
}

static void what_is_odd_is_refused(void **state)
{
	static const struct parts odd[] = {
		/* More or less than was announced. */
		{ { 4, 0, 0 }, 3, "aaaa", "", 3 },
		{ { 4, 0, 0 }, 3, "aaaa", "", 5 },
		{ { 2, 3, 0 }, 3, "aa", "bbb", 4 },
		{ { 0, 0, 0 }, 0, "", "", 1 },
		/* Left over. */
		{ { 4, 0, 0, 0, 0, 0 }, 6, "aaaa", "", 4 },
		{ { 4, 0, 0 }, 3, "aaaaa", "", 4 },
		{ { 4, 0, 0 }, 3, "aaaa", "b", 4 },
		{ { 0, 0, 0 }, 3, "", "", 0 },
		/* Not there. */
		{ { 4, 0, 0 }, 3, "aaa", "", 4 },
		{ { 0, 4, 0 }, 3, "", "aaa", 4 },
		{ { 4, 0 }, 2, "aaaa", "", 4 },
		/* Signs and sizes that make no sense. */
		{ { -4, 0, 0 }, 3, "aaaa", "", 4 },
		{ { 4, -1, 0, 1, 0, 0 }, 6, "aaaaa", "", 4 },
		{ { 5, -1, 0 }, 3, "aaaaa", "", 4 },
		{ { INT64_MAX, 0, 0 }, 3, "aaaa", "", 4 },
		{ { 4, INT64_MAX, 0 }, 3, "aaaa", "", 4 },
		/* Positions that overflow. */
		{ { 0, 1, INT64_MAX, 0, 1, INT64_MAX, 2, 0, 0 },
		  9,
		  "aa",
		  "yz",
		  4 },
		{ { 0, 1, INT64_MAX, 2, 0, 0 }, 6, "aa", "y", 3 },
		{ { 0, 1, -INT64_MAX, 0, 1, -INT64_MAX, 2, 0, 0 },
		  9,
		  "aa",
		  "yz",
		  4 },
	};
	struct bytes ref = BYTES_INIT, patch = BYTES_INIT, out = BYTES_INIT;

	(void)state;
	append(&ref, "0123456789", 10);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		by_hand(&patch, &odd[i]);
		assert_int_equal(decode(&ref, &patch, &out), -EBADMSG);
		assert_true(out.len <= odd[i].target_len);
	}
	bytes_clear(&ref);
	bytes_clear(&patch);
	bytes_clear(&out);
}

/* A hundred bytes of bzip2 can hold operations without number or effect. */
static void bombs(void **state)
{
	struct parts p = { .diff = "", .extra = "x", .target_len = 1 };
	struct bytes ref = BYTES_INIT, patch = BYTES_INIT, out = BYTES_INIT;
	size_t n = 24 * MIB;
	uint8_t *control = calloc(1, n);

	(void)state;
	assert_non_null(control);
	assemble(&patch, control, n, &p);
	assert_true(patch.len < 1000);
	assert_int_equal(decode(&ref, &patch, &out), -EBADMSG);
	/* One operation of a petabyte, of which nothing is there. */
	p.target_len = (uint64_t)1 << 50;
	number(control, (int64_t)p.target_len);
	assemble(&patch, control, 24, &p);
	assert_int_equal(decode(&ref, &patch, &out), -EBADMSG);
	assert_int_equal(out.len, 0);
	free(control);
	bytes_clear(&patch);
	bytes_clear(&out);
}

static void sample(struct bytes *ref, struct bytes *target, struct bytes *patch)
{
	edits_seed(11);
	edits_fill(ref, 20000);
	append(target, ref->data, ref->len);
	for (int i = 0; i < 8; i++)
		edits_make(target);
	assert_int_equal(encode(ref, target, UINT64_MAX, MIB, patch), 0);
}

/*
 * bzip2's checksums cover every bit that means something, and the decoder reads
 * all streams to their ends: a changed byte is -EBADMSG, or one of the few that
 * do not matter (what fills up a stream's last byte; the block size, where a
 * smaller one does).  Other bytes than the right ones never come with 0, though
 * a caller must not rely on 32 bits where somebody means harm.
 */
static void every_byte_counts(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, patch = BYTES_INIT,
		     out = BYTES_INIT;
	unsigned harmless = 0, found = 0;

	(void)state;
	sample(&ref, &target, &patch);
	for (size_t i = 0; i < patch.len; i++) {
		for (unsigned k = 0; k < 3; k++) {
			static const uint8_t flip[] = { 0x01, 0x80, 0xff };
			int err;

			patch.data[i] ^= flip[k];
			err = decode(&ref, &patch, &out);
			assert_true(!err || err == -EBADMSG);
			assert_true(out.len <= target.len || err);
			if (!err) {
				assert_int_equal(out.len, target.len);
				assert_memory_equal(out.data, target.data,
						    out.len);
				harmless++;
			} else {
				found++;
			}
			patch.data[i] ^= flip[k];
		}
	}
	assert_true(found > 1000);
	assert_true(harmless <= 3 * 3 * 2);
	assert_int_equal(decode(&ref, &patch, &out), 0);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&patch);
	bytes_clear(&out);
}

static void cut_off_or_grown(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, patch = BYTES_INIT,
		     out = BYTES_INIT;
	size_t whole;

	(void)state;
	sample(&ref, &target, &patch);
	whole = patch.len;
	for (size_t len = 0; len < whole; len++) {
		patch.len = len;
		assert_int_equal(decode(&ref, &patch, &out), -EBADMSG);
	}
	patch.len = whole;
	append(&patch, "", 1);
	assert_int_equal(decode(&ref, &patch, &out), -EBADMSG);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&patch);
	bytes_clear(&out);
}

static void headers(void **state)
{
	static const struct {
		int64_t control, diff, target;
	} bad[] = { { -1, 14, 0 },
		    { 14, -1, 0 },
		    { 14, 14, -1 },
		    { 57, 0, 0 },
		    { INT64_MAX, INT64_MAX, 0 },
		    { 28, INT64_MAX, 0 } };
	uint8_t data[100] = "BSDIFF40";
	struct bsdiff_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		number(data + 8, bad[i].control);
		number(data + 16, bad[i].diff);
		number(data + 24, bad[i].target);
		assert_int_equal(bsdiff_head_parse(&head, data, 88), -EBADMSG);
	}
	number(data + 8, 10);
	number(data + 16, 11);
	number(data + 24, 12);
	assert_int_equal(bsdiff_head_parse(&head, data, 31), -EBADMSG);
	assert_int_equal(bsdiff_head_parse(&head, data, 52), -EBADMSG);
	assert_int_equal(bsdiff_head_parse(&head, data, 66), 0);
	assert_int_equal(head.len[BSDIFF_CONTROL], 10);
	assert_int_equal(head.len[BSDIFF_DIFF], 11);
	assert_int_equal(head.len[BSDIFF_EXTRA], 13);
	assert_int_equal(head.target_len, 12);
	data[7] = '1';
	assert_int_equal(bsdiff_head_parse(&head, data, 66), -EBADMSG);
}

static int refuse(void *arg, const void *data, size_t len)
{
	(void)data;
	(void)len;
	return *(const int *)arg;
}

static int unreadable(void *arg, void *buf, size_t len, uint64_t off)
{
	(void)buf;
	(void)len;
	(void)off;
	return *(const int *)arg;
}

/* What a callback says is what the caller hears. */
static void errors_of_callbacks(void **state)
{
	struct bytes ref = BYTES_INIT, target = BYTES_INIT, patch = BYTES_INIT,
		     out = BYTES_INIT;
	struct bsdiff_head head;
	struct bsdiff_source src = { .head = &head,
				     .read = source,
				     .read_arg = &patch };
	int why = -ENOSPC;

	(void)state;
	sample(&ref, &target, &patch);
	src.ref = (struct delta_ref){ ref.len, source, &ref };
	assert_int_equal(bsdiff_head_parse(&head, patch.data, patch.len), 0);
	assert_int_equal(bsdiff_decode(&src, refuse, &why), -ENOSPC);
	why = -EINTR;
	src.ref.read = unreadable;
	src.ref.arg = &why;
	assert_int_equal(bsdiff_decode(&src, sink, &out), -EINTR);
	src.read = unreadable;
	src.read_arg = &why;
	assert_int_equal(bsdiff_decode(&src, sink, &out), -EINTR);
	bytes_clear(&ref);
	bytes_clear(&target);
	bytes_clear(&patch);
	bytes_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_of_all_kinds),
		cmocka_unit_test(sizes),
		cmocka_unit_test(empty_ones),
		cmocka_unit_test(what_moved_is_found),
		cmocka_unit_test(given_up_when_it_does_not_pay),
		cmocka_unit_test(identities),
		cmocka_unit_test(old_positions_outside),
		cmocka_unit_test(what_is_odd_is_refused),
		cmocka_unit_test(bombs),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(cut_off_or_grown),
		cmocka_unit_test(headers),
		cmocka_unit_test(errors_of_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
