/* Which source of keys it is, and what it is asked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/credentials_private.h"
#include "s3/error.h"

/* The value, or NULL if it is not given or empty. */
static const char *given(const char *value)
{
	return value != NULL && *value != '\0' ? value : NULL;
}

static struct cred_conf conf_of(const struct cred_source *s, int64_t now_s)
{
	return (struct cred_conf){ .region = s->region,
				   .ca_file = s->ca_file,
				   .files = &s->files,
				   .now_s = now_s };
}

static int web_identity(const struct cred_source *s, struct cred_conf conf,
			const struct store_call *call, struct cred_keys *out)
{
	const struct sts_role role = {
		.arn = cred_env("AWS_ROLE_ARN"),
		.session_name = cred_env("AWS_ROLE_SESSION_NAME"),
		.token_file = cred_env("AWS_WEB_IDENTITY_TOKEN_FILE"),
	};

	if (conf.region == NULL && s->profile != NULL)
		conf.region = given(profile_get(s->profile, "region"));
	return sts_web_identity(&conf, &role, call, out);
}

/* The last resort.  Where it is not there from the start, it never will be. */
static int last_resort(const struct cred_source *s, int had_keys,
		       const struct cred_conf *conf,
		       const struct store_call *call, struct cred_keys *out)
{
	struct store_error why = { 0 };
	struct store_call asked = *call;
	int rc;

	asked.error = &why;
	rc = imds_fetch(conf, &asked, out);
	if (rc == 0 || rc == -EINTR || had_keys ||
	    (rc == -EAGAIN && why.cause == EIO)) {
		if (rc != 0 && call->error != NULL)
			*call->error = why;
		return rc;
	}
	return store_fail(call, -EACCES,
			  "no keys: not in AWS_ACCESS_KEY_ID, not in profile "
			  "\"%.20s\" of %.50s; %.130s",
			  s->name, s->files.credentials, why.text);
}

static int fetch(const struct cred_source *s, int had_keys, int64_t now_s,
		 const struct store_call *call, struct cred_keys *out)
{
	const struct cred_conf conf = conf_of(s, now_s);

	switch (s->kind) {
	case CRED_WEB_IDENTITY:
		return web_identity(s, conf, call, out);
	case CRED_PROFILE:
		return cred_profile_fetch(&conf, s->name, call, out);
	case CRED_CONTAINER:
		return container_fetch(&conf, call, out);
	case CRED_IMDS:
		return last_resort(s, had_keys, &conf, call, out);
	default:
		return store_fail(call, -EINVAL, "no source of keys");
	}
}

int cred_source_is_same(struct cred_source *s, int renewable)
{
	struct cred_stamps now;

	cred_stamps_take(&now, &s->files);
	/* What only may have changed is no reason to ask a server. */
	if (!cred_stamps_same(&s->seen, &now) ||
	    (s->seen.unsettled && !renewable))
		return 0;
	s->seen.unsettled = s->seen.unsettled && now.unsettled;
	return 1;
}

int cred_source_renew(struct cred_source *s, int had_keys, int64_t now_s,
		      const struct store_call *call, struct cred_keys *out)
{
	struct cred_stamps now;
	int rc;

	/* Before they are read: a change meanwhile shows next time. */
	cred_stamps_take(&now, &s->files);
	rc = fetch(s, had_keys, now_s, call, out);
	s->seen = now;
	/* Half a file: it is read again even if it looks the same. */
	if (rc != 0)
		s->seen.unsettled = 1;
	return rc;
}

/* Keys that stand where they are given.  1, -ENOENT: none, -EINVAL. */
static int direct_keys(struct cred_source *s,
		       const struct s3_credentials_conf *conf,
		       const struct store_call *call, struct cred_keys *out)
{
	const char *const from_conf[3] = { conf->access_key, conf->secret_key,
					   conf->session_token };
	const char *const from_env[3] = { cred_env("AWS_ACCESS_KEY_ID"),
					  cred_env("AWS_SECRET_ACCESS_KEY"),
					  cred_env("AWS_SESSION_TOKEN") };
	const char *what = "options";
	int rc;

	rc = cred_take(out, what, from_conf, call);
	if (rc == -ENOENT && given(conf->profile) == NULL) {
		what = "environment";
		rc = cred_take(out, what, from_env, call);
	}
	if (rc != 0)
		return rc;
	(void)snprintf(out->source, sizeof(out->source), "%s", what);
	s->kind = CRED_GIVEN;
	return 1;
}

static int no_keys(const struct cred_source *s, const struct store_call *call)
{
	return store_fail(call, -ENOENT,
			  "no keys: neither AWS_ACCESS_KEY_ID and "
			  "AWS_SECRET_ACCESS_KEY, nor profile \"%.30s\" in "
			  "%.60s or %.60s, and EC2 metadata is turned off",
			  s->name, s->files.credentials, s->files.config);
}

/* The profile's keys, or at least whether all is there that they take. */
static int begin_profile(struct cred_source *s, int64_t now_s,
			 const struct store_call *call, struct cred_keys *out)
{
	const struct cred_conf conf = conf_of(s, now_s);
	int rc;

	s->kind = CRED_PROFILE;
	if (cred_profile_is_static(s->profile)) {
		rc = cred_source_renew(s, 0, now_s, call, out);
		return rc == 0 ? 1 : rc;
	}
	cred_stamps_take(&s->seen, &s->files);
	return cred_profile_fetch(&conf, s->name, call, NULL);
}

static int copy_conf(struct cred_source *s,
		     const struct s3_credentials_conf *conf,
		     const struct store_call *call)
{
	const char *name = given(conf->profile);

	if (name == NULL)
		name = cred_env("AWS_PROFILE");
	if (name == NULL)
		name = "default";
	if (strlen(name) >= sizeof(s->name))
		return store_fail(call, -EINVAL,
				  "profile \"%.60s...\": %zu bytes are the "
				  "most",
				  name, sizeof(s->name) - 1);
	memcpy(s->name, name, strlen(name) + 1);
	cred_files_find(&s->files);
	if (given(conf->region) != NULL)
		s->region = strdup(conf->region);
	if (given(conf->ca_file) != NULL)
		s->ca_file = strdup(conf->ca_file);
	if ((given(conf->region) != NULL && s->region == NULL) ||
	    (given(conf->ca_file) != NULL && s->ca_file == NULL))
		return store_fail(call, -ENOMEM, "out of memory");
	return 0;
}

/* Nobody has given keys: who else?  `found`: whether there is the profile. */
static int other_source(struct cred_source *s, int found, int64_t now_s,
			const struct store_call *call, struct cred_keys *out)
{
	if (found && cred_profile_has_way(s->profile))
		return begin_profile(s, now_s, call, out);
	s->kind = container_configured() ? CRED_CONTAINER : CRED_IMDS;
	if (s->kind == CRED_IMDS && imds_disabled())
		return no_keys(s, call);
	return 0;
}

int cred_source_init(struct cred_source *s,
		     const struct s3_credentials_conf *conf, int64_t now_s,
		     const struct store_call *call, struct cred_keys *out)
{
	struct store_error why = { 0 };
	const struct store_call quiet = { .error = &why };
	const char *path;
	int direct;
	int rc;

	rc = copy_conf(s, conf, call);
	if (rc != 0)
		return rc;
	direct = conf->anonymous ? 0 : direct_keys(s, conf, call, out);
	if (direct < 0 && direct != -ENOENT)
		return direct;
	/* In any case, for its other settings, which are no necessity. */
	rc = cred_files_load(&s->files, s->name, &s->profile, &path, &quiet);
	if (direct >= 0)
		return direct;
	if (given(conf->profile) == NULL && cred_env("AWS_ROLE_ARN") != NULL &&
	    cred_env("AWS_WEB_IDENTITY_TOKEN_FILE") != NULL) {
		s->kind = CRED_WEB_IDENTITY;
		return 0;
	}
	if (rc == 0 || (rc == -ENOENT && given(conf->profile) == NULL &&
			cred_env("AWS_PROFILE") == NULL))
		return other_source(s, rc == 0, now_s, call, out);
	if (call->error != NULL)
		*call->error = why;
	return rc == -ENOENT ? -EINVAL : rc;
}

const char *cred_source_name(const struct cred_source *s)
{
	static const char *const names[] = {
		[CRED_ANONYMOUS] = "anonymous",
		[CRED_GIVEN] = "options",
		[CRED_WEB_IDENTITY] = "STS, for a web identity",
		[CRED_PROFILE] = "the profile",
		[CRED_CONTAINER] = "container credentials",
		[CRED_IMDS] = "EC2 metadata",
	};

	return names[s->kind];
}

void cred_source_clear(struct cred_source *s)
{
	profile_free(s->profile);
	free(s->region);
	free(s->ca_file);
}
