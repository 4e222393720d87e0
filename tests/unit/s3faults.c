/* The client and its retry layer against connections that fail. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/s3fixture.h"

#define COPY_XML                                                        \
	"<?xml version=\"1.0\"?><CopyObjectResult><ETag>&quot;e1&quot;" \
	"</ETag></CopyObjectResult>"

/* ---- answers that break off ---- */

static void breaks_off(void *arg, const struct scripted_request *req,
		       struct scripted_reply *r)
{
	struct fixture *f = arg;

	scripted_header(req, "range", f->seen[f->step % 4], 64);
	scripted_header(req, "if-match", f->seen[f->step % 4] + 100, 64);
	switch (f->step++) {
	case 0:
		fixture_answer(
			r, 206,
			"ETag: \"v1\"\r\nContent-Range: bytes 2-9/20\r\n",
			"cdefghij");
		r->cut = 3;
		break;
	case 1:
		r->status = 0;
		break;
	case 2:
		if (f->flag) {
			fixture_answer(r, 412, "",
				       ERROR_XML("PreconditionFailed"));
			break;
		}
		fixture_answer(
			r, 206,
			"ETag: \"v1\"\r\nContent-Range: bytes 5-9/20\r\n",
			"fghij");
		break;
	default:
		r->status = 0;
	}
}

static void resumes_a_get(void **state)
{
	struct fixture f;
	struct fixture_text t;

	(void)state;
	fixture_begin(&f, breaks_off);
	assert_int_equal(fixture_get(&f, 2, 8, &t), 0);
	assert_string_equal(t.data, "cdefghij");
	assert_string_equal(f.seen[0], "bytes=2-9");
	assert_string_equal(f.seen[0] + 100, "");
	assert_string_equal(f.seen[2], "bytes=5-9");
	assert_string_equal(f.seen[2] + 100, "\"v1\"");
	assert_int_equal(f.retried, 2);
	fixture_end(&f);

	/* Another version by then: no mix of the two. */
	fixture_begin(&f, breaks_off);
	f.flag = 1;
	assert_int_equal(fixture_get(&f, 2, 8, &t), -ESTALE);
	assert_string_equal(t.data, "cde");
	fixture_end(&f);
}

/* ---- headers that break off ---- */

static void cuts_headers(void *arg, const struct scripted_request *req,
			 struct scripted_reply *r)
{
	struct fixture *f = arg;

	(void)req;
	fixture_answer(r, 200,
		       "ETag: \"e1\"\r\nx-amz-meta-a: 1\r\n"
		       "x-amz-meta-b: 2\r\n",
		       "hello");
	/* The empty line, a whole header and that, the middle of one. */
	r->cut_head = f->step == 0   ? 2
		      : f->step == 1 ? 19
		      : f->step == 2 ? 30
				     : 0;
	f->step++;
}

/* What is behind the cut must not be taken for missing. */
static void takes_no_half_of_the_headers(void **state)
{
	char value[META_VALUE_MAX];
	struct store_stat st;
	struct fixture f;

	(void)state;
	fixture_begin(&f, cuts_headers);
	assert_int_equal(f.store->ops->head(f.store, "key", NULL, &st), 0);
	assert_int_equal(f.retried, 3);
	assert_int_equal(st.len, 5);
	assert_int_equal(meta_get(&st.meta, "a", value, sizeof(value)), 0);
	assert_int_equal(meta_get(&st.meta, "b", value, sizeof(value)), 0);
	assert_string_equal(value, "2");
	fixture_end(&f);
}

/* ---- answers that get lost ---- */

/* It takes the first PUT, but its answer never comes. */
static void takes_silently(void *arg, const struct scripted_request *req,
			   struct scripted_reply *r)
{
	struct fixture *f = arg;

	if (strcmp(req->method, "HEAD") == 0)
		fixture_answer(
			r, 200,
			f->flag ? "ETag: \"e2\"\r\nx-amz-meta-a: other\r\n"
				: "ETag: \"e2\"\r\nx-amz-meta-a: mine\r\n",
			"hello");
	else if (f->step++ > 0)
		fixture_answer(r, 412, "", ERROR_XML("PreconditionFailed"));
}

static void knows_its_own_write(void **state)
{
	struct meta meta = { 0 };
	struct store_head what = { NULL, NULL, &meta };
	struct store_stat st = { 0 };
	struct fixture f;

	(void)state;
	assert_int_equal(meta_set(&meta, "a", "mine"), 0);
	fixture_begin(&f, takes_silently);
	/* What the HEAD says, which guards a condition before a probe. */
	f.call.if_match = "e2";
	assert_int_equal(fixture_put(&f, "hello", &what, &st), 0);
	assert_string_equal(st.etag, "e2");
	assert_int_equal(f.retried, 1);
	fixture_end(&f);

	fixture_begin(&f, takes_silently);
	f.call.if_match = "e2";
	f.flag = 1;
	assert_int_equal(fixture_put(&f, "hello", &what, &st), -ESTALE);
	fixture_end(&f);

	/* Nothing was lost, so nothing is looked for. */
	fixture_begin(&f, takes_silently);
	f.step = 1;
	f.call.if_match = "e2";
	assert_int_equal(fixture_put(&f, "hello", &what, &st), -ESTALE);
	fixture_end(&f);
}

/* ---- uploads in parts ---- */

enum parts_script {
	PARTS_ERROR_IN_200,
	PARTS_ERROR_ALWAYS,
	PARTS_LOST_COMPLETE,
	PARTS_CUT_200
};

static void complete_reply(struct fixture *f, struct scripted_reply *r)
{
	static const char good[] =
		"<?xml version=\"1.0\"?>\n  <CompleteMultipartUploadResult>"
		"<ETag>\"all-5\"</ETag></CompleteMultipartUploadResult>";
	unsigned n = f->step++;

	if (f->flag == PARTS_ERROR_ALWAYS)
		fixture_answer(r, 200, "", ERROR_XML("InternalError"));
	else if (f->flag == PARTS_ERROR_IN_200 && n == 0)
		fixture_answer(r, 200, "", "   \n" ERROR_XML("InternalError"));
	else if (f->flag == PARTS_CUT_200 && n == 0)
		fixture_answer(r, 200, "",
			       "<CompleteMultipartUploadResult><ETag>");
	else if (f->flag == PARTS_LOST_COMPLETE && n == 0)
		r->status = 0;
	else if (f->flag == PARTS_LOST_COMPLETE)
		fixture_answer(r, 404, "", ERROR_XML("NoSuchUpload"));
	else
		fixture_answer(r, 200, "", good);
}

static void in_parts(void *arg, const struct scripted_request *req,
		     struct scripted_reply *r)
{
	struct fixture *f = arg;

	if (strcmp(req->method, "POST") == 0 &&
	    strstr(req->target, "?uploads=") != NULL) {
		fixture_answer(r, 200, "",
			       "<InitiateMultipartUploadResult><UploadId>u/1+2"
			       "</UploadId></InitiateMultipartUploadResult>");
	} else if (strcmp(req->method, "POST") == 0) {
		(void)snprintf(f->seen[0], sizeof(f->seen[0]), "%s", req->body);
		complete_reply(f, r);
	} else if (strcmp(req->method, "DELETE") == 0) {
		(void)snprintf(f->seen[1], sizeof(f->seen[1]), "%s",
			       req->target);
		fixture_answer(r, 204, "", "");
	} else if (strcmp(req->method, "HEAD") == 0) {
		fixture_answer(r, 200,
			       "ETag: \"all-5\"\r\nx-amz-meta-a: mine\r\n"
			       "Content-Length: 22020096\r\n",
			       "");
		r->no_length = 1;
	} else if (strstr(req->target, "partNumber=3&") != NULL &&
		   f->seen[2][0] == '\0') {
		f->seen[2][0] = 'x';
		fixture_answer(r, 500, "", "");
	} else {
		fixture_answer(r, 200, "ETag: \"p\"\r\n", "");
	}
}

static int put_parts(struct fixture *f, enum parts_script script)
{
	struct meta meta = { 0 };
	struct store_head what = { NULL, NULL, &meta };
	struct store_source src = { (size_t)21 << 20, fixture_pattern_read,
				    NULL };
	struct store_stat st = { 0 };
	int rc;

	assert_int_equal(meta_set(&meta, "a", "mine"), 0);
	fixture_begin(f, in_parts);
	f->flag = (int)script;
	rc = f->store->ops->put(f->store, "k", &src, &what, &f->call, &st);
	if (rc == 0) {
		assert_string_equal(st.etag, "all-5");
		assert_int_equal(st.len, src.len);
	}
	return rc;
}

static void completes_uploads(void **state)
{
	struct fixture f;

	(void)state;
	assert_int_equal(put_parts(&f, PARTS_ERROR_IN_200), 0);
	assert_int_equal(f.step, 2);
	assert_string_equal(f.seen[1], "");
	assert_non_null(strstr(f.seen[0], "<Part><PartNumber>5</PartNumber>"
					  "<ETag>&quot;p&quot;</ETag></Part>"));
	/* Repeated by themselves: the part and Complete, not the upload. */
	assert_int_equal(f.retried, 0);
	fixture_end(&f);
	assert_int_equal(put_parts(&f, PARTS_CUT_200), 0);
	fixture_end(&f);
	assert_int_equal(put_parts(&f, PARTS_LOST_COMPLETE), 0);
	fixture_end(&f);
	assert_int_equal(put_parts(&f, PARTS_ERROR_ALWAYS), -EIO);
	assert_string_equal(f.seen[1], "/bkt/k?uploadId=u%2F1%2B2");
	assert_non_null(strstr(f.error.text, "InternalError"));
	fixture_end(&f);
}

static void copies_late(void *arg, const struct scripted_request *req,
			struct scripted_reply *r)
{
	struct fixture *f = arg;

	scripted_header(req, "x-amz-copy-source", f->seen[0], 1024);
	fixture_answer(r, 200, "",
		       f->step++ == 0 ? ERROR_XML("InternalError") : COPY_XML);
}

static void copies_despite_200(void **state)
{
	struct store_stat st = { 0 };
	struct fixture f;

	(void)state;
	fixture_begin(&f, copies_late);
	assert_int_equal(
		f.store->ops->copy(f.store, "a b+c", "k", NULL, &f.call, &st),
		0);
	assert_string_equal(st.etag, "e1");
	assert_string_equal(f.seen[0], "/bkt/a%20b%2Bc");
	assert_int_equal(f.retried, 1);
	fixture_end(&f);
}

/* ---- silence ---- */

static void asks_to_wait(void *arg, const struct scripted_request *req,
			 struct scripted_reply *r)
{
	(void)arg;
	if (req->number == 0)
		fixture_answer(r, 503, "Retry-After: 1\r\n",
			       ERROR_XML("SlowDown"));
	else
		fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
}

static void waits_as_told(void **state)
{
	struct store_stat st = { 0 };
	struct fixture f;
	uint64_t start = fixture_now_ms();

	(void)state;
	fixture_begin(&f, asks_to_wait);
	assert_int_equal(fixture_put(&f, "x", NULL, &st), 0);
	assert_string_equal(st.etag, "e");
	assert_int_equal(scripted_count(f.server), 2);
	assert_true(fixture_now_ms() - start >= 1000);
	fixture_end(&f);
}

static void hangs(void *arg, const struct scripted_request *req,
		  struct scripted_reply *r)
{
	(void)arg;
	(void)req;
	r->hang_s = 60;
}

static int after_a_while(void *arg)
{
	const uint64_t *until = arg;

	return fixture_now_ms() >= *until;
}

static void never_waits_for_ever(void **state)
{
	struct fixture f;
	struct store *s;
	uint64_t start = fixture_now_ms();
	uint64_t until = start + 500;
	struct fixture_text t;

	(void)state;
	fixture_begin(&f, hangs);
	f.call.cancel = after_a_while;
	f.call.cancel_arg = &until;
	assert_int_equal(fixture_get(&f, 0, 8, &t), -EINTR);
	assert_true(fixture_now_ms() - start < 3000);
	f.call.cancel = NULL;

	f.conf.timeout_s = 1;
	assert_int_equal(s3_client_new(&s, &f.conf, f.cred, NULL), 0);
	start = fixture_now_ms();
	assert_int_equal(
		s->ops->get(s, "k", 0, 8, &f.call, fixture_sink, &t, NULL),
		-EAGAIN);
	assert_int_equal(f.error.cause, ETIMEDOUT);
	assert_non_null(strstr(f.error.text, "no byte moved"));
	assert_true(fixture_now_ms() - start < 5000);
	s->ops->free(s);
	fixture_end(&f);
}

/* A retry is not waited for either. */
static void cancels_a_wait(void **state)
{
	struct fixture f;
	uint64_t start = fixture_now_ms();
	uint64_t until = start + 300;

	(void)state;
	fixture_begin(&f, asks_to_wait);
	f.call.cancel = after_a_while;
	f.call.cancel_arg = &until;
	assert_int_equal(fixture_put(&f, "x", NULL, NULL), -EINTR);
	assert_true(fixture_now_ms() - start < 900);
	fixture_end(&f);
}

/* A kept connection that the server closes behind our back. */
static void closes_behind(void *arg, const struct scripted_request *req,
			  struct scripted_reply *r)
{
	struct fixture *f = arg;

	(void)req;
	f->step++;
	fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
	r->close = 1;
}

static void survives_dead_connections(void **state)
{
	struct fixture f;
	int i;

	(void)state;
	fixture_begin(&f, closes_behind);
	for (i = 0; i < 5; i++)
		assert_int_equal(fixture_put(&f, "some bytes", NULL, NULL), 0);
	assert_int_equal(f.step, 5);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resumes_a_get),
		cmocka_unit_test(takes_no_half_of_the_headers),
		cmocka_unit_test(knows_its_own_write),
		cmocka_unit_test(completes_uploads),
		cmocka_unit_test(copies_despite_200),
		cmocka_unit_test(waits_as_told),
		cmocka_unit_test(never_waits_for_ever),
		cmocka_unit_test(cancels_a_wait),
		cmocka_unit_test(survives_dead_connections),
	};

	return cmocka_run_group_tests_name("s3faults", tests, NULL, NULL);
}
