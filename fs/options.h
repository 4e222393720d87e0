#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Everything that can be set, in one table (fs/options.c): it makes the
 * parsing, --help and .dg/config.  Where several places set the same option,
 * the later in this list wins.
 */
enum option_origin {
	OPTION_BUILTIN,
	OPTION_PROFILE, /* what the AWS profile says, where nothing else does */
	OPTION_CONFIG_DEFAULT, /* section [default] of the config file */
	OPTION_CONFIG_BUCKET, /* the bucket's own section */
	OPTION_ENVIRONMENT,
	OPTION_COMMAND, /* -o, which is also what /etc/fstab gives */
	OPTION_CONTROL, /* .dg/rotate_key, while it is mounted */
};

enum { OPTIONS_MAX = 64 };

enum cache_backend_kind { CACHE_FILESYSTEM, CACHE_MEMORY };

struct options {
	/* Strings are owned; NULL where not set. */
	char *endpoint, *region, *profile;
	char *access_key_id, *secret_access_key, *session_token;
	char *cache_dir, *config, *ca_file;
	char *cache_key_file, *cache_key_command;
	/* The text of the key itself; of the environment, until it is used. */
	char *cache_key_text;
	uint64_t path_style; /* enum s3_path_style */
	uint64_t anonymous;
	uint64_t part_size, cache_size, spool_size, index_memory; /* bytes */
	uint64_t cache_memory_size, cache_min_free; /* bytes */
	uint64_t cache_backend; /* enum cache_backend_kind */
	uint64_t cache_keep;
	uint64_t cache_clear_interval_ms; /* 0: never */
	uint64_t connections;
	uint64_t timeout_ms, attr_timeout_ms, entry_timeout_ms;
	uint64_t log_level; /* enum log_level */
	uint64_t codec; /* enum codec */
	uint64_t delta_level; /* enum delta_level */
	uint64_t conflict; /* 0: fail, 1: last-wins */
	uint64_t max_upload_rate, max_download_rate; /* bytes/s; 0: no limit */
	uint64_t sse; /* 0: no, 1: AES256, 2: aws:kms */
	uint64_t requester_pays;
	char *client_cert, *client_key;
	char *storage_class, *acl, *sse_kms_key_id, *sse_customer_key_file;
	uint64_t delta, exclusive, foreground, read_only, allow_other;
	uint64_t uid, gid, umask, file_mode, dir_mode;
	uint64_t uid_set, gid_set;
	double max_ratio;
	/* What mount(8) has to say to the kernel: "nosuid,nodev", or "". */
	char kernel[128];
	uint8_t origin[OPTIONS_MAX]; /* enum option_origin, by row */
};

#define OPTION_WHY 320 /* bytes of an error line */

void options_init(struct options *o);
void options_clear(struct options *o); /* wipes what is secret */

/*
 * Set one option.  `value` is NULL for a bare word.  A value of lower rank
 * than what is already there is checked and then ignored.
 * 0; -EINVAL with `why` naming the option and what it takes; -ENOMEM.
 */
MUST_CHECK int options_set(struct options *o, const char *name,
			   const char *value, enum option_origin origin,
			   char why[OPTION_WHY]);

/*
 * A list as -o takes it: "ro,endpoint=http://host:80,max_ratio=0.4".  A comma
 * inside a value is written "\,".  Overwrites the secrets in `list`, so that
 * ps(1) does not show them.
 */
MUST_CHECK int options_parse(struct options *o, char *list,
			     char why[OPTION_WHY]);

/*
 * Take what the environment sets.  A key of the cache is taken out of it, for
 * all that it can be seen in.
 */
MUST_CHECK int options_environment(struct options *o, char why[OPTION_WHY]);

/* Rows of the table as --help prints them. */
MUST_CHECK int options_help(struct bytes *out);

/*
 * What was taken from an AWS profile, or from AWS_PROFILE itself, for
 * options_show().  Nothing happens where the option was set otherwise.
 * 0 or -ENOMEM.
 */
MUST_CHECK int options_note(struct options *o, const char *name,
			    const char *value, enum option_origin origin);

/* Who set it; OPTION_BUILTIN for a name that is not in the table. */
enum option_origin options_origin(const struct options *o, const char *name);

/*
 * What is set more firmly than any configuration file in `o`, but for texts, is
 * so in `fresh`.
 */
void options_inherit(struct options *fresh, const struct options *o);

/*
 * What options_apply() would make of `o`, to look at before: its strings are
 * those of the two, and are not to be freed.
 */
void options_preview(const struct options *o, const struct options *fresh,
		     struct options *out);

/*
 * Take over from `fresh` what it sets otherwise and what can be changed while
 * mounted.  What cannot, and differs, is appended to `fixed` by name, a blank
 * before each.  What the command line, the environment or .dg/rotate_key sets
 * stays.  0 or -ENOMEM.
 */
MUST_CHECK int options_apply(struct options *o, const struct options *fresh,
			     struct bytes *fixed);

/*
 * Put the text of the cache's key, if there is one, into memory that is
 * locked: after secret_init().  0 or -ENOMEM.
 */
MUST_CHECK int options_lock_key(struct options *o);

/*
 * The cache's key is another now: of this file, or, with NULL, of none; and
 * not of the environment any more.  0 or -ENOMEM.
 */
MUST_CHECK int options_note_key(struct options *o, const char *file);

/* "name = value  # origin" a line; secrets as "set" or "unset". */
MUST_CHECK int options_show(const struct options *o, struct bytes *out);

#endif
