#include "fs/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/log.h"
#include "fs/value.h"
#include "s3/client.h"

enum kind {
	STRING,
	SIZE,
	DURATION,
	NUMBER,
	OCTAL,
	RATIO,
	FLAG, /* bare, or =yes|no */
	CHOICE /* one of `choices`, by its place */
};

struct row {
	const char *name;
	enum kind kind;
	int secret;
	size_t offset; /* in struct options */
	const char *fallback; /* NULL: none */
	const char *env[3]; /* first found wins */
	const char *choices; /* "auto|on|off" */
	uint64_t min; /* smallest number; 0: any */
	const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct row rows[] = {
	{ .name = "endpoint",
	  .kind = STRING,
	  .offset = AT(endpoint),
	  .env = { "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL" },
	  .help = "URL of the S3 server; AWS's own without it" },
	{ .name = "region",
	  .kind = STRING,
	  .offset = AT(region),
	  .env = { "AWS_REGION", "AWS_DEFAULT_REGION" },
	  .help = "region of the bucket (us-east-1)" },
	{ .name = "profile",
	  .kind = STRING,
	  .offset = AT(profile),
	  .help = "profile in ~/.aws/credentials and ~/.aws/config" },
	{ .name = "access_key_id",
	  .kind = STRING,
	  .offset = AT(access_key_id),
	  .help = "who signs; better given by environment or profile" },
	{ .name = "secret_access_key",
	  .kind = STRING,
	  .offset = AT(secret_access_key),
	  .secret = 1,
	  .help = "what signs; better given by environment or profile" },
	{ .name = "session_token",
	  .kind = STRING,
	  .offset = AT(session_token),
	  .secret = 1,
	  .help = "goes with temporary keys" },
	{ .name = "anonymous",
	  .kind = FLAG,
	  .offset = AT(anonymous),
	  .help = "sign nothing: a public bucket" },
	{ .name = "path_style",
	  .kind = CHOICE,
	  .offset = AT(path_style),
	  .fallback = "auto",
	  .choices = "auto|on|off",
	  .help = "bucket in the path (on) or in the host name (off)" },
	{ .name = "ca_file",
	  .kind = STRING,
	  .offset = AT(ca_file),
	  .env = { "AWS_CA_BUNDLE" },
	  .help = "PEM file of the authorities that may vouch for the server" },
	{ .name = "connections",
	  .kind = NUMBER,
	  .offset = AT(connections),
	  .fallback = "32",
	  .min = 1,
	  .help = "most requests under way at once" },
	{ .name = "timeout",
	  .kind = DURATION,
	  .offset = AT(timeout_ms),
	  .fallback = "60s",
	  .min = 1000,
	  .help = "give up after so long without a byte" },
	{ .name = "part_size",
	  .kind = SIZE,
	  .offset = AT(part_size),
	  .fallback = "16M",
	  .min = 5 << 20,
	  .help = "smallest part of an upload in parts" },
	{ .name = "delta",
	  .kind = FLAG,
	  .offset = AT(delta),
	  .fallback = "yes",
	  .help = "store files as deltas where that is smaller" },
	{ .name = "max_ratio",
	  .kind = RATIO,
	  .offset = AT(max_ratio),
	  .fallback = "0.5",
	  .env = { "DG_MAX_RATIO" },
	  .help = "keep a delta only if it is at most this part of the file" },
	{ .name = "encode_memory",
	  .kind = SIZE,
	  .offset = AT(encode_memory),
	  .env = { "DG_ENCODE_MEMORY" },
	  .min = 16 << 20,
	  .help = "memory for references while encoding (a quarter of RAM)" },
	{ .name = "cache_dir",
	  .kind = STRING,
	  .offset = AT(cache_dir),
	  .env = { "DG_CACHE_DIR" },
	  .fallback = "/tmp",
	  .help = "where the mount makes its private, sealed directory ($TMPDIR, or /tmp)" },
	{ .name = "cache_size",
	  .kind = SIZE,
	  .offset = AT(cache_size),
	  .env = { "DG_CACHE_SIZE" },
	  .min = 1 << 20,
	  .help = "most bytes of sealed references on disk (10 % of the disk, at most 10G)" },
	{ .name = "spool_size",
	  .kind = SIZE,
	  .offset = AT(spool_size),
	  .env = { "DG_SPOOL_SIZE" },
	  .min = 1 << 20,
	  .help = "most bytes written and not yet stored (90 % of the free disk)" },
	{ .name = "config",
	  .kind = STRING,
	  .offset = AT(config),
	  .env = { "DG_CONFIG" },
	  .help = "INI file with options; see the man page" },
	{ .name = "log_level",
	  .kind = CHOICE,
	  .offset = AT(log_level),
	  .fallback = "info",
	  .choices = "error|warning|info|debug",
	  .env = { "DG_LOG_LEVEL" },
	  .help = "what goes to the log" },
	{ .name = "exclusive",
	  .kind = FLAG,
	  .offset = AT(exclusive),
	  .help = "promise that nobody else writes to the bucket" },
	{ .name = "foreground",
	  .kind = FLAG,
	  .offset = AT(foreground),
	  .help = "stay in front, log to standard error" },
	{ .name = "ro",
	  .kind = FLAG,
	  .offset = AT(read_only),
	  .help = "write nothing" },
	{ .name = "allow_other",
	  .kind = FLAG,
	  .offset = AT(allow_other),
	  .help = "let other users in" },
	{ .name = "uid",
	  .kind = NUMBER,
	  .offset = AT(uid),
	  .help = "owner of what has none in the bucket (the mounting user)" },
	{ .name = "gid",
	  .kind = NUMBER,
	  .offset = AT(gid),
	  .help = "group of what has none in the bucket" },
	{ .name = "umask",
	  .kind = OCTAL,
	  .offset = AT(umask),
	  .fallback = "022",
	  .help = "mode bits not given to what has none in the bucket" },
	{ .name = "attr_timeout",
	  .kind = DURATION,
	  .offset = AT(attr_timeout_ms),
	  .fallback = "1s",
	  .help = "how long names and attributes are trusted" },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= OPTIONS_MAX, "struct options has too few origins");

/*
 * What mount(8) passes on and the kernel is told, and what it passes but
 * concerns nobody here.
 */
static const char *const kernel_words[] = { "nosuid",  "nodev",    "noexec",
					    "noatime", "suid",     "dev",
					    "exec",    "atime",    "sync",
					    "dirsync", "relatime", NULL };
static const char *const ignored_words[] = {
	"rw",         "auto",     "noauto",     "defaults",    "user",
	"users",      "nouser",   "owner",      "group",       "nofail",
	"_netdev",    "async",    "norelatime", "strictatime", "lazytime",
	"nolazytime", "diratime", "nodiratime", "silent",      "loud",
	NULL
};

static void *field(struct options *o, const struct row *r)
{
	return (char *)o + r->offset;
}

static const void *const_field(const struct options *o, const struct row *r)
{
	return (const char *)o + r->offset;
}

static int is_string(const struct row *r)
{
	return r->kind == STRING;
}

void options_clear(struct options *o)
{
	for (size_t i = 0; i < ROWS; i++) {
		char **s;

		if (!is_string(&rows[i]))
			continue;
		s = field(o, &rows[i]);
		if (*s)
			bytes_wipe(*s, strlen(*s));
		free(*s);
		*s = NULL;
	}
}

static int choice(const char *choices, const char *value, uint64_t *out)
{
	size_t len = strlen(value);

	for (uint64_t i = 0; *choices; i++) {
		size_t n = strcspn(choices, "|");

		if (n == len && !strncasecmp(choices, value, n)) {
			*out = i;
			return 0;
		}
		choices += n + (choices[n] == '|');
	}
	return -EINVAL;
}

static int flag(const char *value, uint64_t *out)
{
	uint64_t n;
	int err;

	if (!value) {
		*out = 1;
		return 0;
	}
	err = choice("no|yes|off|on|0|1|false|true", value, &n);
	if (!err)
		*out = n & 1;
	return err;
}

static const char *takes(const struct row *r)
{
	switch (r->kind) {
	case SIZE:
		return "a size such as 64M (K, M, G, T)";
	case DURATION:
		return "a duration such as 30s (ms, s, m, h)";
	case NUMBER:
		return "a number";
	case OCTAL:
		return "an octal number such as 022";
	case RATIO:
		return "a number above 0 and up to 1";
	case FLAG:
		return "yes or no";
	case CHOICE:
		return r->choices;
	default:
		return "a value";
	}
}

static int parse(const struct row *r, const char *value, uint64_t *n,
		 double *ratio)
{
	int err;

	if (r->kind == FLAG)
		return flag(value, n);
	if (!value || !*value)
		return -EINVAL;
	switch (r->kind) {
	case SIZE:
		err = value_size(value, n);
		break;
	case DURATION:
		err = value_duration(value, n);
		break;
	case NUMBER:
		err = value_number(value, n);
		break;
	case OCTAL:
		err = value_octal(value, n);
		break;
	case RATIO:
		return value_ratio(value, ratio);
	case CHOICE:
		return choice(r->choices, value, n);
	default:
		return 0;
	}
	if (!err && *n < r->min)
		err = -EINVAL;
	return err;
}

static int assign(struct options *o, const struct row *r, const char *value,
		  enum option_origin origin, char why[OPTION_WHY])
{
	uint64_t n = 0;
	double ratio = 0;

	if (parse(r, value, &n, &ratio)) {
		const char *shown = !value      ? "nothing"
				    : r->secret ? "..."
						: value;

		(void)snprintf(why, OPTION_WHY, "option %s=%.100s: it takes %s",
			       r->name, shown, takes(r));
		if (r->min && (r->kind == SIZE || r->kind == NUMBER))
			(void)snprintf(
				why + strlen(why), OPTION_WHY - strlen(why),
				", at least %llu", (unsigned long long)r->min);
		return -EINVAL;
	}
	if (o->origin[r - rows] > origin)
		return 0;
	if (is_string(r)) {
		char **s = field(o, r), *copy = strdup(value);

		if (!copy) {
			(void)snprintf(why, OPTION_WHY, "out of memory");
			return -ENOMEM;
		}
		if (*s)
			bytes_wipe(*s, strlen(*s));
		free(*s);
		*s = copy;
	} else if (r->kind == RATIO) {
		*(double *)field(o, r) = ratio;
	} else {
		*(uint64_t *)field(o, r) = n;
	}
	if (r->offset == AT(uid))
		o->uid_set = 1;
	if (r->offset == AT(gid))
		o->gid_set = 1;
	o->origin[r - rows] = (uint8_t)origin;
	return 0;
}

void options_init(struct options *o)
{
	char why[OPTION_WHY];
	const char *tmp;

	*o = (struct options){ 0 };
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].fallback &&
		    assign(o, &rows[i], rows[i].fallback, OPTION_BUILTIN, why))
			log_error("built-in default: %s", why);
	/* As weak as a default: one thread only, so far. */
	// NOLINTNEXTLINE(concurrency-mt-unsafe)
	tmp = getenv("TMPDIR");
	if (tmp && *tmp == '/' &&
	    options_set(o, "cache_dir", tmp, OPTION_BUILTIN, why))
		log_error("TMPDIR: %s", why);
}

static int in_list(const char *const *list, const char *word)
{
	for (; *list; list++)
		if (!strcmp(*list, word))
			return 1;
	return 0;
}

/* Words without a value that are not ours. */
static int mount_word(struct options *o, const char *word)
{
	size_t len = strlen(o->kernel);

	if (!strncmp(word, "x-", 2) || !strncmp(word, "comment=", 8) ||
	    in_list(ignored_words, word))
		return 1;
	if (!in_list(kernel_words, word))
		return 0;
	if (len + strlen(word) + 2 > sizeof(o->kernel))
		return 1;
	(void)snprintf(o->kernel + len, sizeof(o->kernel) - len, "%s%s",
		       len ? "," : "", word);
	return 1;
}

int options_set(struct options *o, const char *name, const char *value,
		enum option_origin origin, char why[OPTION_WHY])
{
	for (size_t i = 0; i < ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return assign(o, &rows[i], value, origin, why);
	(void)snprintf(
		why, OPTION_WHY,
		"unknown option \"%.100s\": mount.deltaglider --help lists what there is",
		name);
	return -EINVAL;
}

static int is_secret(const char *name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return rows[i].secret;
	return 0;
}

/* Where this item of a list ends; takes the backslashes out on the way. */
static char *item_end(char *s, int *last)
{
	char *to = s;

	for (; *s && *s != ','; s++) {
		if (*s == '\\' && s[1] == ',')
			s++;
		*to++ = *s;
	}
	*last = !*s;
	*to = '\0';
	return s;
}

int options_parse(struct options *o, char *list, char why[OPTION_WHY])
{
	int last = 0, err = 0;

	while (!err && !last) {
		char *end = item_end(list, &last), *value = strchr(list, '=');

		if (!*list || mount_word(o, list)) {
			list = end + 1;
			continue;
		}
		if (value)
			*value++ = '\0';
		err = options_set(o, list, value, OPTION_COMMAND, why);
		if (value && is_secret(list))
			memset(value, 'x', strlen(value));
		list = end + 1;
	}
	return err;
}

int options_environment(struct options *o, char why[OPTION_WHY])
{
	for (size_t i = 0; i < ROWS; i++) {
		for (size_t j = 0; j < 3 && rows[i].env[j]; j++) {
			/* Read before any thread is started. */
			// NOLINTNEXTLINE(concurrency-mt-unsafe)
			const char *v = getenv(rows[i].env[j]);
			int err;

			if (!v || !*v)
				continue;
			err = assign(o, &rows[i], v, OPTION_ENVIRONMENT, why);
			if (err) {
				size_t n = strlen(why);

				(void)snprintf(why + n, OPTION_WHY - n,
					       " (from $%s)", rows[i].env[j]);
				return err;
			}
			break;
		}
	}
	return 0;
}

int options_help(struct bytes *out)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];
		static const char *const kinds[] = {
			"=TEXT", "=SIZE", "=TIME", "=N", "=OCTAL", "=RATIO", ""
		};
		char left[64];
		int err;

		if (r->kind == CHOICE)
			(void)snprintf(left, sizeof(left), "%s=%s", r->name,
				       r->choices);
		else
			(void)snprintf(left, sizeof(left), "%s%s", r->name,
				       r->kind == FLAG && r->fallback
					       ? "=yes|no"
					       : kinds[r->kind]);
		err = bytes_printf(out, "  %-26s  %s", left, r->help);
		if (!err && r->fallback)
			err = bytes_printf(out, " [%s]", r->fallback);
		for (size_t j = 0; !err && j < 3 && r->env[j]; j++)
			err = bytes_printf(out, "%s$%s", j ? ", " : "; ",
					   r->env[j]);
		if (!err)
			err = bytes_append_str(out, "\n");
		if (err)
			return err;
	}
	return 0;
}

static int show_value(const struct options *o, const struct row *r,
		      struct bytes *out)
{
	const uint64_t *n = const_field(o, r);
	const char *const *s = const_field(o, r);
	const double *ratio = const_field(o, r);

	switch (r->kind) {
	case STRING:
		if (r->secret)
			return bytes_append_str(out, *s ? "set" : "unset");
		return bytes_append_str(out, *s ? *s : "");
	case RATIO:
		return bytes_printf(out, "%g", *ratio);
	case OCTAL:
		return bytes_printf(out, "%04llo", (unsigned long long)*n);
	case DURATION:
		return bytes_printf(out, "%llums", (unsigned long long)*n);
	case FLAG:
		return bytes_append_str(out, *n ? "yes" : "no");
	case CHOICE: {
		const char *c = r->choices;

		for (uint64_t i = 0; i < *n; i++)
			c += strcspn(c, "|") + 1;
		return bytes_append(out, c, strcspn(c, "|"));
	}
	default:
		return bytes_printf(out, "%llu", (unsigned long long)*n);
	}
}

int options_show(const struct options *o, struct bytes *out)
{
	static const char *const origins[] = { "built-in", "config [default]",
					       "config", "environment", "-o" };

	for (size_t i = 0; i < ROWS; i++) {
		int err = bytes_printf(out, "%s = ", rows[i].name);

		if (!err)
			err = show_value(o, &rows[i], out);
		if (!err)
			err = bytes_printf(out, "  # %s\n",
					   origins[o->origin[i]]);
		if (err)
			return err;
	}
	return 0;
}
