#ifndef CRYPTO_WORDS_H
#define CRYPTO_WORDS_H

#include <stddef.h>

#include "crypto/bytes.h"

/*
 * The words of a command line, as a shell would read it were there nothing to
 * expand: blanks between them, '...' and "..." around them, a backslash before
 * a character.
 */
struct words {
	char **argv; /* ends with NULL */
	size_t size; /* bytes of the one block they are in */
};

/* 0; -EINVAL: a quote or a backslash without its end; -ENOMEM. */
MUST_CHECK int words_split(struct words *w, const char *line);
/* Wiped, too: there may be a secret in them. */
void words_free(struct words *w);

#endif
