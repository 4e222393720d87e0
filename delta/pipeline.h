#ifndef DELTA_PIPELINE_H
#define DELTA_PIPELINE_H

#include "delta/encode.h"
#include "delta/window.h"

/*
 * The extents of a container on their way out: windows are packed, several at
 * once if there are tasks, and leave in the order they came.
 */
struct pipeline;

struct pipeline_conf {
	const struct delta_tasks *tasks; /* or NULL */
	struct window_packing how;
	/* The next bytes of the object. */
	int (*emit)(void *arg, const struct bytes *data);
	void *emit_arg;
	struct delta_table_writer *table; /* borrowed */
};

MUST_CHECK int pipeline_new(struct pipeline **out,
			    const struct pipeline_conf *conf);
void pipeline_free(struct pipeline *p); /* waits; NULL-safe */

/* The window to build, not started. */
struct window *pipeline_window(struct pipeline *p);

/*
 * Send off the window being built; pipeline_window() is then another.  0, or
 * an error of this or an earlier one: -ENOMEM, -EIO, or from `emit`.
 */
MUST_CHECK int pipeline_put_window(struct pipeline *p);
MUST_CHECK int pipeline_put_copy(struct pipeline *p,
				 const struct delta_extent *e);

/* All that was put is out.  As pipeline_put_window(). */
MUST_CHECK int pipeline_drain(struct pipeline *p);

#endif
