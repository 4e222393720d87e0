#include "fs/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <syslog.h>

static atomic_int threshold = LOG_LEVEL_INFO;
static atomic_int use_syslog;
static _Thread_local unsigned told;

unsigned log_told(void)
{
	return told;
}

void log_set_level(enum log_level level)
{
	atomic_store(&threshold, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load(&threshold);
}

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = { "error", "warning", "info",
					     "debug" };

	return names[level];
}

void log_to_syslog(void)
{
	openlog("mount.deltaglider", LOG_PID, LOG_DAEMON);
	atomic_store(&use_syslog, 1);
}

static void put(enum log_level level, const char *fmt, va_list ap)
{
	static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO,
					  LOG_DEBUG };
	char line[1024];

	told += level <= LOG_LEVEL_ERROR;
	if ((int)level > atomic_load(&threshold))
		return;
	/* Cut, if need be: a line is for a person. */
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (atomic_load(&use_syslog))
		syslog(priorities[level], "%s", line);
	else
		(void)fprintf(stderr, "mount.deltaglider: %s: %s\n",
			      log_level_name(level), line);
}

#define LOG_FUNCTION(name, level)       \
	void name(const char *fmt, ...) \
	{                               \
		va_list ap;             \
                                        \
		va_start(ap, fmt);      \
		put(level, fmt, ap);    \
		va_end(ap);             \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
