#include "fs/keyname.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the UTF-8 character at `p`, or 0 if there is none; ends at a NUL. */
static size_t character(const unsigned char *p, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80             ? 1
		   : (p[0] & 0xe0) == 0xc0 ? 2
		   : (p[0] & 0xf0) == 0xe0 ? 3
		   : (p[0] & 0xf8) == 0xf0 ? 4
					   : 0;
	uint32_t c = n < 2 ? p[0] : p[0] & (0x7fU >> n);

	for (size_t k = 1; k < n; k++) {
		if ((p[k] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[k] & 0x3fU);
	}
	if (!n || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*out = c;
	return n;
}

static int is_escape(uint32_t c)
{
	return c >= 0xef80 && c <= 0xefff;
}

static size_t put_escape(char *out, unsigned char byte)
{
	out[0] = (char)0xee;
	out[1] = (char)(byte < 0xc0 ? 0xbe : 0xbf);
	out[2] = (char)(0x80 | (byte & 0x3f));
	return 3;
}

size_t keyname_encode(char out[KEYNAME_MAX + 1], const char *name)
{
	const unsigned char *p = (const unsigned char *)name;
	size_t len = 0;
	uint32_t c;

	while (*p) {
		size_t n = character(p, &c);
		int as_it_is = n && !is_escape(c);
		size_t left = n ? n : 1;

		if (len + (as_it_is ? n : 3 * left) > KEYNAME_MAX)
			break; /* it is too long for a name anyway */
		for (; left; left--, p++)
			if (as_it_is)
				out[len++] = (char)*p;
			else
				len += put_escape(out + len, *p);
	}
	out[len] = '\0';
	return len;
}

int keyname_decode(char out[NAME_MAX + 1], const char *key, size_t len)
{
	const unsigned char *p = (const unsigned char *)key;
	size_t done = 0;

	for (size_t at = 0; at < len;) {
		if (done == NAME_MAX)
			return -ENAMETOOLONG;
		if (len - at >= 3 && p[at] == 0xee &&
		    (p[at + 1] == 0xbe || p[at + 1] == 0xbf) &&
		    (p[at + 2] & 0xc0) == 0x80) {
			out[done++] = (char)(((p[at + 1] & 3U) << 6 |
					      (p[at + 2] & 0x3fU)) &
					     0xffU);
			at += 3;
		} else {
			out[done++] = (char)p[at++];
		}
	}
	out[done] = '\0';
	return (int)done;
}
