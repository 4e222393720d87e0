#ifndef S3_DATE_H
#define S3_DATE_H

#include <time.h>

#include "crypto/bytes.h"

/* "Fri, 24 May 2013 00:00:00 GMT", in any locale.  0 or -EINVAL. */
MUST_CHECK int date_http(struct timespec *out, const char *s);

/* "2013-05-24T00:00:00.123Z"; the fraction may be missing, and the zone an
   offset such as "+00:00".  0 or -EINVAL. */
MUST_CHECK int date_iso(struct timespec *out, const char *s);

#endif
