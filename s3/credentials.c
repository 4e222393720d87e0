/* When the source of keys is asked, and by whom. */
#include "s3/credentials.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "s3/credentials_private.h"
#include "s3/deadline.h"
#include "s3/error.h"

#define EARLY_S   300 /* keys are replaced so long before they end */
#define AGAIN_MS  15000 /* between tries to replace keys that still hold */
#define JITTER_MS 5000 /* and up to this, not all mounts at once */
#define FAIL_MS   1000 /* a failure is the answer to all who ask so soon */
#define LOOK_MS   1000 /* between looks at the files */
#define POLL_MS   200 /* between looks at `cancel` */
#define FETCH_MS  60000 /* a source that takes longer has failed */
#define SPARE_MS  2000 /* the most that who has keys waits for newer ones */

struct s3_credentials {
	/* Nothing of this changes once it is made. */
	int64_t (*clock_ms)(void *arg, clockid_t id);
	void *clock_arg;

	/* Only who has set `is_busy` has it changed. */
	struct cred_source source;
	atomic_int is_closing;

	pthread_mutex_t mutex; /* all below; not held while a source is asked */
	pthread_cond_t done; /* `is_busy` is 0 again */
	int is_busy;
	/* Asks the source, for as long as that takes whoever waits. */
	pthread_t thread;
	int has_thread; /* to be joined */
	uint64_t fetch_ms; /* when it began; clock_ms() */
	int has_keys;
	int is_refused; /* the server does not take them any more */
	int is_doubted; /* it may not: ask the source, once */
	struct cred_keys now;
	int64_t got_ms; /* monotonic, as all of these */
	int64_t next_try_ms, next_look_ms;
	int64_t failed_until_ms; /* until then this is the answer: */
	int failed_rc;
	struct store_error failed;
};

/* What is to be done before keys are given out. */
enum need {
	NEED_NOTHING,
	NEED_LOOK, /* whether the files have changed */
	NEED_FETCH,
};

static int64_t system_ms(void *arg, clockid_t id)
{
	struct timespec t;

	(void)arg;
	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t mono_ms(const struct s3_credentials *c)
{
	return c->clock_ms(c->clock_arg, CLOCK_MONOTONIC);
}

static int64_t wall_s(const struct s3_credentials *c)
{
	return c->clock_ms(c->clock_arg, CLOCK_REALTIME) / 1000;
}

static int is_valid(const struct s3_credentials *c)
{
	return c->has_keys && !c->is_refused &&
	       (c->now.expires_s == 0 || c->now.expires_s > wall_s(c));
}

static enum need need_of(const struct s3_credentials *c)
{
	int64_t mono = mono_ms(c);

	if (c->source.kind == CRED_GIVEN)
		return NEED_NOTHING;
	if (!is_valid(c) || c->is_doubted)
		return NEED_FETCH;
	if (c->now.expires_s != 0 && c->now.expires_s - wall_s(c) <= EARLY_S &&
	    mono >= c->next_try_ms)
		return NEED_FETCH;
	if (c->source.kind == CRED_PROFILE && mono >= c->next_look_ms)
		return NEED_LOOK;
	return NEED_NOTHING;
}

/* Locked.  Until somebody is done, or for a while.  0, -EINTR, -EAGAIN. */
static int wait_for(struct s3_credentials *c, const struct store_call *call)
{
	int cancelled;

	/* Unlocked, as this is the caller's own code. */
	pthread_mutex_unlock(&c->mutex);
	cancelled = store_cancelled(call);
	pthread_mutex_lock(&c->mutex);
	if (cancelled)
		return store_fail(call, -EINTR, "interrupted");
	if (!c->is_busy)
		return 0;
	if (deadline_left_ms(call->deadline) == 0)
		return store_again(call, ETIMEDOUT,
				   "%s \"%s\": it is asked for new keys, and "
				   "has not answered yet",
				   cred_source_name(&c->source),
				   c->source.name);
	clock_cond_wait(&c->done, &c->mutex, POLL_MS);
	return 0;
}

static int64_t jitter_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_nsec / 1000 % JITTER_MS;
}

static int is_over(void *arg)
{
	struct s3_credentials *c = arg;

	return atomic_load(&c->is_closing) ||
	       clock_ms() - c->fetch_ms > FETCH_MS;
}

/* Ask the source.  `is_busy` is ours, so nobody else changes what is read. */
static void *fetch(void *arg)
{
	struct s3_credentials *c = arg;
	struct store_error why = { 0 };
	const struct store_call call = { .cancel = is_over,
					 .cancel_arg = c,
					 .error = &why };
	struct cred_keys got = { .expires_s = 0 };
	int rc;

	rc = cred_source_renew(&c->source, c->has_keys, wall_s(c), &call, &got);
	if (rc == -ENOENT)
		rc = -EACCES; /* the other one means: anonymous */
	if (rc == -EINTR)
		rc = store_again(&call, ETIMEDOUT, "%s: no keys within %d s",
				 cred_source_name(&c->source), FETCH_MS / 1000);
	pthread_mutex_lock(&c->mutex);
	if (rc == 0) {
		c->now = got;
		c->has_keys = 1;
		c->is_refused = 0;
		c->got_ms = mono_ms(c);
		c->failed_rc = 0;
	} else {
		c->failed_until_ms = mono_ms(c) + FAIL_MS;
		c->failed_rc = rc;
		c->failed = why;
	}
	c->is_busy = 0;
	pthread_cond_broadcast(&c->done);
	pthread_mutex_unlock(&c->mutex);
	bytes_wipe(&got, sizeof(got));
	return NULL;
}

/* Locked.  Who has asked before is done: it has only to be cleared away. */
static void join_thread(struct s3_credentials *c)
{
	if (c->has_thread)
		(void)pthread_join(c->thread, NULL);
	c->has_thread = 0;
}

/* Locked.  Begin to ask the source. */
static void begin_fetch(struct s3_credentials *c)
{
	sigset_t all, was;

	c->is_busy = 1;
	c->is_doubted = 0;
	c->next_look_ms = mono_ms(c) + LOOK_MS;
	c->next_try_ms = mono_ms(c) + AGAIN_MS + jitter_ms();
	c->fetch_ms = clock_ms();
	join_thread(c);
	/* Signals are for threads that know what to do with them. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &was);
	c->has_thread = pthread_create(&c->thread, NULL, fetch, c) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (c->has_thread)
		return;
	pthread_mutex_unlock(&c->mutex);
	(void)fetch(c);
	pthread_mutex_lock(&c->mutex);
}

/* Locked, and unlocked meanwhile.  Have the files changed? */
static int look(struct s3_credentials *c)
{
	int same;

	c->is_busy = 1;
	c->next_look_ms = mono_ms(c) + LOOK_MS;
	pthread_mutex_unlock(&c->mutex);
	same = cred_source_is_same(&c->source, c->now.renewable);
	pthread_mutex_lock(&c->mutex);
	c->is_busy = 0;
	pthread_cond_broadcast(&c->done);
	return !same;
}

/* Locked.  As s3_credentials_get(). */
static int get_locked(struct s3_credentials *c, const struct store_call *call)
{
	uint64_t start = clock_ms();
	int has_begun = 0; /* this caller, and others may have by now */
	enum need need;
	int waits;
	int rc;

	for (;;) {
		need = need_of(c);
		waits = has_begun && c->is_busy &&
			clock_ms() - start <= SPARE_MS;
		/* Old keys are better than none. */
		if (!waits &&
		    (need == NEED_NOTHING || (is_valid(c) && c->is_busy)))
			return 0;
		if (!is_valid(c) && c->failed_rc != 0 &&
		    mono_ms(c) < c->failed_until_ms) {
			if (call->error != NULL)
				*call->error = c->failed;
			return c->failed_rc;
		}
		if (!c->is_busy && (need == NEED_FETCH || look(c))) {
			begin_fetch(c);
			has_begun = 1;
		}
		rc = c->is_busy ? wait_for(c, call) : 0;
		if (rc != 0)
			return rc == -EAGAIN && is_valid(c) ? 0 : rc;
	}
}

int s3_credentials_get(struct s3_credentials *c, const struct store_call *call,
		       struct s3_keys *out)
{
	int rc;

	if (call == NULL)
		call = &store_call_none;
	if (c->source.kind == CRED_ANONYMOUS)
		return -ENOENT;
	pthread_mutex_lock(&c->mutex);
	rc = get_locked(c, call);
	if (rc == 0)
		*out = c->now.keys;
	pthread_mutex_unlock(&c->mutex);
	return rc;
}

static int keys_same(const struct s3_keys *a, const struct s3_keys *b)
{
	return strcmp(a->access_key, b->access_key) == 0 &&
	       strcmp(a->secret_key, b->secret_key) == 0 &&
	       strcmp(a->session_token, b->session_token) == 0;
}

/* What a server says of keys that have ended, and of keys that it never had. */
static int is_ended(const char *code)
{
	return strcmp(code, "ExpiredToken") == 0 ||
	       strcmp(code, "ExpiredTokenException") == 0 ||
	       strcmp(code, "TokenRefreshRequired") == 0 ||
	       strcmp(code, "InvalidToken") == 0;
}

static int is_unknown(const char *code)
{
	return strcmp(code, "InvalidAccessKeyId") == 0 ||
	       strcmp(code, "SignatureDoesNotMatch") == 0;
}

/* Locked.  Has this answer anything to do with the age of the keys? */
static int doubt(struct s3_credentials *c, const struct s3_keys *used,
		 int status, const char *code)
{
	int may_ask = c->now.renewable && mono_ms(c) - c->got_ms >= AGAIN_MS;

	c->next_look_ms = 0;
	if (may_ask && is_ended(code))
		c->is_refused = 1;
	/* Keys without an end may have been replaced at any time. */
	if (may_ask && is_unknown(code) && c->now.expires_s == 0)
		c->is_doubted = 1;
	/* The answer to a HEAD has no code, and S3's to an old token is 400. */
	if (may_ask && *code == '\0' && status == 400 &&
	    used->session_token[0] != '\0')
		c->is_doubted = 1;
	return c->is_refused || c->is_doubted || c->source.kind == CRED_PROFILE;
}

int s3_credentials_expired(struct s3_credentials *c, const struct s3_keys *used,
			   int status, const char *code,
			   const struct store_call *call)
{
	const struct store_call quiet = { .cancel = call->cancel,
					  .cancel_arg = call->cancel_arg,
					  .deadline = call->deadline };
	struct s3_keys fresh;
	int may_help;
	int rc;

	if (c->source.kind == CRED_ANONYMOUS || c->source.kind == CRED_GIVEN ||
	    status / 100 != 4 ||
	    (*code != '\0' && !is_ended(code) && !is_unknown(code)) ||
	    (*code == '\0' && status != 400 && status != 403))
		return 0;
	pthread_mutex_lock(&c->mutex);
	may_help = !keys_same(&c->now.keys, used);
	if (may_help) {
		pthread_mutex_unlock(&c->mutex);
		return 1;
	}
	may_help = doubt(c, used, status, code);
	/* Who is at it already will have the answer, and not the old keys. */
	while (may_help && c->is_busy && wait_for(c, &quiet) == 0)
		;
	pthread_mutex_unlock(&c->mutex);
	if (!may_help)
		return 0;
	rc = s3_credentials_get(c, &quiet, &fresh);
	if (rc != 0)
		return 1; /* and the next try says why */
	rc = !keys_same(&fresh, used);
	bytes_wipe(&fresh, sizeof(fresh));
	return rc;
}

static struct s3_credentials *make(void)
{
	struct s3_credentials *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	if (pthread_mutex_init(&c->mutex, NULL) != 0)
		goto free_credentials;
	if (clock_cond_init(&c->done) != 0)
		goto destroy_mutex;
	return c;

destroy_mutex:
	pthread_mutex_destroy(&c->mutex);
free_credentials:
	free(c);
	return NULL;
}

int s3_credentials_new(struct s3_credentials **out,
		       const struct s3_credentials_conf *conf,
		       struct store_error *error)
{
	const struct store_call call = { .error = error };
	struct s3_credentials *c = make();
	int rc;

	if (c == NULL)
		return store_fail(&call, -ENOMEM, "out of memory");
	c->clock_ms = conf->clock_ms != NULL ? conf->clock_ms : system_ms;
	c->clock_arg = conf->clock_arg;
	rc = cred_source_init(&c->source, conf, wall_s(c), &call, &c->now);
	if (rc < 0) {
		s3_credentials_free(c);
		return rc;
	}
	c->has_keys = rc;
	*out = c;
	return 0;
}

int s3_credentials_setting(struct s3_credentials *c, const char *name,
			   char *out, size_t cap)
{
	const struct profile *p = c->source.profile;
	const char *value = p != NULL ? profile_get(p, name) : NULL;

	if (value == NULL)
		return -ENOENT;
	if (strlen(value) >= cap)
		return -ERANGE;
	memcpy(out, value, strlen(value) + 1);
	return 0;
}

void s3_credentials_source(struct s3_credentials *c,
			   char out[S3_CREDENTIALS_SOURCE])
{
	pthread_mutex_lock(&c->mutex);
	(void)snprintf(out, S3_CREDENTIALS_SOURCE, "%s",
		       c->has_keys ? c->now.source
				   : cred_source_name(&c->source));
	pthread_mutex_unlock(&c->mutex);
}

void s3_credentials_free(struct s3_credentials *c)
{
	if (c == NULL)
		return;
	atomic_store(&c->is_closing, 1);
	join_thread(c);
	cred_source_clear(&c->source);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->mutex);
	bytes_wipe(c, sizeof(*c));
	free(c);
}
