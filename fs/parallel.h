#ifndef FS_PARALLEL_H
#define FS_PARALLEL_H

#include <stddef.h>

/*
 * Call fn(arg, k) for each k below `n`, on at most `threads` threads and in no
 * order; back when all are done.  Where no thread can be had the caller does
 * the work.  The first result that is not 0 is returned; later ones still run
 * unless it was negative.
 */
int parallel_for(size_t n, unsigned threads, int (*fn)(void *arg, size_t k),
		 void *arg);

#endif
