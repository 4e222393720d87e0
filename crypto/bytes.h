#ifndef CRYPTO_BYTES_H
#define CRYPTO_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* The result must be looked at; cast to void only with a comment saying why. */
#define MUST_CHECK __attribute__((warn_unused_result))

/*
 * A growable byte string.  Zero-initialise with BYTES_INIT.  `data` is NULL
 * iff `cap` is 0, and is never NUL-terminated by these functions.
 */
struct bytes {
	uint8_t *data;
	size_t len; /* bytes in use */
	size_t cap; /* bytes allocated */
};

#define BYTES_INIT         \
	{                  \
		NULL, 0, 0 \
	}

/* Make room for `extra` bytes past `len`.  0 or -ENOMEM; `b` unchanged on error. */
MUST_CHECK int bytes_reserve(struct bytes *b, size_t extra);

/* Append a copy of `len` bytes.  0 or -ENOMEM; `b` unchanged on error. */
MUST_CHECK int bytes_append(struct bytes *b, const void *data, size_t len);

/* Append a NUL-terminated string without its NUL.  As bytes_append(). */
MUST_CHECK int bytes_append_str(struct bytes *b, const char *s);

/* Append what printf(3) would print, without a NUL.  0, -ENOMEM or -EINVAL. */
MUST_CHECK int bytes_printf(struct bytes *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Wipe and free the contents and leave `b` ready for reuse. */
void bytes_clear(struct bytes *b);

/* Zero `len` bytes in a way the compiler may not remove. */
void bytes_wipe(void *p, size_t len);

/* Compare in time that depends on `len` alone.  Non-zero iff equal. */
MUST_CHECK int bytes_equal(const void *a, const void *b, size_t len);

/* Write `len` bytes as 2 * len lower-case hex digits and a NUL. */
void hex_encode(char *out, const void *data, size_t len);

/*
 * Read exactly 2 * len hex digits, of either case, and nothing after them.
 * 0; -EINVAL, and `out` is undefined.
 */
MUST_CHECK int hex_decode(void *out, size_t len, const char *hex);

/*
 * A copy of `text` for free(), or NULL in `*out` where that is NULL or "".
 * 0 or -ENOMEM.
 */
MUST_CHECK int text_dup(char **out, const char *text);

/* Bytes that `len` bytes take as base64, with padding and a NUL. */
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* Write `len` bytes as base64 with padding, and a NUL. */
void base64_encode(char *out, const void *data, size_t len);

/* Little-endian is the byte order of every format of ours: see the FORMAT.md files. */
static inline void le32_put(uint8_t p[4], uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline uint32_t le32_get(const uint8_t p[4])
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline void le64_put(uint8_t p[8], uint64_t v)
{
	le32_put(p, (uint32_t)v);
	le32_put(p + 4, (uint32_t)(v >> 32));
}

static inline uint64_t le64_get(const uint8_t p[8])
{
	return (uint64_t)le32_get(p) | (uint64_t)le32_get(p + 4) << 32;
}

#endif
