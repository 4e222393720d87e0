/* A store over another, which repeats what may be worth it. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "s3/client.h"
#include "s3/deadline.h"
#include "s3/errand.h"
#include "s3/error.h"
#include "s3/outcome.h"

/*
 * Bytes that an attempt has to bring before it broke off for the next to be the
 * first again: a server that never gets far must not keep us for ever.
 */
#define HEADWAY ((uint64_t)1 << 20)

struct retry {
	struct store store; /* first: this is what callers hold */
	struct store *below;
	unsigned retries;
	uint64_t limit_ms;
	struct retry_budget *budget;
	void (*on_retry)(void *arg, const char *verb, const char *key,
			 const struct store_error *why, unsigned attempt);
	void *on_retry_arg;
	pthread_mutex_t mutex;
	uint64_t repeated;
};

static struct retry *retry_of(struct store *s)
{
	return (struct retry *)(void *)s;
}

/* The tries of one operation. */
struct tries {
	struct retry *r;
	const char *verb, *key;
	const struct store_call *caller;
	struct store_call call; /* as given below: `error`, `deadline` */
	struct deadline deadline;
	struct store_error error;
	unsigned attempt; /* since something was last achieved */
	int lost; /* an answer was: the operation may have taken effect */
};

static void tries_init(struct tries *t, struct store *s, const char *verb,
		       const char *key, const struct store_call *call)
{
	uint64_t limit;

	memset(t, 0, sizeof(*t));
	t->r = retry_of(s);
	t->verb = verb;
	t->key = key;
	t->caller = call != NULL ? call : &store_call_none;
	t->call = *t->caller;
	t->call.error = &t->error;
	t->call.deadline = errand_operation(t->r->limit_ms, t->r->budget);
	if (t->call.deadline != NULL && !t->call.optional) {
		deadline_restart(t->call.deadline);
		return;
	}
	/* What can be done without leaves time to do it without. */
	limit = t->r->limit_ms;
	if (t->call.optional && limit != 0) {
		limit /= 2;
		if (limit > deadline_left_ms(t->call.deadline) / 2)
			limit = deadline_left_ms(t->call.deadline) / 2 + 1;
	}
	deadline_init(&t->deadline, limit, t->r->budget);
	t->call.deadline = &t->deadline;
}

/* What the caller gets of an error that was worth repeating. */
static int tries_spent(const struct tries *t)
{
	int cause = t->error.cause;

	if (cause == 0 || cause == EAGAIN)
		return -EIO;
	/* Waited for in vain: that it was not to be reached is in the line. */
	if (cause == EHOSTUNREACH && deadline_left_ms(t->call.deadline) < 1000)
		return -ETIMEDOUT;
	return -cause;
}

static int is_condition(int rc)
{
	return rc == -ESTALE || rc == -EEXIST;
}

/*
 * Is there to be another try after `rc`?  Waits if so.  If not, `*rc` is what
 * the caller gets.
 */
static int tries_again(struct tries *t, int *rc)
{
	struct retry *r = t->r;
	int wait;

	if (*rc != -EAGAIN) {
		if (*rc == -EINTR)
			return 0;
		/* Nothing that the server has said. */
		if (*rc != 0 && *rc != -ENOENT && !is_condition(*rc) &&
		    t->error.http_status == 0)
			return 0;
		/* An answer, whatever it is. */
		retry_budget_success(r->budget);
		deadline_moved(t->call.deadline);
		return 0;
	}
	t->lost = 1;
	t->attempt++;
	if (t->attempt > r->retries) {
		*rc = tries_spent(t);
		return 0;
	}
	if (r->on_retry != NULL)
		r->on_retry(r->on_retry_arg, t->verb, t->key, &t->error,
			    t->attempt);
	wait = deadline_backoff(t->attempt, &t->error, &t->call);
	if (wait != 0) {
		*rc = wait == -ETIMEDOUT ? tries_spent(t) : wait;
		return 0;
	}
	pthread_mutex_lock(&r->mutex);
	r->repeated++;
	pthread_mutex_unlock(&r->mutex);
	memset(&t->error, 0, sizeof(t->error));
	return 1;
}

static int tries_end(struct tries *t, int rc)
{
	errand_operation_over();
	if (rc != 0 && rc != -ENOENT && rc != -ESTALE && rc != -EEXIST &&
	    rc != -EINTR)
		errand_failed(t->verb, t->key, rc, &t->error);
	if (rc != 0 && t->caller->error != NULL)
		*t->caller->error = t->error;
	return rc;
}

static int retry_check(struct store *s, const struct store_call *call)
{
	struct tries t;
	int rc;

	tries_init(&t, s, "check", "", call);
	do {
		rc = t.r->below->ops->check(t.r->below, &t.call);
		/* Somebody waits for the answer: a dead endpoint is one. */
		if (rc == -EAGAIN && t.error.http_status == 0)
			rc = tries_spent(&t);
	} while (tries_again(&t, &rc));
	return tries_end(&t, rc);
}

static int retry_head(struct store *s, const char *key,
		      const struct store_call *call, struct store_stat *out)
{
	struct tries t;
	int rc;

	tries_init(&t, s, "head", key, call);
	do
		rc = t.r->below->ops->head(t.r->below, key, &t.call, out);
	while (tries_again(&t, &rc));
	return tries_end(&t, rc);
}

/* What stands between the store below and the caller's sink. */
struct taken {
	store_sink_fn *sink;
	void *arg;
	uint64_t done; /* bytes */
	int rc; /* the sink's own error, whatever its number */
};

static int take(void *arg, const void *data, size_t len)
{
	struct taken *k = arg;

	k->rc = k->sink(k->arg, data, len);
	if (k->rc == 0)
		k->done += len;
	return k->rc;
}

/*
 * Make the next try go on behind what was given, with the same version.
 * Non-zero if that cannot be.
 */
static int pin(struct tries *t, char etag[STORE_ETAG_MAX])
{
	if (t->call.if_match != NULL)
		return 0;
	if (t->error.etag[0] == '\0')
		return -1;
	memcpy(etag, t->error.etag, STORE_ETAG_MAX);
	t->call.if_match = etag;
	return 0;
}

/* NOLINTNEXTLINE(readability-function-size): store_ops has eight, too */
static int retry_get(struct store *s, const char *key, uint64_t off,
		     uint64_t len, const struct store_call *call,
		     store_sink_fn *sink, void *sink_arg,
		     struct store_stat *out)
{
	char etag[STORE_ETAG_MAX];
	struct tries t;
	struct taken k = { sink, sink_arg, 0, 0 };
	uint64_t before;
	int rc;

	if (len == 0)
		return 0;
	tries_init(&t, s, "get", key, call);
	do {
		struct store *below = t.r->below;

		before = k.done;
		if (k.done == len)
			/* Only the end of the answer was missing. */
			rc = out == NULL ? 0
					 : below->ops->head(below, key, &t.call,
							    out);
		else
			rc = below->ops->get(below, key, off + k.done,
					     len - k.done, &t.call, take, &k,
					     out);
		if (k.rc != 0)
			return tries_end(&t, k.rc);
		if (rc == -EAGAIN && k.done > before) {
			/* It came on, so this was no failure in a row. */
			if (k.done - before >= HEADWAY) {
				t.attempt = 0;
				deadline_restart(t.call.deadline);
				deadline_moved(t.call.deadline);
			}
			if (pin(&t, etag) != 0 && k.done < len) {
				rc = store_fail(&t.call, -EIO,
						"\"%.80s\" broke off, and has "
						"no ETag to go on by",
						key);
				break;
			}
		}
	} while (tries_again(&t, &rc));
	return tries_end(&t, rc);
}

static int retry_put(struct store *s, const char *key,
		     const struct store_source *src,
		     const struct store_head *head,
		     const struct store_call *call, struct store_stat *out)
{
	const struct outcome_sent sent = {
		.len = src->len,
		.meta = head != NULL ? head->meta : NULL,
		.src = src,
	};
	struct tries t;
	int rc;

	tries_init(&t, s, "put", key, call);
	do
		rc = t.r->below->ops->put(t.r->below, key, src, head, &t.call,
					  out);
	while (tries_again(&t, &rc));
	/* The one that stands in the way may be our own earlier try. */
	if (t.lost && is_condition(rc) &&
	    outcome_is_ours(t.r->below, key, &sent, &t.call, out))
		rc = 0;
	return tries_end(&t, rc);
}

/* Does `to` look like the copy that was asked for? */
static int copy_is_done(struct tries *t, const char *from, const char *to,
			const struct store_head *head, struct store_stat *out)
{
	struct store *below = t->r->below;
	struct store_call plain = { .cancel = t->call.cancel,
				    .cancel_arg = t->call.cancel_arg,
				    .deadline = t->call.deadline };
	struct store_stat source;
	struct outcome_sent sent = { 0 };

	if (below->ops->head(below, from, &plain, &source) != 0)
		return 0;
	sent.len = source.len;
	sent.meta = head != NULL ? head->meta : &source.meta;
	return outcome_is_ours(below, to, &sent, &t->call, out);
}

static int retry_copy(struct store *s, const char *from, const char *to,
		      const struct store_head *head,
		      const struct store_call *call, struct store_stat *out)
{
	struct store_stat done;
	struct tries t;
	int rc;

	tries_init(&t, s, "copy", to, call);
	do
		rc = t.r->below->ops->copy(t.r->below, from, to, head, &t.call,
					   out);
	while (tries_again(&t, &rc));
	if (t.lost && is_condition(rc) &&
	    copy_is_done(&t, from, to, head, &done)) {
		if (out != NULL)
			memcpy(out->etag, done.etag, sizeof(out->etag));
		rc = 0;
	}
	return tries_end(&t, rc);
}

static int retry_remove(struct store *s, const char *key,
			const struct store_call *call)
{
	struct tries t;
	int rc;

	tries_init(&t, s, "remove", key, call);
	do
		/* Of what an earlier try removed: 0 as well. */
		rc = t.r->below->ops->remove(t.r->below, key, &t.call);
	while (tries_again(&t, &rc));
	return tries_end(&t, rc);
}

/* What stands between the store below and the caller's function. */
struct listed {
	store_list_fn *fn;
	void *arg;
	unsigned given;
	int rc; /* the function's own */
	char last[STORE_KEY_MAX + 1]; /* given so far; "" for nothing */
	struct deadline *deadline;
};

static int list_entry(void *arg, const char *key, const struct store_stat *st,
		      int is_prefix)
{
	struct listed *l = arg;
	size_t len = strlen(key);

	/* Given by an earlier try. */
	if (len == 0 || len > STORE_KEY_MAX ||
	    (l->last[0] != '\0' && strcmp(key, l->last) <= 0))
		return 0;
	l->rc = l->fn(l->arg, key, st, is_prefix);
	memcpy(l->last, key, len + 1);
	l->given++;
	deadline_moved(l->deadline);
	return l->rc;
}

static int retry_list(struct store *s, const struct store_list *what,
		      const struct store_call *call, store_list_fn *fn,
		      void *fn_arg)
{
	struct store_list rest = *what;
	struct listed *l;
	struct tries t;
	unsigned before;
	int rc;

	tries_init(&t, s, "list", what->prefix, call);
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return tries_end(&t,
				 store_fail(&t.call, -ENOMEM, "out of memory"));
	l->fn = fn;
	l->arg = fn_arg;
	l->deadline = t.call.deadline;
	do {
		before = l->given;
		if (l->given > 0)
			rest.after = l->last;
		if (what->max != 0)
			rest.max = what->max - l->given;
		rc = what->max != 0 && l->given >= what->max
			     ? 0
			     : t.r->below->ops->list(t.r->below, &rest, &t.call,
						     list_entry, l);
		if (l->rc != 0) {
			rc = l->rc;
			break;
		}
		if (rc == -EAGAIN && l->given > before)
			t.attempt = 0;
	} while (tries_again(&t, &rc));
	free(l);
	return tries_end(&t, rc);
}

static int retry_probe(struct store *s, const char *prefix,
		       const struct store_call *call)
{
	struct tries t;
	int rc;

	tries_init(&t, s, "probe", prefix, call);
	do
		rc = t.r->below->ops->probe(t.r->below, prefix, &t.call);
	while (tries_again(&t, &rc));
	return tries_end(&t, rc);
}

static void retry_caps(struct store *s, struct store_caps *out)
{
	struct retry *r = retry_of(s);

	r->below->ops->caps(r->below, out);
}

static void retry_count(struct store *s, struct store_counters *out)
{
	struct retry *r = retry_of(s);

	store_count(r->below, out);
	pthread_mutex_lock(&r->mutex);
	out->retries += r->repeated;
	pthread_mutex_unlock(&r->mutex);
}

static void retry_free(struct store *s)
{
	struct retry *r = retry_of(s);

	if (s == NULL)
		return;
	r->below->ops->free(r->below);
	retry_budget_free(r->budget);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

int s3_retry_new(struct store **out, struct store *below,
		 const struct s3_conf *conf)
{
	static const struct store_ops ops = {
		.check = retry_check,
		.head = retry_head,
		.get = retry_get,
		.put = retry_put,
		.copy = retry_copy,
		.remove = retry_remove,
		.list = retry_list,
		.probe = retry_probe,
		.caps = retry_caps,
		.count = retry_count,
		.free = retry_free,
	};
	struct retry *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	if (retry_budget_new(&r->budget) != 0)
		goto free_retry;
	if (pthread_mutex_init(&r->mutex, NULL) != 0)
		goto free_budget;
	r->store.ops = &ops;
	r->below = below;
	r->retries = conf->retries;
	r->limit_ms = (uint64_t)conf->timeout_s * 1000;
	r->on_retry = conf->on_retry;
	r->on_retry_arg = conf->on_retry_arg;
	*out = &r->store;
	return 0;

free_budget:
	retry_budget_free(r->budget);
free_retry:
	free(r);
	return -ENOMEM;
}
