#ifndef DELTA_PROBE_H
#define DELTA_PROBE_H

#include "delta/decode.h"
#include "delta/encode.h"

/*
 * About how large the delta of a target of `len` bytes would be, in thousandths
 * of the target: a sample of a hundredth of it is encoded, without what its
 * pieces could have told each other, so that the truth is seldom more and often
 * less.  Takes a few hundredths of the time of an encoding, and the index.
 *
 * `ref`, `ref_len`, `index` and `index_arg` of the conf are used.  0; -ENOMEM;
 * -EIO if zstd fails; or what `read` or `index` returned.
 */
MUST_CHECK int delta_probe(const struct delta_encoder_conf *conf,
			   delta_read_fn *read, void *read_arg, uint64_t len,
			   unsigned *permille);

#endif
