#ifndef FS_LOG_H
#define FS_LOG_H

/*
 * The daemon's log: standard error until log_to_syslog(), syslog (LOG_DAEMON)
 * from then on.  Thread-safe.  Lines never hold keys or file contents.
 */
enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
const char *log_level_name(enum log_level level);
void log_to_syslog(void);

/* Errors that this thread has told so far. */
unsigned log_told(void);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
