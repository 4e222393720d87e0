#ifndef S3_PROCESS_H
#define S3_PROCESS_H

#include <stdint.h>

#include "crypto/bytes.h"

/* A process of some machine, as others can tell whether it still runs. */
struct process {
	char machine[33], boot[37]; /* "" where the system does not say */
	uint64_t pid_space; /* inode of its PID namespace; 0: not known */
	uint64_t pid, start; /* its number, and when it began, in clock ticks */
};

void process_self(struct process *out);

/* Append it as lines of text.  0 or -ENOMEM. */
MUST_CHECK int process_write(struct bytes *out, const struct process *p);

/* Read such lines, with others behind them.  0 or -EBADMSG. */
MUST_CHECK int process_read(struct process *out, const char *text);

/* Is it known to have ended?  Of other machines or namespaces none is. */
int process_has_ended(const struct process *p);

#endif
