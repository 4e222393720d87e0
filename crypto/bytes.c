#include "crypto/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN ((size_t)64)

int bytes_reserve(struct bytes *b, size_t extra)
{
	size_t need, cap;
	uint8_t *data;

	if (extra <= b->cap - b->len)
		return 0;
	if (extra > PTRDIFF_MAX - b->len)
		return -ENOMEM;
	need = b->len + extra;
	cap = b->cap > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : 2 * b->cap;
	if (cap < CAP_MIN)
		cap = CAP_MIN;
	if (cap < need)
		cap = need;

	/* Not realloc(3): it would leave the old bytes behind, unwiped. */
	data = malloc(cap);
	if (!data)
		return -ENOMEM;
	if (b->len)
		memcpy(data, b->data, b->len);
	if (b->data) {
		bytes_wipe(b->data, b->len);
		free(b->data);
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

int bytes_append(struct bytes *b, const void *data, size_t len)
{
	int err;

	if (!len)
		return 0;
	err = bytes_reserve(b, len);
	if (err)
		return err;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int bytes_append_str(struct bytes *b, const char *s)
{
	return bytes_append(b, s, strlen(s));
}

int bytes_printf(struct bytes *b, const char *fmt, ...)
{
	va_list ap;
	int n, err;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	err = bytes_reserve(b, (size_t)n + 1); /* vsnprintf() writes a NUL */
	if (err)
		return err;

	va_start(ap, fmt);
	n = vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	b->len += (size_t)n;
	return 0;
}

void bytes_clear(struct bytes *b)
{
	if (b->data)
		bytes_wipe(b->data, b->cap);
	free(b->data);
	*b = (struct bytes)BYTES_INIT;
}

void bytes_wipe(void *p, size_t len)
{
	if (len)
		explicit_bzero(p, len);
}

int bytes_equal(const void *a, const void *b, size_t len)
{
	/* volatile: the loop must not become a memcmp() that stops early. */
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= (uint8_t)(x[i] ^ y[i]);
	return diff == 0;
}

void hex_encode(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1; /* the NUL too, so that a short string ends the loop below */
}

int hex_decode(void *out, size_t len, const char *hex)
{
	uint8_t *p = out;

	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(*hex++), low;

		if (high < 0)
			return -EINVAL;
		low = hex_digit(*hex++);
		if (low < 0)
			return -EINVAL;
		p[i] = (uint8_t)(high << 4 | low);
	}
	return *hex ? -EINVAL : 0;
}

int text_dup(char **out, const char *text)
{
	*out = text && *text ? strdup(text) : NULL;
	return *out || !text || !*text ? 0 : -ENOMEM;
}

void base64_encode(char *out, const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16;

		if (n > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (n > 2)
			v |= p[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = (char)(n > 1 ? digits[v >> 6 & 63] : '=');
		*out++ = (char)(n > 2 ? digits[v & 63] : '=');
	}
	*out = '\0';
}
