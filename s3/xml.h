#ifndef S3_XML_H
#define S3_XML_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * Told of each element as it ends: "ListBucketResult/Contents/Key", and its
 * text; "" for one that has others inside.  Non-zero ends the parse, which
 * returns it.
 */
typedef int xml_element_fn(void *arg, const char *path, const char *text);

/*
 * Parse what a server sent, which is trusted with nothing: no document type,
 * hence no entities; depth, names and texts are bounded.  0; -EIO if it is
 * malformed or passes a bound; -ENOMEM.
 */
MUST_CHECK int xml_parse(const void *data, size_t len, xml_element_fn *fn,
			 void *arg);

/* Append `s` as the text of an element.  0 or -ENOMEM. */
MUST_CHECK int xml_escape(struct bytes *out, const char *s);

#endif
