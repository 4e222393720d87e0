/* put, copy and remove over S3. */
#include <errno.h>
#include <string.h>

#include "s3/client_private.h"
#include "s3/error.h"

/* Is what this call asks for kept well enough by Complete? */
static int parts_will_do(struct s3 *s, const struct store_call *call)
{
	struct store_caps caps = s3_caps(s);

	return s->look_will_do ||
	       ((call->if_match == NULL || caps.complete_if_match) &&
		(!call->if_absent || caps.complete_if_absent));
}

/* What comes behind a PUT that was answered with success. */
static int put_check(struct s3 *s, const struct s3_request *req,
		     const struct s3_digests *sent,
		     const struct s3_answer *answer,
		     const struct store_stat *st, const struct store_call *call)
{
	struct store_caps caps = s3_caps(s);
	int rc = s3_hidden_error(s, req, answer, call);

	if (rc != 0 || caps.checks_sha256 || !s3_is_probed(s))
		return rc;
	if (s3_is_damaged(sent, st->etag))
		return s3_damaged(call, st->etag,
				  "\"%.80s\" was damaged on its way to %.80s",
				  req->key, s->name);
	return sent->md5[0] != '\0'
		       ? 0
		       : s3_stored_check(s, req->key, req->body_len, st->etag,
					 call);
}

static int put_send(struct s3 *s, struct s3_request *req,
		    const struct s3_digests *sent,
		    const struct store_call *call, struct store_stat *out)
{
	struct s3_answer answer;
	struct store_stat st;
	int rc;

	rc = s3_send(s, req, call, &answer);
	if (rc != 0)
		return rc;
	s3_stat_parse(&st, &answer.http);
	rc = put_check(s, req, sent, &answer, &st, call);
	if (rc == 0 && out != NULL) {
		out->len = req->body_len;
		memcpy(out->etag, st.etag, sizeof(out->etag));
		out->date_s = st.date_s;
	}
	s3_answer_clear(&answer);
	return rc;
}

static int put_once(struct s3 *s, const char *key,
		    const struct store_source *src,
		    const struct store_head *head,
		    const struct store_call *call, struct store_stat *out)
{
	struct store_caps caps = s3_caps(s);
	struct s3_conditions how =
		s3_conditions(s, call, caps.put_if_match, caps.put_if_absent);
	struct s3_request req = { .method = "PUT",
				  .key = key,
				  .counter = &s->count.put,
				  .body = src,
				  .body_len = src->len };
	char etag[STORE_ETAG_MAX + 2];
	struct s3_digests digests;
	int rc;

	rc = s3_hash(s, &digests, src, 0, src->len, call);
	if (rc != 0)
		return rc;
	req.body_sha256 = digests.sha256;
	s3_describe(&req, head);
	s3_object_headers(s, &req, S3_CREATES);
	if (how.send && call->if_match != NULL) {
		s3_etag_header(s, etag, call->if_match, 1);
		s3_header(&req, "if-match", etag);
	}
	if (how.send && call->if_absent)
		s3_header(&req, "if-none-match", "*");
	/* Sent twice unnoticed, it would fail on its own success. */
	req.once = call->if_match != NULL || call->if_absent;
	if (how.guard) {
		rc = s3_guard(s, key, call->if_match, call->if_absent, call);
		if (rc != 0)
			return rc;
	}
	return put_send(s, &req, &digests, call, out);
}

int s3_put(struct store *store, const char *key, const struct store_source *src,
	   const struct store_head *head, const struct store_call *call,
	   struct store_stat *out)
{
	struct s3 *s = s3_of(store);
	int rc;

	call = call != NULL ? call : &store_call_none;
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	/*
	 * Parts go in parallel, but where Complete ignores a condition they
	 * have a window that one PUT has not: only what does not fit into one
	 * takes that way.  A few parts are not worth three more requests.
	 */
	if (src->len > S3_PUT_MAX ||
	    (src->len > 4 * s->part_size && parts_will_do(s, call)))
		return s3_put_parts(s, key, src, head, call, out);
	return put_once(s, key, src, head, call, out);
}

int s3_copy_source(struct s3 *s, const char *from, struct bytes *out)
{
	int rc = bytes_printf(out, "/%s/", s->bucket);

	if (rc == 0)
		rc = sigv4_encode(out, from, strlen(from), 1);
	return rc == 0 ? bytes_append(out, "", 1) : rc;
}

/*
 * A copy that was refused may have been too large, for which servers have
 * different codes; then it goes in parts.
 */
/* NOLINTNEXTLINE(readability-function-size): copy has six, and what it said */
static int copy_large(struct s3 *s, const char *from, const char *to,
		      const struct store_head *head,
		      const struct store_call *call, struct store_stat *out,
		      int rc)
{
	struct store_call plain = s3_unconditional(call);
	struct store_call target = s3_unconditional(call);
	struct store_stat st;

	plain.error = NULL;
	if ((rc != -EIO && rc != -EFBIG) ||
	    s3_head(&s->store, from, &plain, &st) != 0 || st.len <= s->copy_max)
		return rc;
	if (call->if_match != NULL && strcmp(st.etag, call->if_match) != 0)
		return store_fail(call, -ESTALE, "\"%.80s\" was replaced",
				  from);
	target.if_absent = call->if_absent;
	return s3_copy_parts(s, from, to, head, &st, &target, out);
}

static int copy_send(struct s3 *s, struct s3_request *req,
		     const struct store_call *call, struct store_stat *out)
{
	struct s3_answer answer;
	char etag[STORE_ETAG_MAX];
	int rc;

	rc = s3_send(s, req, call, &answer);
	if (rc != 0)
		return rc;
	rc = result_etag(etag, "CopyObjectResult", answer.body.data,
			 answer.body.len);
	if (rc != 0)
		rc = s3_refused_late(s, req, &answer, call);
	if (rc == 0 && out != NULL) {
		memcpy(out->etag, etag, sizeof(out->etag));
		out->date_s = s3_answer_date(&answer.http);
	}
	s3_answer_clear(&answer);
	return rc;
}

/* What the conditions need that the server does not do, just before. */
static int copy_guard(struct s3 *s, const char *from, const char *to,
		      const struct store_call *call, int match, int absent)
{
	int rc = 0;

	if (match)
		rc = s3_guard(s, from, call->if_match, 0, call);
	if (rc == 0 && absent)
		rc = s3_guard(s, to, NULL, 1, call);
	return rc;
}

/* Onto itself and nothing new: servers refuse what would change nothing. */
static int copy_nothing(struct s3 *s, const char *key,
			const struct store_call *call, struct store_stat *out)
{
	struct store_stat st;
	int rc;

	rc = s3_head(&s->store, key, call, &st);
	if (rc == 0 && call->if_absent)
		rc = store_fail(call, -EEXIST, "there is a \"%.80s\" already",
				key);
	if (rc == 0 && out != NULL)
		memcpy(out->etag, st.etag, sizeof(out->etag));
	return rc;
}

/* Of servers that copy less than S3's 5 GiB, which would not say so. */
static int is_known_large(struct s3 *s, const char *from,
			  const struct store_call *call)
{
	struct store_call plain = s3_unconditional(call);
	struct store_stat st;

	plain.error = NULL;
	return s->copy_max < S3_PUT_MAX &&
	       s3_head(&s->store, from, &plain, &st) == 0 &&
	       st.len > s->copy_max;
}

static int copy_once(struct s3 *s, const char *from, const char *to,
		     const struct store_head *head,
		     const struct store_call *call, struct store_stat *out)
{
	struct store_caps caps = s3_caps(s);
	struct s3_request req = {
		.method = "PUT", .key = to, .counter = &s->count.copy, .slow = 1
	};
	struct bytes source = BYTES_INIT;
	char etag[STORE_ETAG_MAX + 2];
	struct s3_conditions match, absent;
	struct store_call one;
	int rc;

	one = (struct store_call){ .if_match = call->if_match };
	match = s3_conditions(s, &one, caps.copy_if_match, 0);
	one = (struct store_call){ .if_absent = call->if_absent };
	absent = s3_conditions(s, &one, 0, caps.copy_if_absent);
	rc = s3_copy_source(s, from, &source);
	if (rc != 0)
		goto clear_source;
	s3_header(&req, "x-amz-copy-source", (char *)source.data);
	if (match.send) {
		s3_etag_header(s, etag, call->if_match, 0);
		s3_header(&req, "x-amz-copy-source-if-match", etag);
	}
	if (absent.send)
		s3_header(&req, "if-none-match", "*");
	if (head != NULL) {
		s3_header(&req, "x-amz-metadata-directive", "REPLACE");
		s3_describe(&req, head);
	}
	/* Sent twice unnoticed, it would fail on its own success. */
	req.once = call->if_absent;
	s3_object_headers(s, &req, S3_CREATES | S3_COPIES);
	rc = copy_guard(s, from, to, call, match.guard, absent.guard);
	if (rc == 0)
		rc = copy_send(s, &req, call, out);
clear_source:
	bytes_clear(&source);
	return rc;
}

int s3_copy(struct store *store, const char *from, const char *to,
	    const struct store_head *head, const struct store_call *call,
	    struct store_stat *out)
{
	struct s3 *s = s3_of(store);
	int rc;

	call = call != NULL ? call : &store_call_none;
	rc = store_key_check(call, from);
	if (rc == 0)
		rc = store_key_check(call, to);
	if (rc != 0)
		return rc;
	if (head == NULL && strcmp(from, to) == 0)
		return copy_nothing(s, from, call, out);
	rc = is_known_large(s, from, call)
		     ? -EFBIG
		     : copy_once(s, from, to, head, call, out);
	if (rc != 0)
		rc = copy_large(s, from, to, head, call, out, rc);
	/* Of what the customer has the key of, for one, by radosgw. */
	if (rc == -EIO && call->error != NULL &&
	    (call->error->http_status == 501 ||
	     strcmp(call->error->code, "NotImplemented") == 0))
		rc = -EOPNOTSUPP;
	return rc;
}

int s3_remove(struct store *store, const char *key,
	      const struct store_call *call)
{
	struct s3 *s = s3_of(store);
	struct store_caps caps = s3_caps(s);
	struct s3_request req = { .method = "DELETE",
				  .key = key,
				  .counter = &s->count.remove };
	char etag[STORE_ETAG_MAX + 2];
	struct s3_conditions how;
	struct store_call plain;
	struct store_stat st;
	struct s3_answer answer;
	int rc;

	call = call != NULL ? call : &store_call_none;
	plain = s3_unconditional(call);
	rc = store_key_check(call, key);
	if (rc != 0)
		return rc;
	how = s3_conditions(s, call, caps.remove_if_match, 1);
	if (how.send && call->if_match != NULL) {
		s3_etag_header(s, etag, call->if_match, 0);
		s3_header(&req, "if-match", etag);
	}
	if (how.guard)
		rc = s3_guard(s, key, call->if_match, 0, call);
	if (rc == 0)
		rc = s3_send(s, &req, call, &answer);
	if (rc == 0) {
		rc = s3_hidden_error(s, &req, &answer, call);
		s3_answer_clear(&answer);
		return rc;
	}
	/* Gone is what was wanted; servers differ in what they call it. */
	if (rc == -ESTALE) {
		plain.error = NULL;
		return s3_head(store, key, &plain, &st) == -ENOENT ? 0 : rc;
	}
	if (rc == -ENOENT && (call->error == NULL ||
			      strcmp(call->error->code, "NoSuchBucket") != 0))
		return 0;
	return rc;
}
