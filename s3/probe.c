/*
 * Which conditions does this server keep?  Each is tried where it must hold
 * and where it must not; a server that ignores one answers both alike.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/aead.h"
#include "s3/client_private.h"
#include "s3/error.h"

/* No object of ours has it, on any server. */
#define WRONG_ETAG "00000000000000000000000000000000"

#define CLEAR_UP_MS 5000

struct probe {
	struct s3 *s;
	struct store_call call;
	struct store_error error;
	char key[STORE_KEY_MAX + 1]; /* of the object tried on */
	char other[STORE_KEY_MAX + 1]; /* never there but for a copy */
	struct store_caps caps;
	int etag_bare;
	char etag[STORE_ETAG_MAX]; /* of the object as it is */
	char md5[2 * DIGEST_MD5_LEN + 1]; /* of its bytes; "" if we have none */
	char md5_sent[2 * DIGEST_MD5_LEN + 1]; /* of those last sent */
};

/* A few bytes, which differ each time so that the ETag does. */
struct content {
	char text[48];
};

static int content_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct content *c = arg;

	memcpy(buf, c->text + off, len);
	return 0;
}

static int content_fill(struct content *c)
{
	uint8_t random[16];
	char hex[2 * sizeof(random) + 1];

	if (aead_random(random, sizeof(random)) != 0)
		return -EIO;
	hex_encode(hex, random, sizeof(random));
	(void)snprintf(c->text, sizeof(c->text), "probe %s\n", hex);
	return 0;
}

/* "Not kept", whichever way the server says it; 0 and real errors pass. */
static int is_refusal(const struct probe *p, int rc)
{
	return rc == -ESTALE || rc == -EEXIST ||
	       (rc == -EIO &&
		(p->error.http_status == 400 || p->error.http_status == 412 ||
		 p->error.http_status == 501));
}

/* The header's value: quoted, or as the server turned out to want it. */
static const char *quoted(const struct probe *p, char out[STORE_ETAG_MAX + 2],
			  const char *etag)
{
	(void)snprintf(out, STORE_ETAG_MAX + 2,
		       p->etag_bare ? "%.135s" : "\"%.135s\"", etag);
	return out;
}

/* Sent with an object, to be found with it again. */
#define META_NAME  "dg-probe"
#define META_VALUE "kept%20as%20it%20is"

static int new_body(struct probe *p, struct content *content,
		    struct store_source *src, struct s3_digests *sent)
{
	uint8_t md5[DIGEST_MD5_LEN];
	int rc;

	rc = content_fill(content);
	if (rc != 0)
		return store_fail(&p->call, rc, "no random bytes");
	*src = (struct store_source){ strlen(content->text), content_read,
				      content };
	p->md5_sent[0] = '\0';
	if (digest_md5(content->text, src->len, md5) == 0)
		hex_encode(p->md5_sent, md5, sizeof(md5));
	return s3_hash(p->s, sent, src, 0, src->len, &p->call);
}

/*
 * A PUT of new content, with its SHA-256 or as if it had another, and with a
 * header (or none, NULL).  0 where it was done, 1 where it was refused, else an
 * error.
 */
static int put_as(struct probe *p, const char *sha256, const char *header,
		  const char *value)
{
	struct content content;
	struct store_source src = { 0, NULL, NULL };
	struct meta meta = { .len = 0 };
	const struct store_head head = { .meta = &meta };
	struct s3_request req = { .method = "PUT",
				  .key = p->key,
				  .counter = &p->s->count.put,
				  .body = &src };
	struct s3_digests sent;
	struct s3_answer answer;
	struct store_stat st;
	int rc;

	rc = new_body(p, &content, &src, &sent);
	if (rc == 0)
		rc = meta_set(&meta, META_NAME, META_VALUE);
	if (rc != 0)
		return rc;
	req.body_len = src.len;
	req.body_sha256 = sha256 != NULL ? sha256 : sent.sha256;
	s3_describe(&req, &head);
	s3_object_headers(p->s, &req, S3_CREATES);
	if (header != NULL)
		s3_header(&req, header, value);
	rc = s3_send(p->s, &req, &p->call, &answer);
	if (rc != 0)
		return is_refusal(p, rc) ? 1 : rc;
	s3_stat_parse(&st, &answer.http);
	memcpy(p->etag, st.etag, sizeof(p->etag));
	memcpy(p->md5, p->md5_sent, sizeof(p->md5));
	s3_answer_clear(&answer);
	return 0;
}

static int try_put(struct probe *p, const char *header, const char *value)
{
	return put_as(p, NULL, header, value);
}

/* A copy onto `to` with a header.  As try_put(). */
static int try_copy(struct probe *p, const char *to, const char *header,
		    const char *value)
{
	struct s3_request req = { .method = "PUT",
				  .key = to,
				  .counter = &p->s->count.copy };
	struct bytes source = BYTES_INIT;
	struct s3_answer answer;
	char etag[STORE_ETAG_MAX];
	int rc;

	rc = s3_copy_source(p->s, p->key, &source);
	if (rc != 0)
		goto clear_source;
	s3_header(&req, "x-amz-copy-source", (char *)source.data);
	s3_header(&req, header, value);
	s3_object_headers(p->s, &req, S3_CREATES | S3_COPIES);
	rc = s3_send(p->s, &req, &p->call, &answer);
	if (rc != 0) {
		rc = is_refusal(p, rc) ? 1 : rc;
		goto clear_source;
	}
	rc = result_etag(etag, "CopyObjectResult", answer.body.data,
			 answer.body.len);
	if (rc != 0)
		rc = s3_refused_late(p->s, &req, &answer, &p->call);
	s3_answer_clear(&answer);
	rc = rc != 0 && is_refusal(p, rc) ? 1 : rc;
	if (rc == 0)
		p->caps.copies = 1;
clear_source:
	bytes_clear(&source);
	return rc;
}

static int try_remove(struct probe *p, const char *value)
{
	struct s3_request req = { .method = "DELETE",
				  .key = p->key,
				  .counter = &p->s->count.remove };
	struct s3_answer answer;
	int rc;

	s3_header(&req, "if-match", value);
	rc = s3_send(p->s, &req, &p->call, &answer);
	if (rc != 0)
		return is_refusal(p, rc) ? 1 : rc;
	s3_answer_clear(&answer);
	return 0;
}

/*
 * An upload of one small part, asked to complete under a condition that
 * `caps` claims for the time being.  As try_put().
 */
static int try_parts(struct probe *p, const char *if_match, int if_absent)
{
	struct content content;
	struct store_source src;
	struct store_call call = p->call;
	struct s3_digests sent;
	struct store_stat st;
	int rc;

	rc = new_body(p, &content, &src, &sent);
	if (rc != 0)
		return rc;
	call.if_match = if_match;
	call.if_absent = if_absent;
	rc = s3_put_parts(p->s, p->key, &src, NULL, &call, &st);
	if (rc != 0)
		return is_refusal(p, rc) ? 1 : rc;
	memcpy(p->etag, st.etag, sizeof(p->etag));
	return 0;
}

/* Let the client use what is known, or to be tried, by now. */
static void publish(struct probe *p, const struct store_caps *caps)
{
	struct s3 *s = p->s;

	pthread_mutex_lock(&s->mutex);
	s->caps = *caps;
	s->etag_bare = p->etag_bare;
	s->probed = 1;
	pthread_mutex_unlock(&s->mutex);
}

/*
 * Ends with the object in place.  The very first PUT is what must succeed:
 * if it does not, nothing can be learned, and the error is real.
 */
static int probe_put(struct probe *p)
{
	char value[STORE_ETAG_MAX + 2];
	int rc;

	rc = try_put(p, "if-none-match", "*");
	if (rc == 0) {
		rc = try_put(p, "if-none-match", "*");
		p->caps.put_if_absent = rc == 1;
	} else if (rc == 1) {
		rc = try_put(p, NULL, NULL);
		if (rc == 1)
			return -EIO; /* with the line of that PUT */
	}
	if (rc < 0)
		return rc;
	rc = try_put(p, "if-match", quoted(p, value, p->etag));
	if (rc == 1) {
		p->etag_bare = 1;
		rc = try_put(p, "if-match", quoted(p, value, p->etag));
	}
	if (rc == 0) {
		rc = try_put(p, "if-match", quoted(p, value, WRONG_ETAG));
		p->caps.put_if_match = rc == 1;
	}
	if (!p->caps.put_if_match)
		p->etag_bare = 0;
	return rc < 0 ? rc : 0;
}

/*
 * Is a body looked at, when it arrives, for the SHA-256 that is signed for it?
 * Unsigned, nobody promises it.
 */
static int probe_digests(struct probe *p)
{
	char wrong[DIGEST_HEX];
	int rc = 0;

	memset(wrong, 'a', sizeof(wrong) - 1);
	wrong[sizeof(wrong) - 1] = '\0';
	p->caps.etag_md5 =
		p->md5[0] != '\0' && strcasecmp(p->md5, p->etag) == 0;
	rc = put_as(p, wrong, NULL, NULL);
	/* XAmzContentSHA256Mismatch, which other requests are repeated for. */
	if (rc == -EAGAIN && p->error.http_status == 400)
		rc = 1;
	p->caps.checks_sha256 = rc == 1;
	return rc < 0 ? rc : 0;
}

static int probe_metadata(struct probe *p)
{
	char value[META_VALUE_MAX];
	struct store_stat st;
	int rc = s3_head(&p->s->store, p->key, &p->call, &st);

	if (rc == 0)
		p->caps.keeps_metadata = meta_get(&st.meta, META_NAME, value,
						  sizeof(value)) == 0 &&
					 strcmp(value, META_VALUE) == 0;
	return rc;
}

static int probe_copy(struct probe *p)
{
	char value[STORE_ETAG_MAX + 2];
	int rc;

	(void)snprintf(value, sizeof(value), "\"%s\"", WRONG_ETAG);
	rc = try_copy(p, p->other, "x-amz-copy-source-if-match", value);
	if (rc == 1) {
		(void)snprintf(value, sizeof(value), "\"%.135s\"", p->etag);
		rc = try_copy(p, p->other, "x-amz-copy-source-if-match", value);
		p->caps.copy_if_match = rc == 0;
	}
	if (rc < 0)
		return rc;
	/* Onto what is there now by either of the two, or is not. */
	rc = try_copy(p, p->other, "if-none-match", "*");
	if (rc == 0) {
		rc = try_copy(p, p->other, "if-none-match", "*");
		p->caps.copy_if_absent = rc == 1;
		return rc < 0 ? rc : 0;
	}
	if (rc < 0)
		return rc;
	rc = s3_remove(&p->s->store, p->other, &p->call);
	if (rc != 0)
		return rc;
	rc = try_copy(p, p->other, "if-none-match", "*");
	p->caps.copy_if_absent = rc == 0;
	return rc < 0 ? rc : 0;
}

static int probe_parts(struct probe *p)
{
	struct store_caps hope = p->caps;
	struct store_call plain = s3_unconditional(&p->call);
	int rc;

	hope.complete_if_absent = 1;
	hope.complete_if_match = 1;
	publish(p, &hope);
	rc = try_parts(p, NULL, 1); /* it is there: must fail */
	if (rc == 1) {
		rc = s3_remove(&p->s->store, p->key, &plain);
		if (rc == 0)
			rc = try_parts(p, NULL, 1);
		p->caps.complete_if_absent = rc == 0;
		if (rc == 1)
			rc = try_put(p, NULL, NULL);
	}
	if (rc < 0)
		return rc;
	rc = try_parts(p, WRONG_ETAG, 0);
	if (rc == 1) {
		rc = try_parts(p, p->etag, 0);
		p->caps.complete_if_match = rc == 0;
	}
	return rc < 0 ? rc : 0;
}

/* Last, as it takes the object away. */
static int probe_remove(struct probe *p)
{
	char value[STORE_ETAG_MAX + 2];
	int rc;

	(void)snprintf(value, sizeof(value), "\"%s\"", WRONG_ETAG);
	rc = try_remove(p, value);
	if (rc != 1)
		return rc;
	(void)snprintf(value, sizeof(value), "\"%.135s\"", p->etag);
	rc = try_remove(p, value);
	p->caps.remove_if_match = rc == 0;
	return rc < 0 ? rc : 0;
}

static int probe_names(struct probe *p, const char *prefix)
{
	struct content name;

	if (strlen(prefix) + sizeof(name.text) + 8 > STORE_KEY_MAX)
		return -ENAMETOOLONG;
	if (content_fill(&name) != 0)
		return -EIO;
	/* "probe HEX\n" */
	(void)snprintf(p->key, sizeof(p->key), "%sprobe-%.32s", prefix,
		       name.text + 6);
	(void)snprintf(p->other, sizeof(p->other), "%sprobe-%.32s-copy", prefix,
		       name.text + 6);
	return 0;
}

int s3_probe(struct store *store, const char *prefix,
	     const struct store_call *call)
{
	struct deadline deadline;
	struct store_call clear_up = { .deadline = &deadline };
	struct probe *p;
	int rc;

	call = call != NULL ? call : &store_call_none;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return store_fail(call, -ENOMEM, "out of memory");
	p->s = s3_of(store);
	p->call = s3_unconditional(call);
	p->call.error = &p->error;
	rc = probe_names(p, prefix);
	if (rc != 0) {
		(void)store_fail(&p->call, rc,
				 "no name for a probe below "
				 "\"%.80s\"",
				 prefix);
		goto free_probe;
	}
	p->caps.list_version = s3_caps(p->s).list_version;
	p->caps.profile = s3_caps(p->s).profile;
	rc = probe_put(p);
	if (rc == 0)
		rc = probe_metadata(p);
	if (rc == 0)
		rc = probe_digests(p);
	if (rc == 0)
		rc = probe_copy(p);
	if (rc == 0)
		rc = probe_parts(p);
	if (rc == 0)
		rc = probe_remove(p);
	p->caps.probed = rc == 0;
	publish(p, &p->caps);
	/* Also if we were interrupted; what stays behind is of no consequence. */
	deadline_init(&deadline, CLEAR_UP_MS, NULL);
	(void)s3_remove(store, p->key, &clear_up);
	(void)s3_remove(store, p->other, &clear_up);
free_probe:
	if (rc != 0 && call->error != NULL)
		*call->error = p->error;
	free(p);
	return rc;
}
