#include "s3/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "s3/error.h"
#include "s3/tokens.h"

#define HELD_MS 250 /* what the bucket holds, in time */
#define STEP_MS 50 /* between looks at `cancel` */

struct rate {
	struct tokens bytes;
};

int rate_new(struct rate **out, uint64_t per_s)
{
	double most = (double)per_s * HELD_MS / 1000;
	struct rate *r;

	*out = NULL;
	if (per_s == 0)
		return 0;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	if (tokens_init(&r->bytes, (double)per_s, most < 1 ? 1 : most, 0) !=
	    0) {
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void rate_free(struct rate *r)
{
	if (r == NULL)
		return;
	tokens_destroy(&r->bytes);
	free(r);
}

size_t rate_take(struct rate *r, size_t want, const struct store_call *call)
{
	if (r == NULL || want == 0)
		return want;
	for (;;) {
		struct timespec pause = { 0, STEP_MS * 1000000L };
		size_t taken = (size_t)tokens_take(&r->bytes, want);

		if (taken > 0)
			return taken;
		if (store_cancelled(call))
			return 0;
		(void)nanosleep(&pause, NULL); /* cut short: looks sooner */
	}
}
