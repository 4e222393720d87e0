#include "s3/date.h"

#include <errno.h>
#include <stdio.h>
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

int date_http(struct timespec *out, const char *s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct timespec ts = { 0, 0 };
	struct tm tm = { 0 };
	char month[4];
	const char *at;
	int end = 0;

	if (sscanf(s, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n",
		   &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &end) != 6 ||
	    end == 0 || s[end] != '\0' || strlen(month) != 3)
		return -EINVAL;
	at = strstr(months, month);
	if (at == NULL || (at - months) % 3 != 0)
		return -EINVAL;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	if (to_time(&ts, &tm) != 0)
		return -EINVAL;
	*out = ts;
	return 0;
}

int date_iso(struct timespec *out, const char *s)
{
	struct timespec ts = { 0, 0 };
	struct tm tm = { 0 };
	long unit = 100000000;
	int end = 0;

	if (sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
		   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6)
		return -EINVAL;
	s += end;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++) {
			ts.tv_nsec += (*s - '0') * unit;
			unit /= 10;
		}
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (strcmp(s, "Z") != 0 || to_time(&ts, &tm) != 0)
		return -EINVAL;
	*out = ts;
	return 0;
}
