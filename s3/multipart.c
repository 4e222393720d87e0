/* One object in parts, which a few threads send side by side. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/backoff.h"
#include "s3/client_private.h"
#include "s3/error.h"
#include "s3/outcome.h"
#include "s3/xml.h"

#define THREADS_MAX 4 /* parts at once; each is hashed, then sent */
#define MIB         ((uint64_t)1 << 20)

struct upload {
	struct s3 *s;
	const char *key;
	const struct store_source *src;
	const struct store_head *head;
	const struct store_call *call;
	char id[RESULT_UPLOAD_ID_MAX];
	uint64_t part_size;
	unsigned parts;

	pthread_mutex_t mutex; /* all below, and the caller's `cancel` */
	unsigned next; /* part to send, from 0 */
	int rc; /* the first error, which ends the others */
	struct store_error error;
	char (*etags)[STORE_ETAG_MAX];
};

/* Several threads ask; the caller's function is used to one. */
static int upload_cancelled(void *arg)
{
	struct upload *u = arg;
	int cancelled;

	pthread_mutex_lock(&u->mutex);
	cancelled = u->rc != 0 || store_cancelled(u->call);
	pthread_mutex_unlock(&u->mutex);
	return cancelled;
}

/* One part, one attempt. */
static int part_send(struct upload *u, unsigned part,
		     const struct store_call *call)
{
	struct s3 *s = u->s;
	uint64_t off = part * u->part_size;
	uint64_t left = u->src->len - off;
	struct s3_request req = { .method = "PUT",
				  .key = u->key,
				  .counter = &s->count.part,
				  .body = u->src,
				  .body_off = off,
				  .body_len = left < u->part_size
						      ? left
						      : u->part_size };
	struct s3_answer answer;
	struct store_stat st;
	char sha[DIGEST_HEX];
	char number[16];
	int rc;

	rc = s3_hash(sha, u->src, off, req.body_len, call);
	if (rc != 0)
		return rc;
	(void)snprintf(number, sizeof(number), "%u", part + 1);
	req.body_sha256 = sha;
	s3_query(&req, "partNumber", number);
	s3_query(&req, "uploadId", u->id);
	rc = s3_send(s, &req, call, &answer);
	if (rc != 0)
		return rc;
	s3_stat_parse(&st, &answer.http);
	if (st.etag[0] == '\0')
		rc = store_fail(call, -EIO,
				"a part of \"%.80s\" at %.80s got no ETag",
				u->key, s->name);
	else
		memcpy(u->etags[part], st.etag, sizeof(st.etag));
	s3_answer_clear(&answer);
	return rc;
}

static void count_retry(struct s3 *s)
{
	pthread_mutex_lock(&s->mutex);
	s->count.retries++;
	pthread_mutex_unlock(&s->mutex);
}

/*
 * A part is repeated here and not by the layer above, which could only start
 * the whole upload over.
 */
static int part_send_again(struct upload *u, unsigned part,
			   const struct store_call *call)
{
	unsigned attempt;
	int rc;

	for (attempt = 1;; attempt++) {
		rc = part_send(u, part, call);
		if (rc != -EAGAIN || attempt > u->s->retries)
			return rc;
		rc = backoff_wait(attempt, call->error, call);
		if (rc != 0)
			return rc;
		count_retry(u->s);
	}
}

static void *send_parts(void *arg)
{
	struct upload *u = arg;
	struct store_error error = { 0 };
	struct store_call call = { .cancel = upload_cancelled,
				   .cancel_arg = u,
				   .error = &error };
	unsigned part;
	int rc = 0;

	while (rc == 0) {
		pthread_mutex_lock(&u->mutex);
		part = u->rc == 0 && u->next < u->parts ? u->next++ : u->parts;
		pthread_mutex_unlock(&u->mutex);
		if (part == u->parts)
			break;
		rc = part_send_again(u, part, &call);
	}
	if (rc != 0) {
		pthread_mutex_lock(&u->mutex);
		if (u->rc == 0) {
			u->rc = rc;
			u->error = error;
		}
		pthread_mutex_unlock(&u->mutex);
	}
	return NULL;
}

/* All parts; the calling thread works as well. */
static int send_all(struct upload *u)
{
	pthread_t threads[THREADS_MAX - 1];
	unsigned want = u->s->connections < THREADS_MAX ? u->s->connections
							: THREADS_MAX;
	unsigned made = 0;

	if (want > u->parts)
		want = u->parts;
	/* With fewer threads than wanted it only takes longer. */
	while (made + 1 < want &&
	       pthread_create(&threads[made], NULL, send_parts, u) == 0)
		made++;
	(void)send_parts(u);
	while (made > 0)
		(void)pthread_join(threads[--made], NULL);
	if (u->rc != 0 && u->call->error != NULL)
		*u->call->error = u->error;
	return u->rc;
}

static int upload_begin(struct upload *u)
{
	struct store_call plain = s3_unconditional(u->call);
	struct s3_request req = { .method = "POST",
				  .key = u->key,
				  .counter = &u->s->count.put };
	static const struct store_source nothing;
	struct s3_answer answer;
	int rc;

	req.body = &nothing;
	s3_query(&req, "uploads", "");
	s3_describe(&req, u->head);
	rc = s3_send(u->s, &req, &plain, &answer);
	if (rc != 0)
		return rc;
	rc = result_upload_id(u->id, answer.body.data, answer.body.len);
	if (rc != 0)
		rc = s3_refused_late(u->s, &req, &answer, &plain);
	s3_answer_clear(&answer);
	return rc;
}

/* Parts that nobody completes cost money: tried twice, whatever happened. */
static void upload_abort(struct upload *u)
{
	struct s3_request req = { .method = "DELETE",
				  .key = u->key,
				  .counter = &u->s->count.remove };
	struct s3_answer answer;
	int rc = -EAGAIN;
	int i;

	s3_query(&req, "uploadId", u->id);
	for (i = 0; i < 2 && rc == -EAGAIN; i++)
		rc = s3_send(u->s, &req, &store_call_none, &answer);
	if (rc == 0)
		s3_answer_clear(&answer);
}

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
			 char etag[STORE_ETAG_MAX])
{
	struct s3_answer answer;
	int rc;

	rc = s3_send(u->s, req, u->call, &answer);
	if (rc != 0)
		return rc;
	rc = result_etag(etag, "CompleteMultipartUploadResult",
			 answer.body.data, answer.body.len);
	if (rc != 0)
		rc = s3_refused_late(u->s, req, &answer, u->call);
	s3_answer_clear(&answer);
	return rc;
}

/*
 * The ETag where Complete's answer had none: the object's, if what is there
 * is ours and not by now somebody else's; else it stays "".
 */
static void etag_find(struct upload *u, struct store_stat *out)
{
	const struct meta *meta = u->head != NULL ? u->head->meta : NULL;
	struct store_call plain = s3_unconditional(u->call);
	struct store_stat st;

	if (meta != NULL && meta->len > 0) {
		/* No is an answer as well. */
		(void)outcome_is_ours(&u->s->store, u->key, u->src->len, meta,
				      &plain, out);
		return;
	}
	plain.error = NULL;
	if (s3_head(&u->s->store, u->key, &plain, &st) == 0 &&
	    st.len == u->src->len)
		memcpy(out->etag, st.etag, sizeof(out->etag));
}

/*
 * Complete, repeated by itself: the parts are there.  Once an answer was lost,
 * a refusal may mean that the upload had been completed by then.
 */
static int complete_again(struct upload *u, const struct s3_request *req,
			  struct store_stat *out)
{
	const struct store_error *error = u->call->error;
	char etag[STORE_ETAG_MAX];
	unsigned attempt;
	int rc;

	for (attempt = 1;; attempt++) {
		rc = complete_once(u, req, etag);
		if (rc == 0) {
			out->len = u->src->len;
			memcpy(out->etag, etag, sizeof(out->etag));
			if (etag[0] == '\0')
				etag_find(u, out);
			return 0;
		}
		/* Somebody else's write came between: all over again. */
		if (rc != -EAGAIN || error->http_status == 409 ||
		    attempt > u->s->retries)
			break;
		rc = backoff_wait(attempt, error, u->call);
		if (rc != 0)
			return rc;
		count_retry(u->s);
	}
	if (attempt > 1 && rc != -EAGAIN &&
	    outcome_is_ours(&u->s->store, u->key, u->src->len,
			    u->head != NULL ? u->head->meta : NULL, u->call,
			    out))
		return 0;
	/* The upload is gone, which is not what -ENOENT says of a bucket. */
	if (strcmp(error->code, "NoSuchUpload") == 0)
		return s3_again(u->call, EIO,
				"the upload of \"%.80s\" in parts was lost by "
				"%.80s",
				u->key, u->s->name);
	return rc;
}

static int upload_complete(struct upload *u, struct store_stat *out)
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
				  .once = 1 };
	char etag[STORE_ETAG_MAX + 2];
	char sha[DIGEST_HEX];
	int rc;

	rc = make_list(u, &xml);
	if (rc != 0)
		goto clear_xml;
	body.len = xml.len;
	req.body_len = xml.len;
	rc = s3_hash(sha, &body, 0, body.len, u->call);
	if (rc != 0)
		goto clear_xml;
	req.body_sha256 = sha;
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

/* The smallest parts that are enough, in whole MiB beyond what was asked. */
static int parts_plan(struct upload *u)
{
	uint64_t least = (u->src->len + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

	u->part_size = u->s->part_size;
	if (u->part_size < least)
		u->part_size = (least + MIB - 1) / MIB * MIB;
	if (u->part_size > S3_PUT_MAX)
		return store_fail(u->call, -EFBIG,
				  "\"%.80s\" of %llu bytes does not fit into "
				  "%d parts",
				  u->key, (unsigned long long)u->src->len,
				  S3_PARTS_MAX);
	u->parts = (unsigned)((u->src->len + u->part_size - 1) / u->part_size);
	if (u->parts == 0)
		u->parts = 1;
	return 0;
}

int s3_put_parts(struct s3 *s, const char *key, const struct store_source *src,
		 const struct store_head *head, const struct store_call *call,
		 struct store_stat *out)
{
	struct store_error error = { 0 };
	struct store_call own = *call;
	struct store_stat st = { 0 };
	struct upload *u;
	int rc;

	own.error = &error;
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return store_fail(call, -ENOMEM, "out of memory");
	u->s = s;
	u->key = key;
	u->src = src;
	u->head = head;
	u->call = &own;
	rc = parts_plan(u);
	if (rc != 0)
		goto free_upload;
	u->etags = calloc((size_t)u->parts + 1, sizeof(*u->etags));
	if (u->etags == NULL || pthread_mutex_init(&u->mutex, NULL) != 0) {
		rc = store_fail(&own, -ENOMEM, "out of memory");
		goto free_etags;
	}
	rc = upload_begin(u);
	if (rc != 0)
		goto destroy_mutex;
	rc = send_all(u);
	if (rc == 0)
		rc = upload_complete(u, &st);
	if (rc != 0)
		upload_abort(u);
	if (rc == 0 && out != NULL) {
		out->len = st.len;
		memcpy(out->etag, st.etag, sizeof(out->etag));
	}
destroy_mutex:
	pthread_mutex_destroy(&u->mutex);
free_etags:
	free(u->etags);
free_upload:
	free(u);
	if (rc != 0 && call->error != NULL)
		*call->error = error;
	return rc;
}
