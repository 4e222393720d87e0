#ifndef FS_VALUE_H
#define FS_VALUE_H

#include <stdint.h>

#include "crypto/bytes.h"

/* Values of options, as people write them.  0 or -EINVAL; nothing may follow. */

/* "512", "64K", "1.5G": bytes; K, M, G, T are powers of 1024. */
MUST_CHECK int value_size(const char *text, uint64_t *bytes);

/* "30", "30s", "2h", "500ms", "1.5m": milliseconds; a bare number is seconds. */
MUST_CHECK int value_duration(const char *text, uint64_t *ms);
MUST_CHECK int value_number(const char *text, uint64_t *out);
MUST_CHECK int value_octal(const char *text, uint64_t *out);

/* 0 < ratio <= 1. */
MUST_CHECK int value_ratio(const char *text, double *out);

#endif
