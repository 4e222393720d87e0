#ifndef CRYPTO_SUBPROCESS_H
#define CRYPTO_SUBPROCESS_H

#include <stddef.h>

#include "crypto/bytes.h"

/* A program that is run for what it prints. */
struct subprocess {
	char *buf; /* for its standard output; the caller's */
	size_t room; /* bytes of it */
	size_t len; /* set: what it has printed */
	/* The same for its standard error, of which more is dropped; NULL: it
	   has ours. */
	char *said;
	size_t said_room, said_len;
	/* Asked every 200 ms; non-zero ends it.  Or NULL. */
	int (*cancel)(void *arg);
	void *cancel_arg;
	int started; /* set: else nothing was run, and the error says why */
	int status; /* set: as waitpid(2) has it */
};

/*
 * Run `argv`, without a shell, with our environment and no input, in a process
 * group of its own, until it has closed its output and ended; then, or after
 * `limit_ms`, or when `buf` is full, or when `cancel` says so, what is left of
 * the group is killed.
 * 0; -ETIMEDOUT; -EINTR: cancelled; -EFBIG: `buf` is full; -ECHILD: SIGCHLD is
 * ignored, and how it ended is lost; as execve(2) and pipe(2) say.
 */
MUST_CHECK int subprocess_read(char **argv, int limit_ms, struct subprocess *p);

#endif
