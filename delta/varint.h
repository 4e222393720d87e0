#ifndef DELTA_VARINT_H
#define DELTA_VARINT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Numbers of 1 to 10 bytes: seven bits a byte, the low ones first, the top bit
 * set on all but the last (LEB128).  Signed ones are folded first, so that
 * small magnitudes stay short: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
 */
#define VARINT_MAX 10

static inline uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Append to `b`.  0 or -ENOMEM. */
MUST_CHECK static inline int varint_put(struct bytes *b, uint64_t v)
{
	size_t n = b->len;

	if (b->cap - n < VARINT_MAX) {
		int err = bytes_reserve(b, VARINT_MAX);

		if (err)
			return err;
	}
	while (v >= 0x80) {
		b->data[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	b->data[n++] = (uint8_t)v;
	b->len = n;
	return 0;
}

/* Read at *p, advance it.  0; -EBADMSG if it runs past `end` or 64 bits. */
MUST_CHECK static inline int varint_get(const uint8_t **p, const uint8_t *end,
					uint64_t *out)
{
	const uint8_t *q = *p;
	uint64_t v = 0;
	unsigned shift = 0;

	if (q != end && *q < 0x80) { /* most are */
		*out = *q;
		*p = q + 1;
		return 0;
	}

	for (;;) {
		uint64_t bits;

		if (q == end || shift > 63)
			return -EBADMSG;
		bits = *q & 0x7f;
		if (shift == 63 && bits > 1)
			return -EBADMSG;
		v |= bits << shift;
		shift += 7;
		if (!(*q++ & 0x80))
			break;
	}
	*p = q;
	*out = v;
	return 0;
}

#endif
