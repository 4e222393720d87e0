/* One object in parts, which a few threads send side by side. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/error.h"
#include "s3/upload_private.h"

#define THREADS_MAX 4 /* parts at once; each is hashed, then sent */
#define MIB         ((uint64_t)1 << 20)

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

static int part_send(struct upload *u, unsigned part,
		     const struct store_call *call)
{
	struct s3 *s = u->s;
	struct s3_request req = { .method = "PUT",
				  .key = u->key,
				  .counter = &s->count.part,
				  .body = u->src,
				  .body_off = upload_part_off(u, part),
				  .body_len = upload_part_len(u, part) };
	struct s3_digests digests;
	struct s3_answer answer;
	struct store_stat st;
	char number[16];
	int rc;

	rc = s3_hash(s, &digests, u->src, req.body_off, req.body_len, call);
	if (rc != 0)
		return rc;
	(void)snprintf(number, sizeof(number), "%u", part + 1);
	req.body_sha256 = digests.sha256;
	s3_query(&req, "partNumber", number);
	s3_query(&req, "uploadId", u->id);
	s3_object_headers(s, &req, S3_TOUCHES);
	rc = s3_send(s, &req, call, &answer);
	if (rc != 0)
		return rc;
	rc = s3_hidden_error(s, &req, &answer, call);
	s3_stat_parse(&st, &answer.http);
	if (rc == 0 && st.etag[0] == '\0')
		rc = store_fail(call, -EIO,
				"a part of \"%.80s\" at %.80s got no ETag",
				u->key, s->name);
	if (rc == 0 && s3_is_damaged(&digests, st.etag))
		rc = store_again(
			call, EIO,
			"part %u of \"%.80s\" was damaged on its way to "
			"%.80s",
			part + 1, u->key, s->name);
	if (rc == 0)
		memcpy(u->etags[part], st.etag, sizeof(st.etag));
	s3_answer_clear(&answer);
	return rc;
}

/*
 * A part is repeated here and not by the layer above, which could only start
 * the whole upload over.
 */
static int part_send_again(struct upload *u, unsigned part,
			   struct store_call *call)
{
	struct deadline deadline;
	unsigned attempt;
	int rc;

	s3_deadline(u->s, &deadline, call);
	for (attempt = 1;; attempt++) {
		rc = u->send(u, part, call);
		/* Gone: all over again, which is not for this layer. */
		if (rc == -ENOENT &&
		    strcmp(call->error->code, "NoSuchUpload") == 0)
			return store_again(
				call, EIO,
				"the upload of \"%.80s\" in parts was "
				"lost by %.80s",
				u->key, u->s->name);
		if (rc != -EAGAIN || !s3_again_later(u->s, attempt, call, &rc))
			return rc;
	}
}

static void *send_parts(void *arg)
{
	struct upload *u = arg;
	struct store_error error = { 0 };
	unsigned part;
	int rc = 0;

	while (rc == 0) {
		struct store_call call = { .cancel = upload_cancelled,
					   .cancel_arg = u,
					   .error = &error,
					   .deadline = u->call->deadline };

		pthread_mutex_lock(&u->mutex);
		part = u->rc == 0 && u->next < u->parts ? u->next++ : u->parts;
		pthread_mutex_unlock(&u->mutex);
		if (part == u->parts)
			break;
		rc = part_send_again(u, part, &call);
		uploads_alive(u->s->uploads);
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
	s3_object_headers(u->s, &req, S3_CREATES);
	rc = s3_send(u->s, &req, &plain, &answer);
	if (rc != 0)
		return rc;
	rc = result_upload_id(u->id, answer.body.data, answer.body.len);
	if (rc != 0)
		rc = s3_refused_late(u->s, &req, &answer, &plain);
	s3_answer_clear(&answer);
	return rc;
}

#define ABORT_MS 5000 /* of the caller's time, who has an error to hear of */

/* Parts that nobody completes cost money: tried twice, whatever happened. */
static int upload_abort(struct upload *u)
{
	struct deadline deadline;
	struct store_call call = { .deadline = &deadline };
	int rc = -EAGAIN;
	int i;

	deadline_init(&deadline, ABORT_MS, NULL);
	for (i = 0; i < 2 && rc == -EAGAIN; i++)
		rc = s3_upload_abort(u->s, u->key, u->id, &call);
	return rc;
}

int s3_upload_abort(struct s3 *s, const char *key, const char *id,
		    const struct store_call *call)
{
	struct s3_request req = { .method = "DELETE",
				  .key = key,
				  .counter = &s->count.remove };
	struct s3_answer answer;
	int rc;

	s3_query(&req, "uploadId", id);
	rc = s3_send(s, &req, call, &answer);
	if (rc == 0)
		s3_answer_clear(&answer);
	return rc == -ENOENT ? 0 : rc;
}

int upload_run(struct upload *u, struct store_stat *out)
{
	struct store_stat st = { 0 };
	int rc;

	u->parts = (unsigned)((u->len + u->part_size - 1) / u->part_size);
	if (u->parts == 0)
		u->parts = 1;
	u->etags = calloc(u->parts, sizeof(*u->etags));
	if (u->etags == NULL || pthread_mutex_init(&u->mutex, NULL) != 0) {
		rc = store_fail(u->call, -ENOMEM, "out of memory");
		goto free_etags;
	}
	rc = upload_begin(u);
	if (rc != 0)
		goto destroy_mutex;
	uploads_begin(u->s->uploads, u);
	rc = send_all(u);
	/* An upload that is begun again has to get further than this one. */
	if (rc == 0)
		deadline_reach(u->call->deadline, u->len, 0);
	if (rc == 0)
		rc = upload_complete(u, &st);
	uploads_end(u->s->uploads, u, rc == 0 || upload_abort(u) == 0);
	if (rc == 0 && out != NULL) {
		out->len = st.len;
		memcpy(out->etag, st.etag, sizeof(out->etag));
	}
destroy_mutex:
	pthread_mutex_destroy(&u->mutex);
free_etags:
	free(u->etags);
	return rc;
}

int upload_plan(struct upload *u, uint64_t wanted)
{
	uint64_t least = (u->len + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

	u->part_size = wanted;
	if (u->part_size < least)
		u->part_size = (least + MIB - 1) / MIB * MIB;
	if (u->part_size > S3_PUT_MAX)
		return store_fail(u->call, -EFBIG,
				  "\"%.80s\" of %llu bytes does not fit into "
				  "%d parts",
				  u->key, (unsigned long long)u->len,
				  S3_PARTS_MAX);
	return 0;
}

int s3_put_parts(struct s3 *s, const char *key, const struct store_source *src,
		 const struct store_head *head, const struct store_call *call,
		 struct store_stat *out)
{
	struct store_error error = { 0 };
	struct store_call own = *call;
	struct upload u = { .s = s,
			    .key = key,
			    .len = src->len,
			    .head = head,
			    .call = &own,
			    .send = part_send,
			    .src = src };
	int rc;

	own.error = &error;
	rc = upload_plan(&u, s->part_size);
	if (rc == 0)
		rc = upload_run(&u, out);
	if (rc != 0 && call->error != NULL)
		*call->error = error;
	return rc;
}

/* One part, copied by the server; of the version that was looked at. */
static int part_copy(struct upload *u, unsigned part,
		     const struct store_call *call)
{
	/* So that it has a Content-Length, without which it is refused. */
	static const struct store_source nothing;
	struct s3 *s = u->s;
	struct s3_request req = { .method = "PUT",
				  .key = u->key,
				  .counter = &s->count.copy,
				  .body = &nothing,
				  .slow = 1 };
	struct bytes source = BYTES_INIT;
	uint64_t off = upload_part_off(u, part);
	char etag[STORE_ETAG_MAX + 2];
	struct s3_answer answer;
	char number[16];
	char range[64];
	int rc;

	rc = s3_copy_source(s, u->from, &source);
	if (rc != 0)
		goto clear_source;
	(void)snprintf(number, sizeof(number), "%u", part + 1);
	(void)snprintf(
		range, sizeof(range), "bytes=%llu-%llu",
		(unsigned long long)off,
		(unsigned long long)(off + upload_part_len(u, part) - 1));
	s3_query(&req, "partNumber", number);
	s3_query(&req, "uploadId", u->id);
	s3_header(&req, "x-amz-copy-source", (char *)source.data);
	s3_header(&req, "x-amz-copy-source-range", range);
	s3_etag_header(s, etag, u->from_etag, 0);
	s3_header(&req, "x-amz-copy-source-if-match", etag);
	s3_object_headers(s, &req, S3_TOUCHES | S3_COPIES);
	rc = s3_send(s, &req, call, &answer);
	if (rc != 0)
		goto clear_source;
	rc = result_etag(u->etags[part], "CopyPartResult", answer.body.data,
			 answer.body.len);
	if (rc != 0)
		rc = s3_refused_late(s, &req, &answer, call);
	s3_answer_clear(&answer);
clear_source:
	bytes_clear(&source);
	return rc;
}

/* Parts as large as they may be, but so that several go side by side. */
#define COPY_PART ((uint64_t)256 << 20)

/* NOLINTNEXTLINE(readability-function-size): copy has six, too */
int s3_copy_parts(struct s3 *s, const char *from, const char *to,
		  const struct store_head *head,
		  const struct store_stat *source,
		  const struct store_call *call, struct store_stat *out)
{
	struct store_call own = *call;
	struct store_head kept = { .content_type = source->content_type,
				   .content_encoding = source->content_encoding,
				   .meta = &source->meta };
	struct store_error error = { 0 };
	struct upload u = { .s = s,
			    .key = to,
			    .len = source->len,
			    .head = head != NULL ? head : &kept,
			    .call = &own,
			    .send = part_copy,
			    .from = from,
			    .from_etag = source->etag };
	int rc;

	/*
	 * radosgw 16 decodes the source's name twice here, and might so copy
	 * another object: the condition would tell, but it does not keep that
	 * either.
	 */
	if (strchr(from, '%') != NULL && !s3_caps(s).copy_if_match)
		return store_fail(
			call, -EOPNOTSUPP,
			"\"%.80s\" at %.80s has a '%%' in its name, "
			"with which copies in parts are not safe there",
			from, s->name);
	/* Of the source it is asked with each part; onto itself also at the end. */
	own.if_match = strcmp(from, to) == 0 ? source->etag : NULL;
	own.error = &error;
	rc = upload_plan(&u, s->copy_max < COPY_PART ? s->copy_max : COPY_PART);
	if (rc == 0)
		rc = upload_run(&u, out);
	if (rc != 0 && call->error != NULL)
		*call->error = error;
	return rc;
}
