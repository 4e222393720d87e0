#include "s3/meta.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_LEN (sizeof("x-amz-meta-") - 1)

/* Where the line of `name` starts, or NULL; `*len` is its length with '\n'. */
static const char *line_find(const struct meta *m, const char *name,
			     size_t *len)
{
	size_t name_len = strlen(name);
	const char *p = m->text;
	const char *end = m->text + m->len;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)(nl - p) + 1;

		if (n > name_len && p[name_len] == '=' &&
		    memcmp(p, name, name_len) == 0) {
			*len = n;
			return p;
		}
		p += n;
	}
	return NULL;
}

/* A header's name as we send it: a token in lower case, and no '='. */
static int name_is_valid(const char *name)
{
	const char *p;

	for (p = name; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		      strchr("-_.!#$&'*+^`|~", *p) != NULL))
			return 0;
	return p != name && (size_t)(p - name) < META_NAME_MAX;
}

static int value_is_valid(const char *value)
{
	const char *p;

	for (p = value; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return 0;
	return 1;
}

int meta_get(const struct meta *m, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name);
	size_t len;
	const char *line = line_find(m, name, &len);

	if (line == NULL)
		return -ENOENT;
	len -= name_len + 2; /* '=' and the line's end */
	if (len >= cap)
		return -ERANGE;
	memcpy(out, line + name_len + 1, len);
	out[len] = '\0';
	return 0;
}

int meta_set(struct meta *m, const char *name, const char *value)
{
	size_t name_len = strlen(name);
	size_t value_len = strlen(value);
	size_t old = 0;
	size_t need = name_len + value_len + 2;
	char *at;

	if (!name_is_valid(name) || !value_is_valid(value))
		return -EINVAL;
	(void)line_find(m, name, &old);
	if (value_len >= META_VALUE_MAX || m->len - old + need >= META_MAX)
		return -ENOSPC;
	meta_remove(m, name);
	at = m->text + m->len;
	memcpy(at, name, name_len);
	at[name_len] = '=';
	memcpy(at + name_len + 1, value, value_len);
	at[need - 1] = '\n';
	at[need] = '\0';
	m->len += need;
	return 0;
}

void meta_remove(struct meta *m, const char *name)
{
	size_t len;
	const char *line = line_find(m, name, &len);
	size_t at;

	if (line == NULL)
		return;
	at = (size_t)(line - m->text);
	/* The NUL behind the last line moves along. */
	memmove(m->text + at, m->text + at + len, m->len - at - len + 1);
	m->len -= len;
}

static int cost_add(void *arg, const char *name, const char *value)
{
	size_t *cost = arg;

	*cost += PREFIX_LEN + strlen(name) + strlen(value);
	return 0;
}

size_t meta_cost(const struct meta *m)
{
	size_t cost = 0;

	(void)meta_each(m, cost_add, &cost); /* cost_add() never ends it */
	return cost;
}

int meta_each(const struct meta *m,
	      int (*fn)(void *arg, const char *name, const char *value),
	      void *arg)
{
	const char *p = m->text;
	const char *end = m->text + m->len;
	char name[META_NAME_MAX];
	char value[META_VALUE_MAX];

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *eq = memchr(p, '=', (size_t)(nl - p));
		int rc;

		memcpy(name, p, (size_t)(eq - p));
		name[eq - p] = '\0';
		memcpy(value, eq + 1, (size_t)(nl - eq) - 1);
		value[nl - eq - 1] = '\0';
		rc = fn(arg, name, value);
		if (rc != 0)
			return rc;
		p = nl + 1;
	}
	return 0;
}

int meta_encode(char *out, size_t cap, const void *in, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char *p = in;
	size_t at = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		int edge = i == 0 || i == len - 1;
		int plain = p[i] > 0x20 && p[i] < 0x7f && p[i] != '%';

		if (!plain && !(p[i] == ' ' && !edge)) {
			if (cap < 3 || at > cap - 3)
				return -ERANGE;
			out[at++] = '%';
			out[at++] = digits[p[i] >> 4];
			out[at++] = digits[p[i] & 15];
		} else {
			if (at >= cap)
				return -ERANGE;
			out[at++] = (char)p[i];
		}
	}
	if (at >= cap)
		return -ERANGE;
	out[at] = '\0';
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int meta_decode(char *out, size_t cap, const char *in)
{
	size_t at = 0;

	while (*in) {
		int hi = in[0] == '%' ? hex_value(in[1]) : -1;
		int lo = hi >= 0 ? hex_value(in[2]) : -1;

		if (at + 1 >= cap)
			return -ERANGE;
		if (lo >= 0) {
			out[at++] = (char)(hi << 4 | lo);
			in += 3;
		} else {
			out[at++] = *in++;
		}
	}
	if (cap == 0)
		return -ERANGE;
	out[at] = '\0';
	return (int)at;
}
