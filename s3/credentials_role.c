/* How a profile says that its keys are to be had. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "s3/credentials_private.h"
#include "s3/error.h"

#define CHAIN_MAX 8 /* roles behind each other */

/* The profiles from the one that was asked for to the one looked at now. */
struct chain {
	const struct cred_conf *conf;
	const struct store_call *call;
	const char *names[CHAIN_MAX];
	size_t len;
};

/* A profile that is being looked at. */
struct looked {
	const char *name;
	const char *path; /* of the file it is in */
	const struct profile *p;
	struct cred_conf conf; /* with its region, if none was given */
};

/* The value, or NULL if it is not set or empty. */
static const char *value_of(const struct profile *p, const char *name)
{
	const char *value = profile_get(p, name);

	return value != NULL && *value != '\0' ? value : NULL;
}

static int has_static(const struct profile *p)
{
	return value_of(p, "aws_access_key_id") != NULL ||
	       value_of(p, "aws_secret_access_key") != NULL;
}

/* What aws(1) gets by a login in a browser, or NULL. */
static const char *login_way(const struct profile *p)
{
	static const char *const ways[] = { "sso_session", "sso_start_url",
					    "sso_account_id", "login_session" };
	size_t i;

	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (value_of(p, ways[i]) != NULL)
			return ways[i];
	return NULL;
}

int cred_profile_has_way(const struct profile *p)
{
	return has_static(p) || value_of(p, "role_arn") != NULL ||
	       value_of(p, "credential_process") != NULL ||
	       login_way(p) != NULL;
}

int cred_profile_is_static(const struct profile *p)
{
	return has_static(p) && value_of(p, "role_arn") == NULL;
}

static int fetch(struct chain *ch, const char *name, struct cred_keys *out);

static int static_keys(const struct chain *ch, const struct looked *l,
		       struct cred_keys *out)
{
	const char *const parts[3] = {
		profile_get(l->p, "aws_access_key_id"),
		profile_get(l->p, "aws_secret_access_key"),
		profile_get(l->p, "aws_session_token"),
	};
	struct cred_keys k = { .expires_s = 0 };
	int rc;

	(void)snprintf(k.source, sizeof(k.source), "profile %.60s in %.180s",
		       l->name, l->path);
	rc = cred_take(&k, k.source, parts, ch->call);
	if (rc == 0 && out != NULL)
		*out = k;
	bytes_wipe(&k, sizeof(k));
	return rc;
}

static int environment_keys(const struct chain *ch, struct cred_keys *out)
{
	const char *const parts[3] = { cred_env("AWS_ACCESS_KEY_ID"),
				       cred_env("AWS_SECRET_ACCESS_KEY"),
				       cred_env("AWS_SESSION_TOKEN") };
	struct cred_keys k = { .expires_s = 0 };
	int rc = cred_take(&k, "environment", parts, ch->call);

	if (rc == -ENOENT)
		return store_fail(ch->call, -EINVAL,
				  "credential_source = Environment, and "
				  "AWS_ACCESS_KEY_ID is not set");
	if (rc == 0 && out != NULL)
		*out = k;
	bytes_wipe(&k, sizeof(k));
	return rc;
}

/* The keys that a role is assumed with, by credential_source. */
static int source_keys(const struct chain *ch, const struct looked *l,
		       const char *source, struct cred_keys *out)
{
	if (strcmp(source, "Environment") == 0)
		return environment_keys(ch, out);
	if (strcmp(source, "Ec2InstanceMetadata") == 0)
		return out != NULL ? imds_fetch(&l->conf, ch->call, out) : 0;
	if (strcmp(source, "EcsContainer") == 0)
		return out != NULL ? container_fetch(&l->conf, ch->call, out)
				   : 0;
	return store_fail(ch->call, -EINVAL,
			  "profile \"%.60s\": credential_source is "
			  "Environment, Ec2InstanceMetadata or EcsContainer",
			  l->name);
}

/* "a -> b -> a": the names, for a person. */
static int cycle(const struct chain *ch, const char *name)
{
	char text[160];
	size_t at = 0;
	size_t i;

	for (i = 0; i < ch->len && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "%.20s -> ", ch->names[i]);
	return store_fail(ch->call, -EINVAL,
			  "source_profile goes round in a circle: %s%.20s",
			  text, name);
}

/* The keys that a role is assumed with, by source_profile. */
static int profile_keys(struct chain *ch, const struct looked *l,
			const char *source, struct cred_keys *out)
{
	size_t i;

	/* Its own keys, which it has beside the role. */
	if (strcmp(source, l->name) == 0 && has_static(l->p))
		return static_keys(ch, l, out);
	for (i = 0; i < ch->len; i++)
		if (strcmp(ch->names[i], source) == 0)
			return cycle(ch, source);
	return fetch(ch, source, out);
}

static int is_duration(const char *s)
{
	size_t len = strlen(s);

	return len >= 3 && len <= 5 && strspn(s, "0123456789") == len;
}

static int role_check(const struct chain *ch, const struct looked *l,
		      const struct sts_role *role)
{
	const char *source = value_of(l->p, "source_profile");
	const char *place = value_of(l->p, "credential_source");

	if (value_of(l->p, "mfa_serial") != NULL)
		return store_fail(
			ch->call, -EINVAL,
			"profile \"%.40s\" wants a code by mfa_serial, "
			"which nobody can type here: give temporary "
			"keys, as of: aws sts get-session-token",
			l->name);
	if (role->duration_s != NULL && !is_duration(role->duration_s))
		return store_fail(ch->call, -EINVAL,
				  "profile \"%.60s\": duration_seconds is no "
				  "number from 900 on",
				  l->name);
	if (source != NULL && place != NULL)
		return store_fail(ch->call, -EINVAL,
				  "profile \"%.60s\" has both source_profile "
				  "and credential_source: give one",
				  l->name);
	if (source == NULL && place == NULL && role->token_file == NULL)
		return store_fail(ch->call, -EINVAL,
				  "profile \"%.60s\" has role_arn, but neither "
				  "source_profile, credential_source nor "
				  "web_identity_token_file",
				  l->name);
	return 0;
}

static int role_keys(struct chain *ch, const struct looked *l,
		     struct cred_keys *out)
{
	const char *source = value_of(l->p, "source_profile");
	const char *place = value_of(l->p, "credential_source");
	const struct sts_role role = {
		.arn = value_of(l->p, "role_arn"),
		.session_name = value_of(l->p, "role_session_name"),
		.external_id = value_of(l->p, "external_id"),
		.duration_s = value_of(l->p, "duration_seconds"),
		.token_file = value_of(l->p, "web_identity_token_file"),
	};
	struct cred_keys with = { .expires_s = 0 };
	int rc;

	rc = role_check(ch, l, &role);
	if (rc != 0)
		return rc;
	if (role.token_file != NULL)
		return out != NULL ? sts_web_identity(&l->conf, &role, ch->call,
						      out)
				   : 0;
	rc = source != NULL
		     ? profile_keys(ch, l, source, out != NULL ? &with : NULL)
		     : source_keys(ch, l, place, out != NULL ? &with : NULL);
	if (rc == 0 && out != NULL)
		rc = sts_assume_role(&l->conf, &role, &with.keys, ch->call,
				     out);
	bytes_wipe(&with, sizeof(with));
	return rc;
}

/*
 * As aws(1) has it: a role before keys in the profile that was asked for, keys
 * before a role in one that others get theirs from.
 */
static int way_keys(struct chain *ch, const struct looked *l,
		    struct cred_keys *out)
{
	const char *process = value_of(l->p, "credential_process");
	const char *login = login_way(l->p);
	int is_source = ch->len > 1;

	if (value_of(l->p, "role_arn") != NULL &&
	    !(is_source && has_static(l->p)))
		return role_keys(ch, l, out);
	if (has_static(l->p))
		return static_keys(ch, l, out);
	if (process != NULL)
		return out != NULL ? credential_process_fetch(&l->conf, l->name,
							      process, ch->call,
							      out)
				   : 0;
	if (login != NULL)
		return store_fail(
			ch->call, -EINVAL,
			"profile \"%.30s\" gets keys by %s, a login "
			"that only aws has: add to it credential_process "
			"= aws configure export-credentials --profile "
			"%.30s",
			l->name, login, l->name);
	return store_fail(ch->call, -ENOENT, "profile \"%.60s\" has no keys",
			  l->name);
}

/* Calls itself by way of profile_keys(), CHAIN_MAX deep at most. */
static int fetch(struct chain *ch, const char *name, struct cred_keys *out)
{
	struct looked l = { .name = name, .conf = *ch->conf };
	struct profile *p;
	int rc;

	if (ch->len == CHAIN_MAX)
		return store_fail(ch->call, -EINVAL,
				  "more than %d profiles behind each other by "
				  "source_profile",
				  CHAIN_MAX);
	rc = cred_files_load(ch->conf->files, name, &p, &l.path, ch->call);
	if (rc != 0)
		return rc == -ENOENT ? -EINVAL : rc;
	l.p = p;
	if (l.conf.region == NULL)
		l.conf.region = value_of(p, "region");
	ch->names[ch->len++] = name;
	rc = way_keys(ch, &l, out);
	ch->len--;
	profile_free(p);
	return rc;
}

int cred_profile_fetch(const struct cred_conf *conf, const char *name,
		       const struct store_call *call, struct cred_keys *out)
{
	struct chain ch = { .conf = conf, .call = call };

	return fetch(&ch, name, out);
}
