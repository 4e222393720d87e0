#ifndef TESTS_CODEC_H
#define TESTS_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "delta/encode.h"

/*
 * The codec in one call, in memory and on one thread, for tests, fuzzers and
 * tools alike: no assertions of a test framework in here.  What breaks a
 * promise that callers rely on, such as a read outside the reference, aborts.
 */
#define CODEC_KEY "some/.dg/refs/key"

/*
 * Appends the container to `out`, fed in pieces of `piece` bytes; with `lazy`,
 * the windows are packed as tasks, each only when it is waited for.  0 or -errno.
 */
MUST_CHECK int codec_encode(const struct bytes *ref, const struct bytes *target,
			    enum delta_level level, const char *key,
			    size_t piece, int lazy, struct bytes *out);

/* The container of a target that equals `ref`.  0 or -errno. */
MUST_CHECK int codec_identity(const struct bytes *ref, const char *key,
			      struct bytes *out);

/* Appends the target, of at most `max` bytes: -EFBIG for more.  0 or -errno. */
MUST_CHECK int codec_decode(const struct bytes *ref, const struct bytes *object,
			    size_t max, struct bytes *out);

/* Room of delta_read_fn over a struct bytes; aborts if asked for more. */
int codec_read(void *arg, void *buf, size_t len, uint64_t off);

/* What a container of so many target bytes may have: 100.1 % and a KiB. */
static inline size_t codec_bound(size_t target_len)
{
	return target_len + target_len / 1000 + 1024;
}

/* All of a file.  0 or -errno. */
MUST_CHECK int codec_slurp(const char *path, struct bytes *out);

#endif
