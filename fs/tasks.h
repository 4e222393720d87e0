#ifndef FS_TASKS_H
#define FS_TASKS_H

#include "delta/encode.h"

/*
 * Threads for the encoder, one a task, as many at once as there are
 * processors, up to TASKS_MAX; NULL where there is only one.  Constant, for
 * any number of encoders at once.
 */
#define TASKS_MAX 2

const struct delta_tasks *tasks_threads(void);

#endif
