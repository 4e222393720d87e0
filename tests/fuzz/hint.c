/*
 * Arbitrary bytes as hints, one behind the other.
 *
 * What can be read of them must be written as the bytes that it was read from.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/hint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes again = BYTES_INIT;
	struct hint hint;
	size_t at = 0, was = 0;

	while (at < size && !hint_read(data, size, &at, &hint)) {
		must(at > was && at <= size);
		again.len = 0;
		must(!hint_append(&again, &hint));
		must(again.len == at - was);
		must(!memcmp(again.data, data + was, again.len));
		was = at;
	}
	bytes_clear(&again);
	return 0;
}
