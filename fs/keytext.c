#include "fs/keytext.h"

#include <errno.h>
#include <string.h>

#include "crypto/secret.h"

#define BARE_LEN    ((size_t)43) /* digits; then the padding */
#define DOUBLED_LEN ((size_t)60) /* the text, in base64 */

/* The value of a digit of either alphabet, or -1. */
static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

/*
 * The `len` bytes that `n` characters say, with or without their padding.
 * `out` may be where `text` is: it never gets ahead of what is read.
 */
static int decode(const char *text, size_t n, char *out, size_t len)
{
	size_t digits = (8 * len + 5) / 6;
	unsigned int bits = 0, have = 0;

	if (n != digits && n != (len + 2) / 3 * 4)
		return -EINVAL;
	for (size_t i = digits; i < n; i++)
		if (text[i] != '=')
			return -EINVAL;
	for (size_t i = 0; i < digits; i++) {
		int v = digit(text[i]);

		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | (unsigned int)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		*out++ = (char)(bits >> have);
		bits &= (1U << have) - 1;
	}
	/* One spelling for a key: the bits that are left over are zero. */
	return bits ? -EINVAL : 0;
}

static int is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

int keytext_parse(char *text, size_t len, struct aead_key *out)
{
	while (len && is_blank(text[len - 1]))
		len--;
	for (; len && is_blank(*text); len--)
		text++;
	if (!len)
		return -ENODATA;
	if (len == DOUBLED_LEN) {
		/* With the end of its line, as base64(1) has it of a file. */
		len = KEYTEXT_SIZE - (text[DOUBLED_LEN - 1] == '=');
		if (decode(text, DOUBLED_LEN, text, len))
			return -EINVAL;
		while (len && is_blank(text[len - 1]))
			len--;
	}
	if (decode(text, len, text, AEAD_KEY_LEN))
		return -EINVAL;
	memcpy(out->bytes, text, AEAD_KEY_LEN);
	return 0;
}

int keytext_is(const char *text)
{
	struct {
		char text[DOUBLED_LEN + 1];
		struct aead_key key;
	} * x;
	size_t len = strlen(text);
	int is = 0;

	if (len < BARE_LEN || len > DOUBLED_LEN)
		return 0;
	x = secret_new(sizeof(*x));
	if (!x)
		return 1; /* nor can it be told that it is none */
	memcpy(x->text, text, len + 1);
	is = !keytext_parse(x->text, len, &x->key);
	secret_free(x, sizeof(*x));
	return is;
}

static void encode(char out[KEYTEXT_SIZE], const struct aead_key *key)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";

	for (size_t i = 0; i < BARE_LEN; i++) {
		size_t at = 6 * i / 8; /* six bits from two bytes */
		unsigned int two = (unsigned int)key->bytes[at] << 8;

		if (at + 1 < AEAD_KEY_LEN)
			two |= key->bytes[at + 1];
		out[i] = digits[two >> (10 - 6 * i % 8) & 63];
	}
	out[BARE_LEN] = '=';
	out[BARE_LEN + 1] = '\0';
}

int keytext_make(char out[KEYTEXT_SIZE])
{
	struct aead_key *key = secret_new(sizeof(*key));
	int err;

	if (!key)
		return -ENOMEM;
	err = aead_key_random(key);
	if (!err)
		encode(out, key);
	secret_free(key, sizeof(*key));
	return err;
}
