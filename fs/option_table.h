#ifndef FS_OPTION_TABLE_H
#define FS_OPTION_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "fs/options.h"

/* The one table of options: what reads, shows and documents them goes by it. */
enum option_kind {
	OPTION_STRING,
	OPTION_SIZE,
	OPTION_DURATION,
	OPTION_NUMBER,
	OPTION_OCTAL,
	OPTION_RATIO,
	OPTION_FLAG, /* bare, or =yes|no */
	OPTION_CHOICE /* one of `choices`, by its place */
};

struct option_row {
	const char *name;
	enum option_kind kind;
	int secret;
	int live; /* can be changed while mounted */
	int env_only; /* a secret that is taken out of the environment */
	size_t offset; /* in struct options */
	const char *fallback; /* NULL: none */
	const char *env[3]; /* first found wins */
	const char *env_unit; /* of a bare number in there */
	const char *choices; /* "auto|on|off" */
	uint64_t min; /* smallest number; 0: any */
	const char *help;
};

extern const struct option_row option_rows[];
extern const size_t option_rows_len;

static inline void *option_field(struct options *o, const struct option_row *r)
{
	return (char *)o + r->offset;
}

static inline const void *option_const_field(const struct options *o,
					     const struct option_row *r)
{
	return (const char *)o + r->offset;
}

static inline int option_is_string(const struct option_row *r)
{
	return r->kind == OPTION_STRING;
}

#endif
