#include "s3/credentials.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3/error.h"
#include "s3/profile.h"

/* Nothing changes once it is made, so that no lock is needed. */
struct s3_credentials {
	struct s3_keys keys;
	int anonymous;
	struct profile *profile; /* or NULL: no file had it */
	char source[256];
};

/* The value, or NULL if it is not set or empty. */
static const char *env(const char *name)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets any by then */
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

static int copy_key(char *out, size_t cap, const char *in, const char *name,
		    struct store_error *error)
{
	size_t len = in != NULL ? strlen(in) : 0;
	size_t i;

	if (len >= cap)
		return store_error_set(error, -EINVAL,
				       "the %s has %zu bytes, %zu is the most",
				       name, len, cap - 1);
	/* They go into headers. */
	for (i = 0; i < len; i++)
		if (in[i] <= 0x20 || in[i] > 0x7e)
			return store_error_set(error, -EINVAL,
					       "the %s has a blank or another "
					       "character that no key has",
					       name);
	if (len > 0)
		memcpy(out, in, len);
	out[len] = '\0';
	return 0;
}

/* 0; -ENOENT if there are none here; -EINVAL if there is only a half. */
static int take_keys(struct s3_credentials *c, const char *access,
		     const char *secret, const char *token,
		     struct store_error *error)
{
	int rc;

	if (access == NULL && secret == NULL)
		return -ENOENT;
	if (access == NULL || secret == NULL)
		return store_error_set(
			error, -EINVAL, "%s: there is %s, but no %s", c->source,
			access != NULL ? "an access key" : "a secret key",
			access != NULL ? "secret key" : "access key");
	rc = copy_key(c->keys.access_key, sizeof(c->keys.access_key), access,
		      "access key", error);
	if (rc == 0)
		rc = copy_key(c->keys.secret_key, sizeof(c->keys.secret_key),
			      secret, "secret key", error);
	if (rc == 0)
		rc = copy_key(c->keys.session_token,
			      sizeof(c->keys.session_token), token,
			      "session token", error);
	return rc;
}

/* The two files, and what they have of the profile. */
struct files {
	const char *profile;
	char credentials[512], config[512];
	int found; /* the profile, in one of them */
};

/* mount(8) and systemd start their helpers without HOME. */
static void home_of_user(char *out, size_t cap)
{
	struct passwd pw, *found = NULL;
	char buf[2048];

	if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) != 0 ||
	    found == NULL)
		(void)snprintf(out, cap, "%s", "");
	else
		(void)snprintf(out, cap, "%s", found->pw_dir);
}

static void file_name(char *out, size_t cap, const char *variable,
		      const char *name)
{
	const char *given = env(variable);
	const char *home = env("HOME");
	char own[256];

	if (given != NULL) {
		(void)snprintf(out, cap, "%s", given);
		return;
	}
	if (home == NULL) {
		home_of_user(own, sizeof(own));
		home = own;
	}
	(void)snprintf(out, cap, "%s/.aws/%s", home, name);
}

static int file_take(struct s3_credentials *c, struct files *f,
		     const char *path, const char *section,
		     struct store_error *error)
{
	int line;
	int rc;

	rc = profile_read(c->profile, path, section, &line);
	if (rc == -ENOENT)
		return 0;
	if (rc == -EINVAL && line > 0)
		return store_error_set(error, rc, "%s: line %d is malformed",
				       path, line);
	if (rc != 0)
		return store_error_set(error, rc, "cannot read %s: %s", path,
				       store_strerror(rc));
	if (!f->found)
		(void)snprintf(c->source, sizeof(c->source),
			       "profile %.60s in %.180s", f->profile, path);
	f->found = 1;
	return 0;
}

/* Read what there is of the profile; 0 also if that is nothing. */
static int files_read(struct s3_credentials *c, struct files *f,
		      struct store_error *error)
{
	char section[256];
	int rc;

	file_name(f->credentials, sizeof(f->credentials),
		  "AWS_SHARED_CREDENTIALS_FILE", "credentials");
	file_name(f->config, sizeof(f->config), "AWS_CONFIG_FILE", "config");
	rc = file_take(c, f, f->credentials, f->profile, error);
	if (rc != 0)
		return rc;
	(void)snprintf(section, sizeof(section), "%s%.200s",
		       strcmp(f->profile, "default") == 0 ? "" : "profile ",
		       f->profile);
	return file_take(c, f, f->config, section, error);
}

/* How a profile gets keys that we cannot follow, or NULL. */
static const char *other_way(const struct profile *p)
{
	static const char *const ways[] = { "credential_process", "role_arn",
					    "sso_session", "sso_start_url",
					    "web_identity_token_file" };
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (profile_get(p, ways[i]) != NULL)
			return ways[i];
	return NULL;
}

static int profile_keys(struct s3_credentials *c, const struct files *f,
			int asked_for, struct store_error *error)
{
	const char *way;
	int rc;

	if (!f->found && asked_for)
		return store_error_set(error, -EINVAL,
				       "there is no profile \"%.60s\" in "
				       "%.80s or %.80s",
				       f->profile, f->credentials, f->config);
	rc = take_keys(c, profile_get(c->profile, "aws_access_key_id"),
		       profile_get(c->profile, "aws_secret_access_key"),
		       profile_get(c->profile, "aws_session_token"), error);
	if (rc != -ENOENT)
		return rc;
	way = other_way(c->profile);
	if (way != NULL)
		return store_error_set(error, -ENOENT,
				       "profile \"%.60s\" gets its keys by %s, "
				       "which is not supported: put keys into "
				       "the environment",
				       f->profile, way);
	return store_error_set(error, -ENOENT,
			       "no keys: neither AWS_ACCESS_KEY_ID and "
			       "AWS_SECRET_ACCESS_KEY, nor profile \"%.40s\" "
			       "in %.70s or %.60s",
			       f->profile, f->credentials, f->config);
}

/* The value, or NULL if it is not given or empty. */
static const char *given(const char *value)
{
	return value != NULL && *value != '\0' ? value : NULL;
}

/* Keys from anywhere but a file.  0, -ENOENT if there are none, -EINVAL. */
static int direct_keys(struct s3_credentials *c,
		       const struct s3_credentials_conf *conf,
		       struct store_error *error)
{
	const char *access = given(conf->access_key);
	const char *secret = given(conf->secret_key);

	if (conf->anonymous) {
		c->anonymous = 1;
		(void)snprintf(c->source, sizeof(c->source), "anonymous");
		return 0;
	}
	if (access != NULL || secret != NULL) {
		(void)snprintf(c->source, sizeof(c->source), "options");
		return take_keys(c, access, secret, given(conf->session_token),
				 error);
	}
	if (given(conf->profile) != NULL)
		return -ENOENT;
	(void)snprintf(c->source, sizeof(c->source), "environment");
	return take_keys(c, env("AWS_ACCESS_KEY_ID"),
			 env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN"),
			 error);
}

static int find_keys(struct s3_credentials *c,
		     const struct s3_credentials_conf *conf,
		     struct store_error *error)
{
	struct files f = { .profile = given(conf->profile) };
	char source[sizeof(c->source)];
	int asked_for;
	int direct;
	int rc;

	if (f.profile == NULL)
		f.profile = env("AWS_PROFILE");
	asked_for = f.profile != NULL;
	if (f.profile == NULL)
		f.profile = "default";
	direct = direct_keys(c, conf, error);
	if (direct != 0 && direct != -ENOENT)
		return direct;
	memcpy(source, c->source, sizeof(source));
	/* In any case, for its other settings, which are no necessity. */
	rc = files_read(c, &f, error);
	if (direct == 0) {
		memcpy(c->source, source, sizeof(source));
		return 0;
	}
	return rc != 0 ? rc : profile_keys(c, &f, asked_for, error);
}

int s3_credentials_new(struct s3_credentials **out,
		       const struct s3_credentials_conf *conf,
		       struct store_error *error)
{
	struct s3_credentials *c;
	int rc;

	c = calloc(1, sizeof(*c));
	if (c == NULL || profile_new(&c->profile) != 0) {
		free(c);
		return store_error_set(error, -ENOMEM, "out of memory");
	}
	rc = find_keys(c, conf, error);
	if (rc != 0) {
		s3_credentials_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

int s3_credentials_get(struct s3_credentials *c, struct s3_keys *out)
{
	if (c->anonymous)
		return -ENOENT;
	*out = c->keys;
	return 0;
}

int s3_credentials_setting(struct s3_credentials *c, const char *name,
			   char *out, size_t cap)
{
	const char *value = profile_get(c->profile, name);

	if (value == NULL)
		return -ENOENT;
	if (strlen(value) >= cap)
		return -ERANGE;
	memcpy(out, value, strlen(value) + 1);
	return 0;
}

const char *s3_credentials_source(const struct s3_credentials *c)
{
	return c->source;
}

void s3_credentials_free(struct s3_credentials *c)
{
	if (c == NULL)
		return;
	profile_free(c->profile);
	bytes_wipe(&c->keys, sizeof(c->keys));
	free(c);
}
