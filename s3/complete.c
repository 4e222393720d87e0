/* The end of an upload in parts, where it becomes the object or does not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "s3/error.h"
#include "s3/outcome.h"
#include "s3/upload_private.h"
#include "s3/xml.h"

/* The list of parts that Complete wants. */
static int make_list(struct upload *u, struct bytes *xml)
{
	unsigned i;
	int rc = bytes_append_str(xml, "<CompleteMultipartUpload>");

	for (i = 0; i < u->parts && rc == 0; i++) {
		rc = bytes_printf(xml,
				  "<Part><PartNumber>%u</PartNumber>"
				  "<ETag>&quot;",
				  i + 1);
		if (rc == 0)
			rc = xml_escape(xml, u->etags[i]);
		if (rc == 0)
			rc = bytes_append_str(xml, "&quot;</ETag></Part>");
	}
	if (rc == 0)
		rc = bytes_append_str(xml, "</CompleteMultipartUpload>");
	return rc;
}

static int list_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *xml = arg;

	memcpy(buf, xml->data + off, len);
	return 0;
}

static int complete_once(struct upload *u, const struct s3_request *req,
			 const struct store_call *call,
			 char etag[STORE_ETAG_MAX])
{
	struct s3_answer answer;
	int rc;

	rc = s3_send(u->s, req, call, &answer);
	if (rc != 0)
		return rc;
	rc = result_etag(etag, "CompleteMultipartUploadResult",
			 answer.body.data, answer.body.len);
	if (rc != 0)
		rc = s3_refused_late(u->s, req, &answer, call);
	s3_answer_clear(&answer);
	return rc;
}

/* Its parts were looked at one by one. */
static struct outcome_sent sent_of(const struct upload *u)
{
	return (struct outcome_sent){
		.len = u->len,
		.meta = u->head != NULL ? u->head->meta : NULL,
	};
}

/*
 * The ETag where Complete's answer had none: the object's, if what is there
 * is ours and not by now somebody else's; else it stays "".
 */
static void etag_find(struct upload *u, struct store_stat *out)
{
	const struct outcome_sent sent = sent_of(u);
	struct store_call plain = s3_unconditional(u->call);
	struct store_stat st;

	if (sent.meta != NULL && sent.meta->len > 0) {
		/* No is an answer as well. */
		(void)outcome_is_ours(&u->s->store, u->key, &sent, &plain, out);
		return;
	}
	plain.error = NULL;
	if (s3_head(&u->s->store, u->key, &plain, &st) == 0 && st.len == u->len)
		memcpy(out->etag, st.etag, sizeof(out->etag));
}

/* It is there, says the answer: with all of its bytes? */
static int completed(struct upload *u, const char *etag,
		     const struct store_call *call, struct store_stat *out)
{
	out->len = u->len;
	memcpy(out->etag, etag, STORE_ETAG_MAX);
	if (etag[0] != '\0')
		return s3_stored_check(u->s, u->key, u->len, etag, call);
	etag_find(u, out);
	return 0;
}

/*
 * Complete, repeated by itself: the parts are there.  Once an answer was lost,
 * a refusal may mean that the upload had been completed by then.
 */
static int complete_again(struct upload *u, const struct s3_request *req,
			  struct store_stat *out)
{
	const struct outcome_sent sent = sent_of(u);
	struct store_call call = *u->call;
	const struct store_error *error = call.error;
	struct deadline deadline;
	char etag[STORE_ETAG_MAX];
	unsigned attempt;
	int rc;

	s3_deadline(u->s, &deadline, &call);
	for (attempt = 1;; attempt++) {
		rc = complete_once(u, req, &call, etag);
		if (rc == 0)
			return completed(u, etag, &call, out);
		/* Somebody else's write came between: all over again. */
		if (rc != -EAGAIN || error->http_status == 409 ||
		    !s3_again_later(u->s, attempt, &call, &rc))
			break;
	}
	if (attempt > 1 && rc != -EAGAIN &&
	    outcome_is_ours(&u->s->store, u->key, &sent, u->call, out))
		return 0;
	/* The upload is gone, which is not what -ENOENT says of a bucket. */
	if (strcmp(error->code, "NoSuchUpload") == 0)
		return store_again(
			u->call, EIO,
			"the upload of \"%.80s\" in parts was lost by "
			"%.80s",
			u->key, u->s->name);
	return rc;
}

int upload_complete(struct upload *u, struct store_stat *out)
{
	struct s3 *s = u->s;
	struct store_caps caps = s3_caps(s);
	struct s3_conditions how = s3_conditions(
		s, u->call, caps.complete_if_match, caps.complete_if_absent);
	struct bytes xml = BYTES_INIT;
	struct store_source body = { 0, list_read, &xml };
	struct s3_request req = { .method = "POST",
				  .key = u->key,
				  .counter = &s->count.put,
				  .body = &body,
				  .once = 1,
				  .slow = 1 };
	char etag[STORE_ETAG_MAX + 2];
	struct s3_digests sha;
	int rc;

	rc = make_list(u, &xml);
	if (rc != 0)
		goto clear_xml;
	body.len = xml.len;
	req.body_len = xml.len;
	rc = s3_hash(s, &sha, &body, 0, body.len, u->call);
	if (rc != 0)
		goto clear_xml;
	req.body_sha256 = sha.sha256;
	s3_query(&req, "uploadId", u->id);
	s3_header(&req, "content-type", "application/xml");
	if (how.send && u->call->if_match != NULL) {
		s3_etag_header(s, etag, u->call->if_match, 1);
		s3_header(&req, "if-match", etag);
	}
	if (how.send && u->call->if_absent)
		s3_header(&req, "if-none-match", "*");
	if (how.guard)
		rc = s3_guard(s, u->key, u->call->if_match, u->call->if_absent,
			      u->call);
	if (rc == 0)
		rc = complete_again(u, &req, out);
clear_xml:
	bytes_clear(&xml);
	return rc;
}
