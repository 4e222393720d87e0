#include "fs/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "fs/keysource.h"
#include "fs/keytext.h"
#include "fs/log.h"
#include "fs/option_table.h"
#include "fs/value.h"

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

void options_clear(struct options *o)
{
	for (size_t i = 0; i < option_rows_len; i++) {
		char **s;

		if (!option_is_string(&option_rows[i]))
			continue;
		s = option_field(o, &option_rows[i]);
		if (option_rows[i].env_only) {
			secret_free(*s, *s ? strlen(*s) + 1 : 0);
		} else {
			if (*s)
				bytes_wipe(*s, strlen(*s));
			free(*s);
		}
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

static const char *takes(const struct option_row *r)
{
	switch (r->kind) {
	case OPTION_SIZE:
		return "a size such as 64M (K, M, G, T) below 8000000T";
	case OPTION_DURATION:
		return "a duration such as 30s (ms, s, m, h)";
	case OPTION_NUMBER:
		return "a number";
	case OPTION_OCTAL:
		return "an octal number such as 022";
	case OPTION_RATIO:
		return "a number above 0 and up to 1";
	case OPTION_FLAG:
		return "yes or no";
	case OPTION_CHOICE:
		return r->choices;
	default:
		return "a value";
	}
}

static int parse(const struct option_row *r, const char *value, uint64_t *n,
		 double *ratio)
{
	int err;

	if (r->kind == OPTION_FLAG)
		return flag(value, n);
	if (!value || !*value)
		return -EINVAL;
	switch (r->kind) {
	case OPTION_SIZE:
		err = value_size(value, n);
		break;
	case OPTION_DURATION:
		err = value_duration(value, n);
		break;
	case OPTION_NUMBER:
		err = value_number(value, n);
		break;
	case OPTION_OCTAL:
		err = value_octal(value, n);
		break;
	case OPTION_RATIO:
		return value_ratio(value, ratio);
	case OPTION_CHOICE:
		return choice(r->choices, value, n);
	default:
		return 0;
	}
	if (!err && *n < r->min)
		err = -EINVAL;
	return err;
}

static int assign(struct options *o, const struct option_row *r,
		  const char *value, enum option_origin origin,
		  char why[OPTION_WHY])
{
	uint64_t n = 0;
	double ratio = 0;

	if (r->env_only) {
		(void)snprintf(
			why, OPTION_WHY,
			"option %s: it is taken from $%s only, so that nobody sees it; or give cache_key_file=",
			r->name, r->env[0]);
		return -EINVAL;
	}
	if (parse(r, value, &n, &ratio)) {
		const char *shown = !value                           ? "nothing"
				    : r->secret || keytext_is(value) ? "..."
								     : value;

		(void)snprintf(why, OPTION_WHY, "option %s=%.100s: it takes %s",
			       r->name, shown, takes(r));
		if (r->min &&
		    (r->kind == OPTION_SIZE || r->kind == OPTION_NUMBER))
			(void)snprintf(
				why + strlen(why), OPTION_WHY - strlen(why),
				", at least %llu", (unsigned long long)r->min);
		return -EINVAL;
	}
	if (o->origin[r - option_rows] > origin)
		return 0;
	if (option_is_string(r)) {
		char **s = option_field(o, r), *copy = strdup(value);

		if (!copy) {
			(void)snprintf(why, OPTION_WHY, "out of memory");
			return -ENOMEM;
		}
		if (*s)
			bytes_wipe(*s, strlen(*s));
		free(*s);
		*s = copy;
	} else if (r->kind == OPTION_RATIO) {
		*(double *)option_field(o, r) = ratio;
	} else {
		*(uint64_t *)option_field(o, r) = n;
	}
	if (r->offset == offsetof(struct options, uid))
		o->uid_set = 1;
	if (r->offset == offsetof(struct options, gid))
		o->gid_set = 1;
	o->origin[r - option_rows] = (uint8_t)origin;
	return 0;
}

void options_init(struct options *o)
{
	char why[OPTION_WHY];
	const char *tmp;

	*o = (struct options){ 0 };
	for (size_t i = 0; i < option_rows_len; i++)
		if (option_rows[i].fallback &&
		    assign(o, &option_rows[i], option_rows[i].fallback,
			   OPTION_BUILTIN, why))
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
	for (size_t i = 0; i < option_rows_len; i++)
		if (!strcmp(option_rows[i].name, name))
			return assign(o, &option_rows[i], value, origin, why);
	(void)snprintf(
		why, OPTION_WHY,
		"unknown option \"%.100s\": mount.deltaglider --help lists what there is",
		keytext_is(name) ? "..." : name);
	return -EINVAL;
}

static int is_secret(const char *name)
{
	for (size_t i = 0; i < option_rows_len; i++)
		if (!strcmp(option_rows[i].name, name))
			return option_rows[i].secret;
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

/* One variable's value; a bare number may have a unit of its own there. */
static int from_environment(struct options *o, const struct option_row *r,
			    const char *variable, const char *value,
			    char why[OPTION_WHY])
{
	char with_unit[64];
	int err;

	if (r->env_unit && value[strspn(value, "0123456789")] == '\0') {
		(void)snprintf(with_unit, sizeof(with_unit), "%.60s%s", value,
			       r->env_unit);
		value = with_unit;
	}
	err = assign(o, r, value, OPTION_ENVIRONMENT, why);
	if (err) {
		size_t n = strlen(why);

		(void)snprintf(why + n, OPTION_WHY - n, " (from $%s)",
			       variable);
	}
	return err;
}

static int take_secret(struct options *o, const struct option_row *r)
{
	char **s = option_field(o, r);
	int err = keysource_take_environment(s);

	if (!err && *s)
		o->origin[r - option_rows] = OPTION_ENVIRONMENT;
	return err;
}

int options_environment(struct options *o, char why[OPTION_WHY])
{
	for (size_t i = 0; i < option_rows_len; i++) {
		const struct option_row *r = &option_rows[i];
		int err = r->env_only ? take_secret(o, r) : 0;

		for (size_t j = 0; !err && !r->env_only && j < 3 && r->env[j];
		     j++) {
			/* Read before any thread is started. */
			// NOLINTNEXTLINE(concurrency-mt-unsafe)
			const char *v = getenv(r->env[j]);

			if (!v || !*v)
				continue;
			err = from_environment(o, r, r->env[j], v, why);
			break;
		}
		if (err)
			return err;
	}
	return 0;
}

enum option_origin options_origin(const struct options *o, const char *name)
{
	for (size_t i = 0; i < option_rows_len; i++)
		if (!strcmp(option_rows[i].name, name))
			return (enum option_origin)o->origin[i];
	return OPTION_BUILTIN;
}

static int differs(const struct options *a, const struct options *b,
		   const struct option_row *r)
{
	const char *const *s = option_const_field(a, r),
			  *const *t = option_const_field(b, r);

	if (r->kind == OPTION_RATIO)
		return memcmp(option_const_field(a, r),
			      option_const_field(b, r), sizeof(double)) != 0;
	if (!option_is_string(r))
		return *(const uint64_t *)option_const_field(a, r) !=
		       *(const uint64_t *)option_const_field(b, r);
	return *s && *t ? strcmp(*s, *t) != 0 : *s != *t;
}

static int take_over(struct options *o, const struct options *fresh,
		     const struct option_row *r)
{
	const char *const *from = option_const_field(fresh, r);
	char **to = option_field(o, r), *copy = NULL;

	if (!option_is_string(r)) {
		*(uint64_t *)option_field(o, r) =
			*(const uint64_t *)option_const_field(fresh, r);
		return 0;
	}
	if (*from && !(copy = strdup(*from)))
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

/* Has the row of `fresh` a say? */
static int governs(const struct options *o, const struct options *fresh,
		   size_t row)
{
	/* Defaults are shares of what there was at the mount. */
	return o->origin[row] < OPTION_ENVIRONMENT &&
	       o->origin[row] != OPTION_PROFILE &&
	       (o->origin[row] || fresh->origin[row]);
}

void options_inherit(struct options *fresh, const struct options *o)
{
	for (size_t i = 0; i < option_rows_len; i++) {
		const struct option_row *r = &option_rows[i];

		if (o->origin[i] < OPTION_ENVIRONMENT || option_is_string(r))
			continue;
		memcpy(option_field(fresh, r), option_const_field(o, r),
		       sizeof(uint64_t));
		fresh->origin[i] = o->origin[i];
	}
}

void options_preview(const struct options *o, const struct options *fresh,
		     struct options *out)
{
	*out = *o;
	for (size_t i = 0; i < option_rows_len; i++) {
		const struct option_row *r = &option_rows[i];
		size_t size =
			option_is_string(r) ? sizeof(char *) : sizeof(uint64_t);

		if (!r->live || !governs(o, fresh, i))
			continue;
		memcpy(option_field(out, r), option_const_field(fresh, r),
		       size);
		out->origin[i] = fresh->origin[i];
	}
}

int options_apply(struct options *o, const struct options *fresh,
		  struct bytes *fixed)
{
	int err = 0;

	for (size_t i = 0; i < option_rows_len && !err; i++) {
		const struct option_row *r = &option_rows[i];

		if (!governs(o, fresh, i))
			continue;
		if (differs(o, fresh, r) && !r->live) {
			err = bytes_printf(fixed, " %s", r->name);
			continue;
		}
		if (differs(o, fresh, r))
			err = take_over(o, fresh, r);
		/* The same value, too: who sets it decides what it beats. */
		o->origin[i] = fresh->origin[i];
	}
	return err;
}

int options_note(struct options *o, const char *name, const char *value,
		 enum option_origin origin)
{
	for (size_t i = 0; i < option_rows_len; i++) {
		char **s;

		if (strcmp(option_rows[i].name, name) != 0)
			continue;
		s = option_field(o, &option_rows[i]);
		if (*s || !value || !*value)
			return 0;
		*s = strdup(value);
		if (!*s)
			return -ENOMEM;
		o->origin[i] = (uint8_t)origin;
	}
	return 0;
}

int options_lock_key(struct options *o)
{
	size_t len = o->cache_key_text ? strlen(o->cache_key_text) + 1 : 0;
	char *locked;

	if (!len)
		return 0;
	locked = secret_new(len);
	if (!locked)
		return -ENOMEM;
	memcpy(locked, o->cache_key_text, len);
	secret_free(o->cache_key_text, len);
	o->cache_key_text = locked;
	return 0;
}

int options_note_key(struct options *o, const char *file)
{
	for (size_t i = 0; i < option_rows_len; i++) {
		const struct option_row *r = &option_rows[i];
		char **s = option_field(o, r), *copy = NULL;

		if (r->env_only)
			o->origin[i] = OPTION_BUILTIN; /* out of force */
		if (r->offset != offsetof(struct options, cache_key_file))
			continue;
		if (file && !(copy = strdup(file)))
			return -ENOMEM;
		free(*s);
		*s = copy;
		o->origin[i] = OPTION_CONTROL;
	}
	return 0;
}
