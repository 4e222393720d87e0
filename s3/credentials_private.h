#ifndef S3_CREDENTIALS_PRIVATE_H
#define S3_CREDENTIALS_PRIVATE_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "crypto/bytes.h"
#include "s3/credentials.h"
#include "s3/profile.h"
#include "s3/sigv4.h"
#include "s3/store.h"

/* What the sources of keys share; nobody else includes this. */

/* What a source gives. */
struct cred_keys {
	struct s3_keys keys;
	int64_t expires_s; /* by our clock; 0: never, as far as we know */
	int renewable; /* asked again, the source may give others */
	char source[S3_CREDENTIALS_SOURCE];
};

/* The two shared files. */
struct cred_files {
	char credentials[512], config[512];
};

/* What every source is told; borrowed. */
struct cred_conf {
	const char *region; /* or NULL */
	const char *ca_file; /* or NULL */
	const struct cred_files *files;
	int64_t now_s; /* by our clock */
};

/* The variable's value, or NULL if it is not set or empty. */
const char *cred_env(const char *name);

/*
 * Take keys into `out`; a token may be missing.  0; -ENOENT if there are
 * neither; -EINVAL: only a half, or what no key can be.  `what` is their
 * source, for the line.
 */
MUST_CHECK int cred_take(struct cred_keys *out, const char *what,
			 const char *const parts[3],
			 const struct store_call *call);

/* When keys end, as a source says it: "2013-05-24T00:00:00Z".  0 or -EIO. */
MUST_CHECK int cred_expiry(struct cred_keys *out, const char *what,
			   const char *text, const struct store_call *call);
/* 0; -EIO: they have ended already. */
MUST_CHECK int cred_current(const struct cred_keys *k, const char *what,
			    int64_t now_s, const struct store_call *call);

enum cred_form {
	CRED_FORM_PROCESS, /* Version 1, "SessionToken" */
	CRED_FORM_ENDPOINT, /* "Token" */
};

/*
 * What a JSON object has of keys, whose source is `what`; `text` is cleared.
 * 0, -EIO, -EINVAL, -ENOMEM.
 */
MUST_CHECK int cred_json(struct cred_keys *out, const char *what,
			 enum cred_form form, struct bytes *text,
			 const struct store_call *call);

/*
 * A small file, as of a token, without the line feeds at its end, NUL behind
 * it.  0; -EACCES, -ENOENT, -EIO, -EINVAL (what no header can have), -ENOMEM.
 */
MUST_CHECK int cred_file(struct bytes *out, const char *path,
			 const struct store_call *call);

/* Where a URL goes.  Borrowed from it. */
struct cred_url {
	int is_https;
	const char *host; /* with its port */
	size_t host_len;
	const char *path; /* "" or from its '/' on */
};

/* 0 or -EINVAL: http and https, nothing before or behind what is needed. */
MUST_CHECK int cred_url(struct cred_url *out, const char *url);

struct cred_request {
	const char *what; /* of whom, for messages */
	const char *method, *url;
	const struct sigv4_pair *headers; /* besides "host" */
	size_t headers_len;
	const struct bytes *body; /* or NULL */
	const char *ca_file; /* or NULL */
	unsigned timeout_s;
	int no_proxy;
};

struct cred_answer {
	int status;
	struct bytes body; /* bounded, NUL behind its `len` bytes */
};

/*
 * One exchange with an endpoint for keys.  0 whatever the status, and the
 * caller clears `out->body`; else as http_perform().
 */
MUST_CHECK int cred_http(const struct cred_request *req,
			 const struct store_call *call,
			 struct cred_answer *out);

/*
 * The sources.  0; -EAGAIN: not reached; -EINTR; anything else is permanent;
 * `call->error` has the line.
 */
MUST_CHECK int imds_fetch(const struct cred_conf *conf,
			  const struct store_call *call, struct cred_keys *out);
int imds_disabled(void);

MUST_CHECK int container_fetch(const struct cred_conf *conf,
			       const struct store_call *call,
			       struct cred_keys *out);
int container_configured(void);

/* Run `line`, the credential_process of profile `name`. */
MUST_CHECK int credential_process_fetch(const struct cred_conf *conf,
					const char *name, const char *line,
					const struct store_call *call,
					struct cred_keys *out);

/* Borrowed; NULL where not given, but for `arn`. */
struct sts_role {
	const char *arn, *session_name, *external_id, *duration_s;
	const char *token_file; /* of the web identity */
};

MUST_CHECK int sts_assume_role(const struct cred_conf *conf,
			       const struct sts_role *role,
			       const struct s3_keys *with,
			       const struct store_call *call,
			       struct cred_keys *out);
MUST_CHECK int sts_web_identity(const struct cred_conf *conf,
				const struct sts_role *role,
				const struct store_call *call,
				struct cred_keys *out);

void cred_files_find(struct cred_files *f);

/*
 * All that the two files have of profile `name`, and in which it is.  0;
 * -ENOENT: neither has it; -EINVAL: malformed; -EACCES, -EIO, -ENOMEM.
 */
MUST_CHECK int cred_files_load(const struct cred_files *f, const char *name,
			       struct profile **out, const char **path,
			       const struct store_call *call);

/* What a file that was not read since cannot have kept. */
struct cred_stamps {
	struct cred_stamp {
		dev_t dev;
		ino_t ino;
		off_t size;
		struct timespec mtime, ctime;
	} of[2];
	int unsettled; /* so new that another change may look the same */
};

void cred_stamps_take(struct cred_stamps *s, const struct cred_files *f);
int cred_stamps_same(const struct cred_stamps *a, const struct cred_stamps *b);

/* Does it say how to get keys, one way or another? */
int cred_profile_has_way(const struct profile *p);
/* Has it got the keys themselves, which nobody need be asked for? */
int cred_profile_is_static(const struct profile *p);

/*
 * The keys of profile `name`.  With `out` NULL only look whether all that it
 * names is there, without a network or a process.
 */
MUST_CHECK int cred_profile_fetch(const struct cred_conf *conf,
				  const char *name,
				  const struct store_call *call,
				  struct cred_keys *out);

enum cred_kind {
	CRED_ANONYMOUS,
	CRED_GIVEN, /* or from the environment: for good */
	CRED_WEB_IDENTITY,
	CRED_PROFILE,
	CRED_CONTAINER,
	CRED_IMDS,
};

/* Where keys come from, for as long as the mount lasts. */
struct cred_source {
	enum cred_kind kind;
	char name[64]; /* of the profile */
	char *region, *ca_file; /* as given, or NULL */
	struct cred_files files;
	struct profile *profile; /* for its other settings; or NULL */
	struct cred_stamps seen; /* the files, as they were read last */
};

/*
 * Zeroed it is given, and cleared by the caller in any case.  0; 1: there are
 * keys already, in `out`; else as s3_credentials_new().
 */
MUST_CHECK int cred_source_init(struct cred_source *s,
				const struct s3_credentials_conf *conf,
				int64_t now_s, const struct store_call *call,
				struct cred_keys *out);
void cred_source_clear(struct cred_source *s);

/*
 * Are its files as they were when it was asked last?  `renewable`, of the keys
 * that it gave then: one that costs a question is not asked on a suspicion.
 */
int cred_source_is_same(struct cred_source *s, int renewable);

/* Ask it for keys; `had_keys` of it before.  0, or as the sources above. */
MUST_CHECK int cred_source_renew(struct cred_source *s, int had_keys,
				 int64_t now_s, const struct store_call *call,
				 struct cred_keys *out);
/* What it is, before it has given any. */
const char *cred_source_name(const struct cred_source *s);

#endif
