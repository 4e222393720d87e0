#ifndef S3_LOCAL_LIST_H
#define S3_LOCAL_LIST_H

#include "crypto/bytes.h"
#include "s3/store.h"

/* As store_ops.list, over the directory `root_fd` of a local store. */
MUST_CHECK int local_list(int root_fd, const struct store_list *what,
			  const struct store_call *call, store_list_fn *fn,
			  void *fn_arg);

#endif
