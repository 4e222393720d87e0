/*
 * Arbitrary bytes as a classic patch.
 *
 *	1 byte: kind | 2 bytes: length of the reference | the rest
 *
 * Kind 0: the rest is the patch.  Any other: what its three blocks unpack to,
 * behind 3 bytes for the length of the target and 2 each for those of the
 * control and the diff block, so that bzip2's checksums stop nobody.
 */
#include <bzlib.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "delta/bsdiff.h"
#include "tests/support/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t number(const uint8_t *p, int len)
{
	size_t v = 0;

	for (int i = 0; i < len; i++)
		v |= (size_t)p[i] << (8 * i);
	return v;
}

static uint64_t pack(struct bytes *patch, const uint8_t *data, size_t len)
{
	unsigned room = (unsigned)(len + len / 100 + 600);

	if (bytes_reserve(patch, room))
		abort();
	/* Its signature lacks a const; it does not write there. */
	if (BZ2_bzBuffToBuffCompress((char *)patch->data + patch->len, &room,
				     (char *)(uintptr_t)data, (unsigned)len, 1,
				     0, 0) != BZ_OK)
		abort();
	patch->len += room;
	return room;
}

static void build(struct bytes *patch, const uint8_t *data, size_t size)
{
	struct bsdiff_head head = { .target_len = number(data, 3) };
	size_t control = number(data + 3, 2), diff = number(data + 5, 2);

	data += 7;
	size -= 7;
	if (control > size)
		control = size;
	if (diff > size - control)
		diff = size - control;
	if (bytes_reserve(patch, BSDIFF_HEAD_LEN))
		abort();
	patch->len = BSDIFF_HEAD_LEN;
	head.len[BSDIFF_CONTROL] = pack(patch, data, control);
	head.len[BSDIFF_DIFF] = pack(patch, data + control, diff);
	head.len[BSDIFF_EXTRA] =
		pack(patch, data + control + diff, size - control - diff);
	bsdiff_head_write(&head, patch->data);
}

struct target {
	uint64_t len, max;
};

static int take(void *arg, const void *data, size_t len)
{
	struct target *t = arg;
	volatile uint8_t sum = 0;

	t->len += len;
	if (t->len > t->max)
		abort(); /* more than the head says */
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
	return 0;
}

static void apply(struct bytes *patch, struct bytes *ref)
{
	struct bsdiff_head head;
	struct bsdiff_source source = { .head = &head,
					.read = codec_read,
					.read_arg = patch,
					.ref = { ref->len, codec_read, ref } };
	struct target t = { 0 };
	int err;

	if (patch->len < BSDIFF_HEAD_LEN ||
	    bsdiff_head_parse(&head, patch->data, patch->len))
		return;
	if (head.target_len > (uint64_t)1 << 24)
		return; /* the caller's to refuse: it has no room for it */
	t.max = head.target_len;
	err = bsdiff_decode(&source, take, &t);
	if (err ? err != -EBADMSG : t.len != t.max)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes patch = BYTES_INIT, ref = BYTES_INIT;
	size_t ref_len;

	if (size < 10)
		return 0;
	ref_len = number(data + 1, 2);
	if (bytes_reserve(&ref, ref_len + 1))
		abort();
	for (size_t i = 0; i < ref_len; i++)
		ref.data[ref.len++] = (uint8_t)(i * 7);
	if (data[0])
		build(&patch, data + 3, size - 3);
	else if (bytes_append(&patch, data + 3, size - 3))
		abort();
	apply(&patch, &ref);
	bytes_clear(&patch);
	bytes_clear(&ref);
	return 0;
}
