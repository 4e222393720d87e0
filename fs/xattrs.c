#include "fs/xattrs.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "s3/meta.h"

static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A member of the object; both are strings of JSON without their quotes. */
struct member {
	const char *name, *value;
	size_t name_len, value_len;
};

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Past the string that begins at `p`, or NULL. */
static const char *string_at(const char *p, const char **start, size_t *len)
{
	if (*p != '"')
		return NULL;
	*start = ++p;
	for (; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	*len = (size_t)(p - *start);
	return *p ? p + 1 : NULL;
}

/* The member at *at, which moves on; 0 at the end, or where it is no JSON. */
static int next_member(const char **at, struct member *m)
{
	const char *p = skip_blanks(*at);

	if (*p != '{' && *p != ',')
		return 0;
	p = string_at(skip_blanks(p + 1), &m->name, &m->name_len);
	if (!p)
		return 0;
	p = skip_blanks(p);
	if (*p != ':')
		return 0;
	p = string_at(skip_blanks(p + 1), &m->value, &m->value_len);
	if (!p)
		return 0;
	*at = p;
	return 1;
}

static int hex_digit(char c)
{
	const char *all = "0123456789abcdef", *p;

	if (c >= 'A' && c <= 'F')
		c = (char)(c - 'A' + 'a');
	p = c ? strchr(all, c) : NULL;
	return p ? (int)(p - all) : -1;
}

/* \u00XX: a byte; we write no others, and what is wider is not a name. */
static int unicode_escape(const char *p, size_t left, char *out)
{
	unsigned v = 0;

	if (left < 4)
		return 0;
	for (int k = 0; k < 4; k++) {
		int d = hex_digit(p[k]);

		if (d < 0)
			return 0;
		v = v << 4 | (unsigned)d;
	}
	*out = (char)v;
	return v && v < 0x80;
}

/* The name as bytes, into `out` with a NUL.  Its length, or 0. */
static size_t name_of(const struct member *m, char out[META_VALUE_MAX])
{
	static const char shorts[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	size_t n = 0;

	for (size_t k = 0; k < m->name_len && n < META_VALUE_MAX - 1; k++) {
		char c = m->name[k];
		const char *p;

		if (c != '\\') {
			out[n++] = c;
			continue;
		}
		c = m->name[++k];
		p = strchr(shorts, c);
		if (c == 'u') {
			if (!unicode_escape(m->name + k + 1,
					    m->name_len - k - 1, &out[n++]))
				return 0;
			k += 4;
		} else if (p) {
			out[n++] = meant[p - shorts];
		} else {
			return 0;
		}
	}
	out[n] = '\0';
	return n;
}

static int value_of(const struct member *m, struct bytes *out)
{
	uint32_t bits = 0;
	int have = 0, err = 0;

	for (size_t k = 0; k < m->value_len && !err; k++) {
		const char *p = strchr(digits, m->value[k]);
		uint8_t byte;

		if (!p)
			continue; /* padding, an escape before a slash */
		bits = bits << 6 | (uint32_t)(p - digits);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		byte = (uint8_t)(bits >> have);
		err = bytes_append(out, &byte, 1);
	}
	return err;
}

/* Decoded, for free(); *out is NULL where there is nothing. */
static int decode(const char *text, char **out)
{
	size_t cap = text ? strlen(text) + 1 : 0;
	int n;

	*out = NULL;
	if (cap < 2)
		return 0;
	*out = malloc(cap);
	if (!*out)
		return -ENOMEM;
	n = meta_decode(*out, cap, text);
	if (n < 0)
		(*out)[0] = '\0';
	return 0;
}

int xattrs_get(const char *text, const char *name, struct bytes *out)
{
	char found[META_VALUE_MAX], *json;
	struct member m;
	const char *at;
	int err = decode(text, &json);

	if (err || !json)
		return err ? err : -ENODATA;
	err = -ENODATA;
	for (at = json; err == -ENODATA && next_member(&at, &m);)
		if (name_of(&m, found) && !strcmp(found, name))
			err = value_of(&m, out);
	free(json);
	return err;
}

int xattrs_list(const char *text, struct bytes *out)
{
	char name[META_VALUE_MAX], *json;
	struct member m;
	const char *at;
	int err = decode(text, &json);

	if (err || !json)
		return err;
	for (at = json; !err && next_member(&at, &m);) {
		size_t n = name_of(&m, name);

		if (n)
			err = bytes_append(out, name, n + 1);
	}
	free(json);
	return err;
}

static int put_name(struct bytes *b, const char *name)
{
	int err = bytes_append_str(b, b->len ? ",\"" : "{\"");

	for (; *name && !err; name++) {
		unsigned char c = (unsigned char)*name;

		if (c == '"' || c == '\\')
			err = bytes_append(b, "\\", 1);
		if (!err)
			err = c < ' ' ? bytes_printf(b, "\\u%04x", c)
				      : bytes_append(b, name, 1);
	}
	return err ? err : bytes_append_str(b, "\":\"");
}

static int put_value(struct bytes *b, const uint8_t *value, size_t len)
{
	int err = 0;

	for (size_t k = 0; k < len && !err; k += 3) {
		size_t n = len - k < 3 ? len - k : 3;
		uint32_t bits = (uint32_t)value[k] << 16 |
				(n > 1 ? (uint32_t)value[k + 1] << 8 : 0) |
				(n > 2 ? value[k + 2] : 0);
		char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63],
				 digits[bits >> 6 & 63], digits[bits & 63] };

		memset(four + n + 1, '=', 3 - n);
		err = bytes_append(b, four, 4);
	}
	return err ? err : bytes_append_str(b, "\"");
}

/* All but `name`, which may be there: *had says so. */
static int copy_others(const char *json, const char *name, struct bytes *out,
		       int *had)
{
	char found[META_VALUE_MAX];
	struct member m;
	int err = 0;

	while (!err && json && next_member(&json, &m)) {
		if (!name_of(&m, found))
			continue;
		if (!strcmp(found, name)) {
			*had = 1;
			continue;
		}
		err = put_name(out, found);
		if (!err)
			err = bytes_append(out, m.value, m.value_len);
		if (!err)
			err = bytes_append_str(out, "\"");
	}
	return err;
}

/* `json`, ended and percent-encoded, for free(). */
static int finish(struct bytes *json, char **out)
{
	char text[XATTRS_MAX + 1];
	int err;

	if (!json->len) {
		*out = NULL;
		return 0;
	}
	err = bytes_append_str(json, "}");
	if (!err)
		err = meta_encode(text, sizeof(text), json->data, json->len);
	if (err)
		return err == -ERANGE ? -ENOSPC : err;
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

int xattrs_change(const char *text, const struct xattr_change *c, char **out)
{
	struct bytes b = BYTES_INIT;
	int had = 0, err;
	char *json;

	err = decode(text, &json);
	if (err)
		return err;
	err = copy_others(json, c->name, &b, &had);
	if (!err && !had && (!c->value || (c->flags & XATTR_REPLACE)))
		err = -ENODATA;
	if (!err && had && (c->flags & XATTR_CREATE))
		err = -EEXIST;
	if (!err && c->value) {
		err = put_name(&b, c->name);
		if (!err)
			err = put_value(&b, c->value, c->len);
	}
	if (!err)
		err = finish(&b, out);
	bytes_clear(&b);
	free(json);
	return err;
}

int xattrs_equal(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}
