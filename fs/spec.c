#include "fs/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/options.h"

static int bad(const char *text, const char *what, char *why)
{
	(void)snprintf(
		why, OPTION_WHY,
		"\"%.120s\" %s: give s3://BUCKET[/PREFIX] or file:///DIRECTORY",
		text, what);
	return -EINVAL;
}

static int parse_local(struct spec *s, const char *text, const char *path,
		       char *why)
{
	if (*path != '/')
		return bad(text, "does not name an absolute directory", why);
	if (strlen(path) >= sizeof(s->dir))
		return bad(text, "is too long", why);
	s->local = 1;
	(void)snprintf(s->dir, sizeof(s->dir), "%s", path);
	return 0;
}

int spec_parse(struct spec *out, const char *text, char *why)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	const char *p = text, *slash;
	struct spec s = { 0 };
	size_t n;
	int err;

	if (!strncmp(p, "file://", 7)) {
		err = parse_local(&s, text, p + 7, why);
		if (err)
			return err;
		*out = s;
		return 0;
	}
	if (!strncmp(p, "s3://", 5))
		p += 5;
	else if (strstr(p, "://"))
		return bad(text, "has a scheme that is neither s3 nor file",
			   why);
	n = strcspn(p, "/");
	if (n < 3 || n >= 64 || strspn(p, allowed) < n)
		return bad(text, "does not start with a bucket's name", why);
	memcpy(s.bucket, p, n);
	slash = p + n;
	while (*slash == '/')
		slash++;
	n = strlen(slash);
	while (n && slash[n - 1] == '/')
		n--;
	if (n + 2 > sizeof(s.prefix) || n > STORE_KEY_MAX / 2)
		return bad(text, "has too long a prefix", why);
	if (n)
		(void)snprintf(s.prefix, sizeof(s.prefix), "%.*s/", (int)n,
			       slash);
	*out = s;
	return 0;
}
