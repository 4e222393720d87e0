#include "fs/value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	double factor;
};

/* A decimal number: no sign, exponent, hexadecimal, "inf" or leading blank. */
static int decimal(const char *text, double *out, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	if (text[strspn(text, "0123456789.")] == 'e' ||
	    text[strspn(text, "0123456789.")] == 'x')
		return -EINVAL;
	*out = strtod(text, &end);
	*rest = end;
	return isfinite(*out) ? 0 : -EINVAL;
}

static int with_unit(const char *text, const struct unit *units, uint64_t *out)
{
	const char *rest;
	double v;
	int err;

	err = decimal(text, &v, &rest);
	if (err)
		return err;
	for (; units->name; units++) {
		if (strcasecmp(rest, units->name) != 0)
			continue;
		v *= units->factor;
		if (v >= 9.2e18)
			return -EINVAL;
		*out = (uint64_t)v;
		return 0;
	}
	return -EINVAL;
}

int value_size(const char *text, uint64_t *bytes)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "K", 1024.0 },
		{ "M", 1048576.0 },
		{ "G", 1073741824.0 },
		{ "T", 1099511627776.0 },
		{ NULL, 0 },
	};

	return with_unit(text, units, bytes);
}

int value_duration(const char *text, uint64_t *ms)
{
	static const struct unit units[] = {
		{ "", 1e3 },   { "ms", 1 },     { "s", 1e3 },
		{ "m", 60e3 }, { "h", 3600e3 }, { NULL, 0 },
	};

	return with_unit(text, units, ms);
}

static int integer(const char *text, int base, uint64_t *out)
{
	char *end;
	unsigned long long v;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, base);
	if (errno || *end)
		return -EINVAL;
	*out = v;
	return 0;
}

int value_number(const char *text, uint64_t *out)
{
	return integer(text, 10, out);
}

int value_octal(const char *text, uint64_t *out)
{
	return integer(text, 8, out);
}

int value_ratio(const char *text, double *out)
{
	const char *rest;
	double v;
	int err;

	err = decimal(text, &v, &rest);
	if (err)
		return err;
	if (*rest || v <= 0 || v > 1)
		return -EINVAL;
	*out = v;
	return 0;
}
