#ifndef S3_JSON_H
#define S3_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

#define JSON_TEXT_MAX ((size_t)65536)

/*
 * One JSON object from somebody who is trusted with nothing.  It may hold
 * secrets: all of its memory is wiped when it is given back.
 */
struct json;

/*
 * 0; -EIO: not JSON, no object, a name given twice, a NUL in a string, more
 * than JSON_TEXT_MAX bytes; -ENOMEM.
 */
MUST_CHECK int json_parse(struct json **out, const void *text, size_t len);
void json_free(struct json *j);

/* What `name` is, borrowed.  0; -ENOENT: missing or null; -EIO: no string. */
MUST_CHECK int json_text(const struct json *j, const char *name,
			 const char **out);

/* The same for an integer. */
MUST_CHECK int json_number(const struct json *j, const char *name,
			   int64_t *out);

#endif
