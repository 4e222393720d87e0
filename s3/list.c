/* Listing over S3, page after page. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/client_private.h"
#include "s3/error.h"

#define PAGE_MAX 1000 /* keys that S3 gives at once */

struct listing {
	struct s3 *s;
	const struct store_list *what;
	const struct store_call *call;
	store_list_fn *fn;
	void *fn_arg;
	unsigned given;
	unsigned version; /* of ListObjects; 0, not known, is 2 */
	char *token; /* of the page to come; NULL: go by `after` */
	char after[STORE_KEY_MAX + 8];
	int last_is_prefix;
	char last[STORE_KEY_MAX + 1]; /* given so far; "" for none */
};

static int page_fetch(struct listing *l, struct result_list *page)
{
	struct s3_request req = { .method = "GET",
				  .counter = &l->s->count.list };
	const struct store_list *what = l->what;
	unsigned want = PAGE_MAX;
	struct s3_answer answer;
	char max[16];
	int tries;
	int rc;

	if (what->max != 0 && what->max - l->given < want)
		want = what->max - l->given;
	(void)snprintf(max, sizeof(max), "%u", want);
	if (l->version != 1)
		s3_query(&req, "list-type", "2");
	s3_query(&req, "encoding-type", "url");
	s3_query(&req, "max-keys", max);
	s3_query(&req, "prefix", what->prefix);
	if (what->shallow)
		s3_query(&req, "delimiter", "/");
	if (l->token != NULL)
		s3_query(&req, "continuation-token", l->token);
	else if (l->after[0] != '\0')
		s3_query(&req, l->version != 1 ? "start-after" : "marker",
			 l->after);
	for (tries = 0;; tries++) {
		rc = s3_send(l->s, &req, l->call, &answer);
		if (rc != 0)
			return rc;
		rc = s3_hidden_error(l->s, &req, &answer, l->call);
		if (rc == 0)
			rc = result_list(page, answer.body.data,
					 answer.body.len);
		else
			memset(page, 0, sizeof(*page));
		s3_answer_clear(&answer);
		if (rc == 0)
			return 0;
		result_list_clear(page);
		/* Cut, or damaged on the way? */
		if (rc != -EIO || tries > 0)
			break;
	}
	return rc != -EIO ? rc
			  : store_fail(l->call, rc,
				       "a listing of bucket \"%.63s\" at %.80s "
				       "cannot be read",
				       l->s->bucket, l->s->name);
}

/* Below the prefix, and a prefix itself only where such were wanted. */
static int is_asked_for(const struct store_list *what,
			const struct result_entry *e)
{
	size_t len = strlen(what->prefix);
	size_t key = strlen(e->key);

	if (strncmp(e->key, what->prefix, len) != 0)
		return 0;
	return !e->is_prefix ||
	       (what->shallow && key > len && e->key[key - 1] == '/');
}

static int give(struct listing *l, const struct result_entry *e)
{
	struct store_stat st = { .len = e->len, .mtime = e->mtime };
	int order = strcmp(e->key, l->last);

	/* As head() has it: one object must not have two times. */
	st.mtime.tv_nsec = 0;

	/* Callers take it for what they have asked for. */
	if (!is_asked_for(l->what, e))
		return store_fail(l->call, -EIO,
				  "%.80s lists in bucket \"%.63s\" what was "
				  "not asked for: \"%.60s\"",
				  l->s->name, l->s->bucket, e->key);

	/* Below `after`, and a prefix that two pages share. */
	if (l->what->after != NULL && strcmp(e->key, l->what->after) <= 0)
		return 0;
	if (l->last[0] != '\0' && order == 0)
		return 0;
	/* Callers merge lists, and go on behind the last key. */
	if (order < 0)
		return store_fail(l->call, -EIO,
				  "%.80s lists bucket \"%.63s\" out of order",
				  l->s->name, l->s->bucket);
	memcpy(l->last, e->key, strlen(e->key) + 1);
	l->last_is_prefix = e->is_prefix;
	memcpy(st.etag, e->etag, sizeof(st.etag));
	l->given++;
	return l->fn(l->fn_arg, e->key, e->is_prefix ? NULL : &st,
		     e->is_prefix);
}

static int is_full(const struct listing *l)
{
	return l->what->max != 0 && l->given >= l->what->max;
}

/* The last character of Unicode, behind any key below a prefix. */
#define LAST_CHAR "\xf4\x8f\xbf\xbf"

/* What comes behind this page; -EIO for a token that leads nowhere. */
static int token_take(struct listing *l, struct result_list *page)
{
	if ((page->token_is_lost || l->version == 1) && page->len > 0 &&
	    l->last[0] != '\0') {
		(void)snprintf(l->after, sizeof(l->after), "%s%s", l->last,
			       l->last_is_prefix ? LAST_CHAR : "");
		free(l->token);
		l->token = NULL;
		return 0;
	}
	if (page->token == NULL ||
	    (l->token != NULL && strcmp(page->token, l->token) == 0))
		return store_fail(l->call, -EIO,
				  "%.80s does not say how a listing of bucket "
				  "\"%.63s\" goes on",
				  l->s->name, l->s->bucket);
	free(l->token);
	l->token = page->token;
	page->token = NULL;
	return 0;
}

int s3_list(struct store *store, const struct store_list *what,
	    const struct store_call *call, store_list_fn *fn, void *fn_arg)
{
	struct listing *l;
	int more = 1;
	int rc = 0;

	call = call != NULL ? call : &store_call_none;
	if (strlen(what->prefix) > STORE_KEY_MAX)
		return 0;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return store_fail(call, -ENOMEM, "out of memory");
	l->s = s3_of(store);
	l->version = s3_caps(l->s).list_version;
	l->what = what;
	l->call = call;
	l->fn = fn;
	l->fn_arg = fn_arg;
	if (what->after != NULL)
		(void)snprintf(l->after, sizeof(l->after), "%s", what->after);
	while (rc == 0 && more && !is_full(l)) {
		struct result_list page;
		size_t i;

		rc = page_fetch(l, &page);
		if (rc != 0)
			break;
		for (i = 0; i < page.len && rc == 0 && !is_full(l); i++)
			rc = give(l, &page.entries[i]);
		more = page.is_truncated;
		if (rc == 0 && more)
			rc = token_take(l, &page);
		result_list_clear(&page);
	}
	free(l->token);
	free(l);
	return rc;
}
