#include "fs/caller.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "SigPnd:" or "ShdPnd:" and a hexadecimal mask, of one line of status. */
static int line_kills(const char *line)
{
	const unsigned long long bit = 1ull << (SIGKILL - 1);

	if (strncmp(line, "SigPnd:", 7) != 0 &&
	    strncmp(line, "ShdPnd:", 7) != 0)
		return 0;
	return (strtoull(line + 7, NULL, 16) & bit) != 0;
}

int caller_is_dying(pid_t tid)
{
	char path[64], line[256];
	int dying = 0;
	FILE *f;

	if (tid <= 0)
		return 0; /* of another name space */
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT || errno == ESRCH;
	/* A fatal signal of any kind shows as SIGKILL in each thread. */
	while (!dying && fgets(line, sizeof(line), f))
		dying = line_kills(line);
	(void)fclose(f);
	return dying;
}
