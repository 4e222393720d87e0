#ifndef DELTA_NATURE_H
#define DELTA_NATURE_H

#include <stddef.h>
#include <stdint.h>

/* What a sample of the bytes says of them all. */
struct nature {
	int binary; /* an eighth or more have the top bit set: code, media */
	int dense; /* as even as random ones: compressed, or encrypted */
};

struct nature nature_of(const uint8_t *p, size_t len);

#endif
