#ifndef DELTA_WINDOW_H
#define DELTA_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/container.h"

/*
 * One window: the payload of a DELTA_WINDOW extent.  Its streams are kept
 * apart because each compresses better among its own kind, and last for the
 * whole window; blocks of the target start anew in everything else, so that
 * one is decoded without those before it.
 */
enum window_stream {
	WINDOW_COPY_LEN, /* varint an operation */
	WINDOW_LIT_LEN, /* varint an operation */
	WINDOW_SEEK, /* zigzag varint an operation */
	WINDOW_GAP, /* varint a field: right copied bytes before it */
	WINDOW_RANK, /* byte a FIELD_VALUE: which prediction is right */
	WINDOW_BRANCH, /* byte a FIELD_BRANCH */
	WINDOW_ESCAPE, /* zigzag varint: off the prediction, if none was right */
	WINDOW_LITERAL, /* bytes that no copy gives */
	WINDOW_STREAMS
};

/* Bytes that all streams of a window may have together, uncompressed. */
#define WINDOW_RAW_MAX ((size_t)24 << 20)
/* Target bytes of a block, as a power of two. */
#define WINDOW_BLOCK_MIN 12
#define WINDOW_BLOCK_MAX 22
/* Reference bytes that the literals may be compressed with. */
#define WINDOW_PREFIX_MAX ((size_t)4 << 20)
/* What precedes the streams, but for the list of blocks. */
#define WINDOW_HEAD_MAX (1 + (2 * WINDOW_STREAMS + 2) * 10)

/* How much time its streams are worth. */
enum window_effort {
	WINDOW_DENSE, /* literals are compressed already: only repeats are left */
	WINDOW_QUICK, /* there is much of them */
	WINDOW_NORMAL,
	WINDOW_THOROUGH /* there is little of them */
};

struct field_model;

/* A window under construction, made by window_init(). */
struct window {
	struct bytes stream[WINDOW_STREAMS];
	struct bytes blocks; /* the list of those that are full */
	size_t block_at[WINDOW_STREAMS]; /* where the block under way starts */
	struct field_model *model;
	void *hash; /* of the block under way */
	unsigned block_bits;
	size_t block_len; /* target bytes of the block under way */
	uint64_t target_len;
	uint64_t ref_pos; /* where the last copy ended */
	uint64_t ref_low, ref_high; /* all copies lie between */
	uint64_t fields, escapes; /* these of them were not predicted at all */
	uint64_t gap; /* right copied bytes since the last field */
	uint64_t lit_len; /* literals since the last copy */
	int open; /* an operation whose literal length is not written */
	enum window_effort effort;
};

/* 0 or -ENOMEM. */
MUST_CHECK int window_init(struct window *w);
void window_clear(struct window *w);

/* Begin: empty, with blocks of 1 << block_bits bytes. */
void window_start(struct window *w, unsigned block_bits);

/* Add `len` target bytes `t` that stand, nearly, at `ref` + `off`. */
MUST_CHECK int window_copy(struct window *w, const uint8_t *t,
			   const uint8_t *ref, uint64_t off, size_t len);
MUST_CHECK int window_literal(struct window *w, const uint8_t *t, size_t len);

/* The list's last entry.  Nothing may be added after it.  0 or -ENOMEM. */
MUST_CHECK int window_finish(struct window *w);

/* About how many bytes it would be before compression. */
size_t window_weight(const struct window *w);

/* Compresses finished windows: zstd's state, for one thread at a time. */
struct window_packer;

struct window_packing {
	int level; /* zstd's */
	int prefix; /* try the literals with the reference as prefix */
	const uint8_t *ref;
	size_t ref_len;
};

MUST_CHECK int window_packer_new(struct window_packer **out);
void window_packer_free(struct window_packer *p); /* NULL-safe */

/*
 * Append the window to `out`, each stream in its smallest form.  0, -ENOMEM,
 * or -EIO if zstd fails.
 */
MUST_CHECK int window_pack(struct window_packer *p, const struct window *w,
			   const struct window_packing *how, struct bytes *out);

#endif
