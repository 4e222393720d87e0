#include "s3/local_path.h"

#include <errno.h>
#include <string.h>

/*
 * A component of this many bytes or more is spread over several directories,
 * so that no name passes 255 bytes, were every byte of it escaped.
 */
#define CHUNK_LEN 80

static const char suffix[] = ".object";
#define SUFFIX_LEN (sizeof(suffix) - 1)

static const char digits[] = "0123456789ABCDEF";

/* Bytes that stand for themselves: printable, and harmless to a shell's eye. */
static int is_plain(unsigned char c)
{
	return c > 0x20 && c < 0x7f && strchr("%/\\:*?\"<>|", c) == NULL;
}

/* A string that grows inside a buffer of `cap` bytes. */
struct out {
	char *data;
	size_t len, cap;
	int full;
};

static void out_add(struct out *o, const char *s, size_t len)
{
	if (o->full || len >= o->cap - o->len) {
		o->full = 1;
		return;
	}
	memcpy(o->data + o->len, s, len);
	o->len += len;
	o->data[o->len] = '\0';
}

static void out_escape(struct out *o, unsigned char c)
{
	char esc[3] = { '%', digits[c >> 4], digits[c & 15] };

	out_add(o, esc, 3);
}

/* The name on disk of `len` bytes of a component. */
static void out_name(struct out *o, const char *raw, size_t len,
		     enum local_kind kind)
{
	size_t i;
	/* The dot that would make a directory look like an object. */
	size_t dot = len;

	if (kind == LOCAL_DIR && len >= SUFFIX_LEN &&
	    memcmp(raw + len - SUFFIX_LEN, suffix, SUFFIX_LEN) == 0)
		dot = len - SUFFIX_LEN;
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)raw[i];
		int space_inside = c == ' ' && i != 0 && i != len - 1;

		if ((c == '.' && (i == 0 || i == dot)) ||
		    (!is_plain(c) && !space_inside))
			out_escape(o, c);
		else
			out_add(o, raw + i, 1);
	}
	if (len == 0 || kind == LOCAL_CHUNK)
		out_add(o, "%", 1);
	if (kind == LOCAL_OBJECT)
		out_add(o, suffix, SUFFIX_LEN);
}

static void out_component(struct out *o, const char *raw, size_t len,
			  enum local_kind last)
{
	while (len >= CHUNK_LEN) {
		out_name(o, raw, CHUNK_LEN, LOCAL_CHUNK);
		out_add(o, "/", 1);
		raw += CHUNK_LEN;
		len -= CHUNK_LEN;
	}
	out_name(o, raw, len, last);
}

int local_path_dir(char out[LOCAL_PATH_MAX], const char *prefix)
{
	struct out o = { out, 0, LOCAL_PATH_MAX, 0 };
	const char *slash;

	out[0] = '\0';
	while ((slash = strchr(prefix, '/')) != NULL) {
		if (o.len > 0)
			out_add(&o, "/", 1);
		out_component(&o, prefix, (size_t)(slash - prefix), LOCAL_DIR);
		prefix = slash + 1;
	}
	if (o.len == 0)
		out_add(&o, ".", 1);
	return o.full ? -ENAMETOOLONG : 0;
}

int local_path(char out[LOCAL_PATH_MAX], const char *key)
{
	struct out o = { out, 0, LOCAL_PATH_MAX, 0 };
	const char *slash;

	out[0] = '\0';
	while ((slash = strchr(key, '/')) != NULL) {
		out_component(&o, key, (size_t)(slash - key), LOCAL_DIR);
		out_add(&o, "/", 1);
		key = slash + 1;
	}
	out_component(&o, key, strlen(key), LOCAL_OBJECT);
	return o.full ? -ENAMETOOLONG : 0;
}

static int hex_value(char c)
{
	const char *p = c != '\0' ? strchr(digits, c) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

/* The bytes that `len` characters of a name stand for; -1 if malformed. */
static int unescape(char *out, const char *name, size_t len)
{
	size_t i;
	int at = 0;

	for (i = 0; i < len; i++) {
		int hi, lo;

		if (name[i] != '%') {
			out[at++] = name[i];
			continue;
		}
		if (len - i < 3)
			return -1;
		hi = hex_value(name[i + 1]);
		lo = hex_value(name[i + 2]);
		if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
			return -1;
		out[at++] = (char)(hi << 4 | lo);
		i += 2;
	}
	return at;
}

enum local_kind local_name_decode(char out[LOCAL_NAME_MAX], const char *name)
{
	enum local_kind kind = LOCAL_DIR;
	size_t len = strlen(name);
	char again[LOCAL_NAME_MAX];
	struct out o = { again, 0, sizeof(again), 0 };
	size_t stem = len;
	int n = 0;

	if (len == 0 || len >= LOCAL_NAME_MAX)
		return LOCAL_ALIEN;
	if (len > SUFFIX_LEN &&
	    memcmp(name + len - SUFFIX_LEN, suffix, SUFFIX_LEN) == 0) {
		kind = LOCAL_OBJECT;
		stem = len - SUFFIX_LEN;
	} else if (len > 1 && name[len - 1] == '%') {
		kind = LOCAL_CHUNK;
		stem = len - 1;
	}
	if (stem != 1 || name[0] != '%')
		n = unescape(out, name, stem);
	if (n < 0 || (kind == LOCAL_CHUNK) != (n == CHUNK_LEN) || n > CHUNK_LEN)
		return LOCAL_ALIEN;
	/* One key, one name: what we would not write ourselves is not ours. */
	out_name(&o, out, (size_t)n, kind);
	if (o.full || strcmp(again, name) != 0)
		return LOCAL_ALIEN;
	if (kind == LOCAL_DIR)
		out[n++] = '/';
	out[n] = '\0';
	return kind;
}
