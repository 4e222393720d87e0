#include <stdio.h>
#include <string.h>

#include "fs/option_table.h"
#include "fs/options.h"

int options_help(struct bytes *out)
{
	for (size_t i = 0; i < option_rows_len; i++) {
		const struct option_row *r = &option_rows[i];
		static const char *const kinds[] = {
			"=TEXT", "=SIZE", "=TIME", "=N", "=OCTAL", "=RATIO", ""
		};
		char left[64];
		int err;

		if (r->kind == OPTION_CHOICE)
			(void)snprintf(left, sizeof(left), "%s=%s", r->name,
				       r->choices);
		else
			(void)snprintf(left, sizeof(left), "%s%s", r->name,
				       r->kind == OPTION_FLAG && r->fallback
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

static int show_value(const struct options *o, const struct option_row *r,
		      struct bytes *out)
{
	const uint64_t *n = option_const_field(o, r);
	const char *const *s = option_const_field(o, r);
	const double *ratio = option_const_field(o, r);

	switch (r->kind) {
	case OPTION_STRING:
		/* A key is gone from here when it has been used. */
		if (r->env_only)
			return bytes_append_str(out, o->origin[r - option_rows]
							     ? "set"
							     : "unset");
		if (r->secret)
			return bytes_append_str(out, *s ? "set" : "unset");
		return bytes_append_str(out, *s ? *s : "");
	case OPTION_RATIO:
		return bytes_printf(out, "%g", *ratio);
	case OPTION_OCTAL:
		return bytes_printf(out, "%04llo", (unsigned long long)*n);
	case OPTION_DURATION:
		return bytes_printf(out, "%llums", (unsigned long long)*n);
	case OPTION_FLAG:
		return bytes_append_str(out, *n ? "yes" : "no");
	case OPTION_CHOICE: {
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
	static const char *const origins[] = { "built-in",         "profile",
					       "config [default]", "config",
					       "environment",      "-o",
					       ".dg/rotate_key" };

	for (size_t i = 0; i < option_rows_len; i++) {
		int err = bytes_printf(out, "%s = ", option_rows[i].name);

		if (!err)
			err = show_value(o, &option_rows[i], out);
		if (!err)
			err = bytes_printf(out, "  # %s\n",
					   origins[o->origin[i]]);
		if (err)
			return err;
	}
	return 0;
}
