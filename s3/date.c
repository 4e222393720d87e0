#include "s3/date.h"

#include <errno.h>
#include <string.h>

/* The fields as UTC, if they are in range. */
static int to_time(struct timespec *out, struct tm *tm)
{
	if (tm->tm_year < 70 || tm->tm_year > 8000 || tm->tm_mon < 0 ||
	    tm->tm_mon > 11 || tm->tm_mday < 1 || tm->tm_mday > 31 ||
	    tm->tm_hour < 0 || tm->tm_hour > 23 || tm->tm_min < 0 ||
	    tm->tm_min > 59 || tm->tm_sec < 0 || tm->tm_sec > 60)
		return -EINVAL;
	out->tv_sec = timegm(tm);
	return 0;
}

/* `n` digits and nothing else, or -1. */
static int digits(const char *s, int n)
{
	int value = 0;

	while (n-- > 0) {
		if (*s < '0' || *s > '9')
			return -1;
		value = 10 * value + (*s++ - '0');
	}
	return value;
}

/* Does `s` look like `form`, where '.' is any character but NUL? */
static int has_form(const char *s, const char *form)
{
	for (; *form; s++, form++)
		if (*s == '\0' || (*form != '.' && *s != *form))
			return 0;
	return 1;
}

static void clock_parse(struct tm *tm, const char *s)
{
	tm->tm_hour = digits(s, 2);
	tm->tm_min = digits(s + 3, 2);
	tm->tm_sec = digits(s + 6, 2);
}

int date_http(struct timespec *out, const char *s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct timespec ts = { 0, 0 };
	struct tm tm = { 0 };
	size_t i;

	if (!has_form(s, "..., .. ... .... ..:..:.. GMT") || s[29] != '\0')
		return -EINVAL;
	tm.tm_mon = -1;
	for (i = 0; i < 12; i++)
		if (strncmp(s + 8, months + 3 * i, 3) == 0)
			tm.tm_mon = (int)i;
	tm.tm_mday = digits(s + 5, 2);
	tm.tm_year = digits(s + 12, 4) - 1900;
	clock_parse(&tm, s + 17);
	if (to_time(&ts, &tm) != 0)
		return -EINVAL;
	*out = ts;
	return 0;
}

/* "Z", or how far it is to the east: "+01:00". */
static int zone_parse(long *east_s, const char *s)
{
	int hours;
	int minutes;

	if (strcmp(s, "Z") == 0) {
		*east_s = 0;
		return 0;
	}
	if (!has_form(s, "...:..") || s[6] != '\0' || (*s != '+' && *s != '-'))
		return -EINVAL;
	hours = digits(s + 1, 2);
	minutes = digits(s + 4, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -EINVAL;
	*east_s = (hours * 60L + minutes) * (*s == '-' ? -60 : 60);
	return 0;
}

int date_iso(struct timespec *out, const char *s)
{
	long east_s;
	struct timespec ts = { 0, 0 };
	struct tm tm = { 0 };
	long unit = 100000000;

	if (!has_form(s, "....-..-..T..:..:.."))
		return -EINVAL;
	tm.tm_year = digits(s, 4) - 1900;
	tm.tm_mon = digits(s + 5, 2) - 1;
	tm.tm_mday = digits(s + 8, 2);
	clock_parse(&tm, s + 11);
	s += 19;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++) {
			ts.tv_nsec += (*s - '0') * unit;
			unit /= 10;
		}
	if (to_time(&ts, &tm) != 0 || zone_parse(&east_s, s) != 0)
		return -EINVAL;
	ts.tv_sec -= east_s;
	*out = ts;
	return 0;
}
