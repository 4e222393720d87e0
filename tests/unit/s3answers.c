/* The client against answers that are odd, and what it sends itself. */
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

/* ---- statuses ---- */

static void always_500(void *arg, const struct scripted_request *req,
		       struct scripted_reply *r)
{
	(void)arg;
	(void)req;
	fixture_answer(r, 500, "", ERROR_XML("InternalError"));
}

static void gives_up(void **state)
{
	struct store_counters counters;
	struct fixture f;
	struct fixture_text t;

	(void)state;
	fixture_begin(&f, always_500);
	assert_int_equal(fixture_get(&f, 0, 8, &t), -EIO);
	assert_int_equal(scripted_count(f.server), RETRIES + 1);
	assert_int_equal(f.retried, RETRIES);
	assert_non_null(strstr(f.error.text, "InternalError"));
	store_count(f.store, &counters);
	assert_int_equal(counters.get, RETRIES + 1);
	assert_int_equal(counters.retries, RETRIES);
	assert_int_equal(counters.errors, RETRIES + 1);
	fixture_end(&f);
}

struct meaning {
	int status;
	const char *body;
	int rc;
};

static void says_status(void *arg, const struct scripted_request *req,
			struct scripted_reply *r)
{
	struct fixture *f = arg;
	const struct meaning *m = f->arg;

	(void)req;
	fixture_answer(r, m->status, "Location: http://127.0.0.1:1/\r\n",
		       m->body);
}

static void maps_errors(void **state)
{
	static const struct meaning meanings[] = {
		{ 404, ERROR_XML("NoSuchKey"), -ENOENT },
		{ 403, ERROR_XML("AccessDenied"), -EACCES },
		{ 403, ERROR_XML("SlowDown"), -EIO },
		{ 403, ERROR_XML("QuotaExceeded"), -EDQUOT },
		{ 507, "no space", -EDQUOT },
		{ 400, ERROR_XML("EntityTooLarge"), -EFBIG },
		{ 400, ERROR_XML("KeyTooLongError"), -ENAMETOOLONG },
		{ 400, ERROR_XML("InvalidArgument"), -EIO },
		{ 302, "", -EIO },
		{ 416, ERROR_XML("InvalidRange"), -EIO },
		{ 504, "", -ETIMEDOUT },
		{ 501, ERROR_XML("NotImplemented"), -EIO },
		{ 400, "<!DOCTYPE x [<!ENTITY e \"v\">]><Error>&e;</Error>",
		  -EIO },
	};
	struct fixture f;
	struct fixture_text t;
	size_t i;

	(void)state;
	fixture_begin(&f, says_status);
	for (i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		f.arg = &meanings[i];
		memset(&f.error, 0, sizeof(f.error));
		assert_int_equal(fixture_get(&f, 0, 8, &t), meanings[i].rc);
		assert_non_null(strstr(f.error.text, "\"k\""));
		assert_non_null(strstr(f.error.text, f.endpoint));
		assert_int_equal(f.error.http_status, meanings[i].status);
	}
	fixture_end(&f);
}

/* ---- what is learned from an answer ---- */

static void is_elsewhere(void *arg, const struct scripted_request *req,
			 struct scripted_reply *r)
{
	struct fixture *f = arg;
	char auth[512];

	scripted_header(req, "authorization", auth, sizeof(auth));
	if (strstr(auth, "/far-away-3/s3/aws4_request") != NULL)
		fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
	else if (f->flag)
		fixture_answer(
			r, 400, "",
			"<Error><Code>AuthorizationHeaderMalformed</Code>"
			"<Region>far-away-3</Region></Error>");
	else
		fixture_answer(r, 301, "x-amz-bucket-region: far-away-3\r\n",
			       "");
}

static void learns_the_region(void **state)
{
	struct store_stat st;
	struct fixture f;

	(void)state;
	fixture_begin(&f, is_elsewhere);
	assert_int_equal(fixture_head(&f, &st), 0);
	assert_int_equal(scripted_count(f.server), 2);
	assert_int_equal(fixture_head(&f, &st), 0);
	assert_int_equal(scripted_count(f.server), 3);
	assert_int_equal(f.retried, 0);
	fixture_end(&f);
	fixture_begin(&f, is_elsewhere);
	f.flag = 1;
	assert_int_equal(fixture_put(&f, "x", NULL, NULL), 0);
	assert_int_equal(scripted_count(f.server), 2);
	fixture_end(&f);
}

/* Its clock is an hour ahead. */
static void is_ahead(void *arg, const struct scripted_request *req,
		     struct scripted_reply *r)
{
	time_t server = time(NULL) + 3600;
	char headers[128];
	char date[64];
	struct tm tm = { 0 };
	long off;

	(void)arg;
	scripted_header(req, "x-amz-date", date, sizeof(date));
	assert_non_null(strptime(date, "%Y%m%dT%H%M%SZ", &tm));
	off = labs((long)(timegm(&tm) - server));
	gmtime_r(&server, &tm);
	(void)strftime(headers, sizeof(headers),
		       "Date: %a, %d %b %Y %H:%M:%S GMT\r\nETag: \"e\"\r\n",
		       &tm);
	if (off < 900)
		fixture_answer(r, 200, headers, "");
	else
		fixture_answer(r, 403, headers,
			       ERROR_XML("RequestTimeTooSkewed"));
}

static void learns_the_time(void **state)
{
	struct store_stat st;
	struct fixture f;

	(void)state;
	fixture_begin(&f, is_ahead);
	assert_int_equal(fixture_put(&f, "x", NULL, NULL), 0);
	assert_int_equal(scripted_count(f.server), 2);
	assert_int_equal(fixture_put(&f, "x", NULL, NULL), 0);
	assert_int_equal(scripted_count(f.server), 3);
	fixture_end(&f);
	/* Of a HEAD there is no body that would say so. */
	fixture_begin(&f, is_ahead);
	assert_int_equal(fixture_head(&f, &st), 0);
	assert_int_equal(scripted_count(f.server), 2);
	fixture_end(&f);
}

/* ---- bodies that are not what was asked for ---- */

static void gives_bodies(void *arg, const struct scripted_request *req,
			 struct scripted_reply *r)
{
	struct fixture *f = arg;

	(void)req;
	switch (f->flag) {
	case 0: /* knows no ranges */
		fixture_answer(r, 200, "ETag: \"e\"\r\n", "01234567");
		break;
	case 1:
		fixture_answer(r, 206, "Content-Range: bytes 1-8/20\r\n",
			       "12345678");
		break;
	case 2:
		fixture_answer(r, 206, "Content-Range: bytes 0-3/4\r\n",
			       "0123");
		break;
	case 3:
		fixture_answer(r, 206, "", "01234567");
		break;
	case 4: /* more than it says */
		fixture_answer(r, 206,
			       "Content-Range: bytes 0-7/20\r\n"
			       "Transfer-Encoding: chunked\r\n",
			       "9\r\n012345678\r\n0\r\n\r\n");
		r->no_length = 1;
		break;
	case 5: /* and less */
		fixture_answer(r, 206,
			       "Content-Range: bytes 0-7/20\r\n"
			       "Transfer-Encoding: chunked\r\n",
			       "3\r\n012\r\n0\r\n\r\n");
		r->no_length = 1;
		break;
	default:
		fixture_answer(r, 200, "", "not what you think");
	}
}

static void checks_ranges(void **state)
{
	struct fixture f;
	struct fixture_text t;

	(void)state;
	fixture_begin(&f, gives_bodies);
	assert_int_equal(fixture_get(&f, 0, 8, &t), 0);
	assert_string_equal(t.data, "01234567");
	assert_int_equal(fixture_get(&f, 0, 7, &t), -EIO);
	assert_int_equal(fixture_get(&f, 1, 7, &t), -EIO);
	assert_string_equal(t.data, "");
	for (f.flag = 1; f.flag <= 3; f.flag++) {
		assert_int_equal(fixture_get(&f, 0, 8, &t), -EIO);
		assert_string_equal(t.data, "");
		assert_int_equal(f.retried, 0);
	}
	f.flag = 4;
	assert_int_equal(fixture_get(&f, 0, 8, &t), -EIO);
	f.flag = 5;
	assert_int_equal(fixture_get(&f, 0, 8, &t),
			 -EIO); /* no ETag to go on by */
	fixture_end(&f);
}

static void lists_badly(void *arg, const struct scripted_request *req,
			struct scripted_reply *r)
{
	static const char *const pages[] = {
		"<IsTruncated>true</IsTruncated>",
		"<IsTruncated>true</IsTruncated>"
		"<NextContinuationToken>same</NextContinuationToken>",
		"<Contents><Key>b</Key></Contents>"
		"<Contents><Key>a</Key></Contents>"
		"<IsTruncated>false</IsTruncated>",
		"<EncodingType>url</EncodingType>"
		"<Contents><Key>a%00b</Key></Contents>",
		"<Contents></Contents>",
		"<Contents><Key>k</Key><Size>-1</Size></Contents>",
		"<Contents><Key>k</Key><LastModified>now</LastModified>"
		"</Contents>",
	};
	struct fixture *f = arg;
	char body[1024];

	(void)req;
	(void)snprintf(body, sizeof(body),
		       "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"u\">"
		       "%s</ListBucketResult>",
		       pages[f->flag]);
	fixture_answer(r, 200, "", body);
}

static void refuses_bad_lists(void **state)
{
	struct store_list what = { .prefix = "" };
	struct fixture f;
	int n = 0;

	(void)state;
	fixture_begin(&f, lists_badly);
	for (f.flag = 0; f.flag < 7; f.flag++) {
		int rc = f.store->ops->list(f.store, &what, &f.call,
					    fixture_count_entry, &n);

		/* Sorted within a page, as keys and prefixes come apart. */
		assert_int_equal(rc, f.flag == 2 ? 0 : -EIO);
	}
	assert_int_equal(n, 2);
	fixture_end(&f);
}

/* Each page fails once: what was given is not given again. */
static void lists_with_errors(void *arg, const struct scripted_request *req,
			      struct scripted_reply *r)
{
	struct fixture *f = arg;

	if (f->step++ % 2 == 1) {
		fixture_answer(r, 503, "", "");
		return;
	}
	if (strstr(req->target, "start-after=a%20b") != NULL)
		fixture_answer(
			r, 200, "",
			"<ListBucketResult><Contents><Key>c</Key></Contents>"
			"</ListBucketResult>");
	else
		fixture_answer(
			r, 200, "",
			"<ListBucketResult><EncodingType>url</EncodingType>"
			"<Contents><Key>a+b</Key></Contents>"
			"<IsTruncated>true</IsTruncated>"
			"<NextContinuationToken>t</NextContinuationToken>"
			"</ListBucketResult>");
}

static void resumes_a_list(void **state)
{
	struct store_list what = { .prefix = "" };
	struct fixture f;
	int n = 0;

	(void)state;
	fixture_begin(&f, lists_with_errors);
	assert_int_equal(f.store->ops->list(f.store, &what, &f.call,
					    fixture_count_entry, &n),
			 0);
	assert_int_equal(n, 2);
	assert_int_equal(f.retried, 1);
	fixture_end(&f);
}

/* ---- what is sent ---- */

static void looks(void *arg, const struct scripted_request *req,
		  struct scripted_reply *r)
{
	struct fixture *f = arg;

	(void)snprintf(f->seen[0], sizeof(f->seen[0]), "%s", req->target);
	scripted_header(req, "host", f->seen[1], 1024);
	scripted_header(req, "authorization", f->seen[2], 1024);
	scripted_header(req, "expect", f->seen[3], 1024);
	scripted_header(req, "x-amz-security-token", f->seen[3] + 200, 800);
	fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
}

static void sends_what_it_should(void **state)
{
	const struct s3_credentials_conf anonymous = { .anonymous = 1 };
	const struct s3_credentials_conf temporary = {
		.access_key = "AK", .secret_key = "SK", .session_token = "TOKEN"
	};
	struct store_source big = { (size_t)2 << 20, fixture_pattern_read,
				    NULL };
	struct s3_conf conf;
	struct store_stat st;
	struct fixture f;
	struct store *s;
	char endpoint[64];
	char host[64];

	(void)state;
	fixture_begin_with(&f, looks, &anonymous);
	assert_int_equal(f.store->ops->head(f.store, "/../a//%41+ ", NULL, &st),
			 0);
	assert_string_equal(f.seen[0], "/bkt//../a//%2541%2B%20");
	assert_string_equal(f.seen[2], "");
	assert_string_equal(f.seen[3], "");
	assert_int_equal(
		f.store->ops->put(f.store, "k", &big, NULL, NULL, NULL), 0);
	assert_string_equal(f.seen[3], "100-continue");
	fixture_end(&f);

	fixture_begin_with(&f, looks, &temporary);
	assert_int_equal(fixture_head(&f, &st), 0);
	assert_string_equal(f.seen[3] + 200, "TOKEN");
	assert_non_null(strstr(f.seen[2], "x-amz-security-token"));
	conf = f.conf;
	conf.path_style = S3_PATH_STYLE_OFF;
	(void)snprintf(endpoint, sizeof(endpoint), "http://localhost:%u/",
		       scripted_port(f.server));
	conf.endpoint = endpoint;
	assert_int_equal(s3_client_new(&s, &conf, f.cred, NULL), 0);
	assert_int_equal(s->ops->head(s, "k", NULL, &st), 0);
	assert_string_equal(f.seen[0], "/k");
	(void)snprintf(host, sizeof(host), "bkt.localhost:%u",
		       scripted_port(f.server));
	assert_string_equal(f.seen[1], host);
	s->ops->free(s);
	fixture_end(&f);
}

static void refuses_bad_settings(void **state)
{
	static const struct s3_conf confs[] = {
		{ .endpoint = "ftp://host", .bucket = "bkt" },
		{ .endpoint = "host:80", .bucket = "bkt" },
		{ .endpoint = "http://", .bucket = "bkt" },
		{ .endpoint = "http://host/path", .bucket = "bkt" },
		{ .endpoint = "http://user@host", .bucket = "bkt" },
		{ .endpoint = "http://host", .bucket = "" },
		{ .endpoint = "http://host", .bucket = "a/b" },
		{ .endpoint = "http://host" },
		{ .endpoint = "http://host", .bucket = "bkt", .region = "a/b" },
		{ .endpoint = "http://host",
		  .bucket = "Big_Bucket",
		  .path_style = S3_PATH_STYLE_OFF },
	};
	struct store_error error;
	struct fixture f;
	struct store *s;
	size_t i;

	(void)state;
	fixture_begin(&f, looks);
	for (i = 0; i < sizeof(confs) / sizeof(confs[0]); i++) {
		memset(&error, 0, sizeof(error));
		assert_int_equal(s3_client_new(&s, &confs[i], f.cred, &error),
				 -EINVAL);
		assert_true(error.text[0] != '\0');
	}
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_up),
		cmocka_unit_test(maps_errors),
		cmocka_unit_test(learns_the_region),
		cmocka_unit_test(learns_the_time),
		cmocka_unit_test(checks_ranges),
		cmocka_unit_test(refuses_bad_lists),
		cmocka_unit_test(resumes_a_list),
		cmocka_unit_test(sends_what_it_should),
		cmocka_unit_test(refuses_bad_settings),
	};

	return cmocka_run_group_tests_name("s3answers", tests, NULL, NULL);
}
