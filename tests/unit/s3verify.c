/* What the client does not take for done, whatever the status says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/digest.h"
#include "s3/client_private.h"
#include "s3/known_stores.h"
#include "s3/process.h"
#include "s3/upload_private.h"
#include "tests/support/s3fixture.h"

/* A client that knows of its server what it would have probed. */
static void begin(struct fixture *f, scripted_fn *fn,
		  const struct store_caps *caps)
{
	struct store *client;
	struct s3 *s;

	fixture_begin(f, fn);
	f->store->ops->free(f->store);
	assert_int_equal(s3_client_new(&client, &f->conf, f->cred, &f->error),
			 0);
	s = s3_of(client);
	s->caps = *caps;
	s->probed = 1;
	assert_int_equal(s3_retry_new(&f->store, client, &f->conf), 0);
}

static void error_first(void *arg, const struct scripted_request *req,
			struct scripted_reply *r)
{
	struct fixture *f = arg;

	(void)req;
	if (f->step++ == 0)
		fixture_answer(r, 200, "", " \n" ERROR_XML("InternalError"));
	else
		fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
}

static void an_error_in_a_200_is_one(void **state)
{
	static const struct store_caps caps = STORE_CAPS_ALL;
	struct fixture f;
	struct store_stat st;

	(void)state;
	begin(&f, error_first, &caps);
	assert_int_equal(fixture_put(&f, "bytes", NULL, &st), 0);
	assert_int_equal(f.step, 2);
	assert_string_equal(st.etag, "e");
	f.step = 0;
	assert_int_equal(f.store->ops->remove(f.store, "k", &f.call), 0);
	assert_int_equal(f.step, 2);
	fixture_end(&f);
}

/* Flips a bit as often as `flag` says, and tells of what it got by its MD5. */
static void stores_damaged(void *arg, const struct scripted_request *req,
			   struct scripted_reply *r)
{
	struct fixture *f = arg;
	uint8_t md5[DIGEST_MD5_LEN];
	char hex[2 * sizeof(md5) + 1];
	char header[80];

	if (f->flag-- > 0)
		req->body[0] ^= 1;
	assert_int_equal(digest_md5(req->body, req->body_len, md5), 0);
	hex_encode(hex, md5, sizeof(md5));
	(void)snprintf(header, sizeof(header), "ETag: \"%s\"\r\n", hex);
	fixture_answer(r, 200, header, "");
}

static void a_damaged_upload_is_no_success(void **state)
{
	struct store_caps caps = STORE_CAPS_ALL;
	struct fixture f;

	(void)state;
	caps.checks_sha256 = 0;
	caps.etag_md5 = 1;
	begin(&f, stores_damaged, &caps);
	assert_int_equal(fixture_put(&f, "bytes", NULL, NULL), 0);
	f.flag = 1;
	assert_int_equal(fixture_put(&f, "bytes", NULL, NULL), -EIO);
	assert_non_null(strstr(f.error.text, "damaged"));
	fixture_end(&f);
}

/* Keeps fewer bytes than it was sent. */
static void keeps_less(void *arg, const struct scripted_request *req,
		       struct scripted_reply *r)
{
	struct fixture *f = arg;

	if (strcmp(req->method, "HEAD") == 0) {
		fixture_answer(r, 200, "ETag: \"e\"\r\n",
			       f->flag ? "byte" : "bytes");
		f->step++;
	} else {
		fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
	}
}

static void a_length_is_looked_at_where_nothing_else_is(void **state)
{
	struct store_caps caps = STORE_CAPS_ALL;
	struct fixture f;

	(void)state;
	caps.checks_sha256 = 0;
	begin(&f, keeps_less, &caps);
	assert_int_equal(fixture_put(&f, "bytes", NULL, NULL), 0);
	assert_int_equal(f.step, 1);
	f.flag = 1;
	assert_int_equal(fixture_put(&f, "bytes", NULL, NULL), -EIO);
	assert_non_null(strstr(f.error.text, "4 bytes"));
	/* So that the next try replaces it. */
	assert_string_equal(f.error.etag, "e");
	fixture_end(&f);
}

/* The first PUT's answer is lost; what is there is ours, by all but its MD5. */
static void loses_an_answer(void *arg, const struct scripted_request *req,
			    struct scripted_reply *r)
{
	static const char headers[] =
		"ETag: \"%s\"\r\nx-amz-meta-dg-tool: t\r\n";
	static const char good[] = "4b3a6218bb3e3a7303e8a171a60fcf92";
	static const char bad[] = "4b3a6218bb3e3a7303e8a171a60fcf93";
	struct fixture *f = arg;
	char text[128];

	(void)snprintf(text, sizeof(text), headers, f->flag ? bad : good);
	if (strcmp(req->method, "HEAD") == 0)
		fixture_answer(r, 200, text, "bytes");
	else if (f->step++ == 0)
		fixture_answer(r, 500, "", ERROR_XML("InternalError"));
	else
		fixture_answer(r, 412, "", ERROR_XML("PreconditionFailed"));
}

static void a_lost_answer_is_believed_by_the_md5(void **state)
{
	struct store_caps caps = STORE_CAPS_ALL;
	struct meta meta = { .len = 0 };
	const struct store_head head = { .meta = &meta };
	struct fixture f;

	(void)state;
	caps.checks_sha256 = 0;
	caps.etag_md5 = 1;
	begin(&f, loses_an_answer, &caps);
	assert_int_equal(meta_set(&meta, "dg-tool", "t"), 0);
	f.call.if_absent = 1;
	assert_int_equal(fixture_put(&f, "bytes", &head, NULL), 0);
	f.step = 0;
	f.flag = 1;
	assert_int_equal(fixture_put(&f, "bytes", &head, NULL), -EEXIST);
	fixture_end(&f);
}

/* A 200 that is an error, and then the object. */
static void errs_before_the_object(void *arg,
				   const struct scripted_request *req,
				   struct scripted_reply *r)
{
	struct fixture *f = arg;

	(void)req;
	if (f->step++ == 0)
		fixture_answer(r, 200, "", ERROR_XML("SlowDown"));
	else
		fixture_answer(r, 200, "ETag: \"e\"\r\n", "bytes");
}

static void an_error_is_no_object(void **state)
{
	static const struct store_caps caps = STORE_CAPS_ALL;
	struct fixture_text t = { .len = 0 };
	struct fixture f;

	(void)state;
	begin(&f, errs_before_the_object, &caps);
	assert_int_equal(fixture_get(&f, 0, 5, &t), 0);
	assert_int_equal(t.len, 5);
	assert_memory_equal(t.data, "bytes", 5);
	assert_int_equal(f.step, 2);
	fixture_end(&f);
}

/* ListObjects of version 1: a page of two, by marker. */
static void lists_v1(void *arg, const struct scripted_request *req,
		     struct scripted_reply *r)
{
#define ENTRY(key)                                                 \
	"<Contents><Key>" key "</Key><Size>1</Size><ETag>e</ETag>" \
	"<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
	static const char head[] = "<ListBucketResult><IsTruncated>";
	struct fixture *f = arg;
	char body[1024];

	f->step++;
	(void)snprintf(f->seen[f->step % 4], sizeof(f->seen[0]), "%s",
		       req->target);
	if (strstr(req->target, "marker=b") != NULL)
		(void)snprintf(body, sizeof(body),
			       "%sfalse</IsTruncated>%s</ListBucketResult>",
			       head, ENTRY("c"));
	else
		(void)snprintf(body, sizeof(body),
			       "%strue</IsTruncated>%s%s</ListBucketResult>",
			       head, ENTRY("a"), ENTRY("b"));
	fixture_answer(r, 200, "", body);
}

static void version_1_will_do(void **state)
{
	struct store_list what = { .prefix = "" };
	struct fixture f;
	struct store_caps caps;
	int n = 0;

	(void)state;
	fixture_begin(&f, lists_v1);
	assert_int_equal(f.store->ops->check(f.store, &f.call), 0);
	f.store->ops->caps(f.store, &caps);
	assert_int_equal(caps.list_version, 1);
	assert_int_equal(f.store->ops->list(f.store, &what, &f.call,
					    fixture_count_entry, &n),
			 0);
	assert_int_equal(n, 3);
	assert_int_equal(f.step, 3);
	assert_null(strstr(f.seen[3], "list-type"));
	fixture_end(&f);
}

/* What was not asked for would be taken for a name below the prefix. */
static void lists_others(void *arg, const struct scripted_request *req,
			 struct scripted_reply *r)
{
	static const char *const bodies[] = {
		ENTRY("a"),
		ENTRY("long/di"),
		ENTRY("long/dirx/a"),
		"<CommonPrefixes><Prefix>long/</Prefix></CommonPrefixes>",
		"<CommonPrefixes><Prefix>long/dir/</Prefix></CommonPrefixes>",
		"<CommonPrefixes><Prefix>long/dir/a</Prefix></CommonPrefixes>",
		"<CommonPrefixes><Prefix>long/dir/a/</Prefix></CommonPrefixes>",
	};
	struct fixture *f = arg;
	char body[512];

	(void)req;
	(void)snprintf(body, sizeof(body),
		       "<ListBucketResult><IsTruncated>false</IsTruncated>%s"
		       "</ListBucketResult>",
		       bodies[f->step]);
	fixture_answer(r, 200, "", body);
}

static void what_was_not_asked_for_is_refused(void **state)
{
	struct store_list what = { .prefix = "long/dir/", .shallow = 1 };
	struct fixture f;
	int n = 0;

	(void)state;
	fixture_begin(&f, lists_others);
	for (f.step = 0; f.step < 6; f.step++) {
		assert_int_equal(f.store->ops->list(f.store, &what, &f.call,
						    fixture_count_entry, &n),
				 -EIO);
		assert_non_null(strstr(f.error.text, "not asked for"));
	}
	assert_int_equal(n, 0);
	assert_int_equal(f.store->ops->list(f.store, &what, &f.call,
					    fixture_count_entry, &n),
			 0);
	what.shallow = 0;
	assert_int_equal(f.store->ops->list(f.store, &what, &f.call,
					    fixture_count_entry, &n),
			 -EIO);
	assert_int_equal(n, 1);
	fixture_end(&f);
}

/* Any size up to S3's 5 TiB fits into 10,000 parts of no more than 5 GiB. */
static void parts_grow_with_the_object(void **state)
{
	static const uint64_t lens[] = { 1, (uint64_t)160000 << 20,
					 ((uint64_t)160000 << 20) + 1,
					 (uint64_t)5 << 40 };
	const uint64_t wanted = (uint64_t)16 << 20;
	const struct store_call call = { 0 };
	struct upload u = { .key = "k", .call = &call };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		u.len = lens[i];
		assert_int_equal(upload_plan(&u, wanted), 0);
		assert_true(u.part_size >= wanted && u.part_size <= S3_PUT_MAX);
		assert_true(u.part_size * S3_PARTS_MAX >= u.len);
		/* No larger than it has to be, by a MiB. */
		assert_true(u.part_size == wanted ||
			    (u.part_size - (1 << 20)) * S3_PARTS_MAX < u.len);
	}
	u.len = S3_PUT_MAX * S3_PARTS_MAX + 1;
	assert_int_equal(upload_plan(&u, wanted), -EFBIG);
}

/* ---- what is asked for with each object ---- */

static void remembers_headers(void *arg, const struct scripted_request *req,
			      struct scripted_reply *r)
{
	struct fixture *f = arg;

	(void)snprintf(f->seen[0], sizeof(f->seen[0]), "%.2047s", req->headers);
	fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
}

static void asks_for_what_it_is_told(void **state)
{
	static const uint8_t key[S3_CUSTOMER_KEY_LEN] =
		"0123456789abcdef0123456789abcde";
	struct fixture f;
	struct store *s;
	struct store_stat st;

	(void)state;
	fixture_begin(&f, remembers_headers);
	f.conf.storage_class = "STANDARD_IA";
	f.conf.acl = "bucket-owner-full-control";
	f.conf.sse = "aws:kms";
	f.conf.sse_kms_key_id = "arn:key";
	f.conf.requester_pays = 1;
	assert_int_equal(s3_client_new(&s, &f.conf, f.cred, NULL), 0);
	assert_int_equal(s->ops->put(s, "k",
				     &(struct store_source){ 0, NULL, NULL },
				     NULL, &f.call, &st),
			 0);
	assert_non_null(
		strstr(f.seen[0], "x-amz-storage-class: STANDARD_IA\n"));
	assert_non_null(
		strstr(f.seen[0], "x-amz-acl: bucket-owner-full-control\n"));
	assert_non_null(
		strstr(f.seen[0], "x-amz-server-side-encryption: aws:kms\n"));
	assert_non_null(
		strstr(f.seen[0], "encryption-aws-kms-key-id: arn:key\n"));
	assert_non_null(strstr(f.seen[0], "x-amz-request-payer: requester\n"));
	assert_int_equal(s->ops->head(s, "k", &f.call, &st), 0);
	assert_null(strstr(f.seen[0], "x-amz-storage-class"));
	assert_non_null(strstr(f.seen[0], "x-amz-request-payer: requester\n"));
	s->ops->free(s);

	f.conf.sse = f.conf.sse_kms_key_id = NULL;
	f.conf.sse_customer_key = key;
	assert_int_equal(s3_client_new(&s, &f.conf, f.cred, NULL), 0);
	assert_int_equal(s->ops->head(s, "k", &f.call, &st), 0);
	assert_non_null(strstr(f.seen[0], "customer-algorithm: AES256\n"));
	assert_non_null(strstr(
		f.seen[0],
		"customer-key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQA=\n"));
	assert_non_null(strstr(f.seen[0], "customer-key-md5: "));
	s->ops->free(s);

	/* Not to be read on the way. */
	f.conf.endpoint = "http://192.0.2.1";
	assert_int_equal(s3_client_new(&s, &f.conf, f.cred, &f.error), -EINVAL);
	assert_non_null(strstr(f.error.text, "https://"));
	fixture_end(&f);
}

/* ---- what a host's name tells ---- */

static void knows_stores_by_name(void **state)
{
	static const struct {
		const char *host, *name, *region;
		int in_host;
	} cases[] = {
		{ "storage.googleapis.com", "google", "auto", 0 },
		{ "0123abc.r2.cloudflarestorage.com", "cloudflare", "auto", 0 },
		{ "nyc3.digitaloceanspaces.com", "digitalocean", "us-east-1",
		  0 },
		{ "s3.us-west-004.backblazeb2.com:443", "backblaze",
		  "us-west-004", 0 },
		{ "s3.wasabisys.com", "wasabi", "us-east-1", 0 },
		{ "S3.EU-central-1.Wasabisys.com", "wasabi", "EU-central-1",
		  0 },
		{ "s3.fr-par.scw.cloud", "scaleway", "fr-par", 0 },
		{ "sos-ch-gva-2.exo.io", "exoscale", "ch-gva-2", 0 },
		{ "oss-cn-hangzhou.aliyuncs.com", "alibaba", "oss-cn-hangzhou",
		  1 },
		{ "cos.ap-guangzhou.myqcloud.com", "tencent", "ap-guangzhou",
		  1 },
	};
	static const char *const others[] = { "localhost", "127.0.0.1:9000",
					      "wasabisys.com.example.com",
					      ".backblazeb2.com", "" };
	char region[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct known_store *k = known_store_find(cases[i].host);

		assert_non_null(k);
		assert_string_equal(k->name, cases[i].name);
		assert_int_equal(k->in_host, cases[i].in_host);
		known_store_region(k, cases[i].host, "us-east-1", region,
				   sizeof(region));
		assert_string_equal(region, cases[i].region);
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_null(known_store_find(others[i]));
}

/* ---- who has noted an upload ---- */

static void knows_who_has_ended(void **state)
{
	static const char *const bad[] = {
		"",
		"machine a\n",
		"machine a\nboot b\n",
		"machine a\nboot b\nprocess 1 2\n",
		"machine a\nboot b\nprocess 1 2 x\n",
		"machine a\nboot b\nprocess 1 2 3 4\n",
		"machine a\nboot b\nprocess 1 2 99999999999999999999999\n",
	};
	struct process me, read;
	struct bytes text = BYTES_INIT;
	size_t i;

	(void)state;
	process_self(&me);
	assert_int_equal(me.pid, getpid());
	assert_true(me.start > 0 && me.pid_space > 0 && me.boot[0] != '\0');
	assert_int_equal(process_write(&text, &me), 0);
	assert_int_equal(bytes_append(&text, "upload x y\n", 12), 0);
	assert_int_equal(process_read(&read, (char *)text.data), 0);
	assert_memory_equal(&read, &me, sizeof(me));
	bytes_clear(&text);
	assert_false(process_has_ended(&me));
	/* A number that somebody else has got since. */
	read.start++;
	assert_int_equal(process_has_ended(&read), me.machine[0] != '\0');
	/* Of other machines nothing is known. */
	read.boot[0] ^= 1;
	assert_false(process_has_ended(&read));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(process_read(&read, bad[i]), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_in_a_200_is_one),
		cmocka_unit_test(a_damaged_upload_is_no_success),
		cmocka_unit_test(a_length_is_looked_at_where_nothing_else_is),
		cmocka_unit_test(a_lost_answer_is_believed_by_the_md5),
		cmocka_unit_test(an_error_is_no_object),
		cmocka_unit_test(version_1_will_do),
		cmocka_unit_test(what_was_not_asked_for_is_refused),
		cmocka_unit_test(parts_grow_with_the_object),
		cmocka_unit_test(asks_for_what_it_is_told),
		cmocka_unit_test(knows_stores_by_name),
		cmocka_unit_test(knows_who_has_ended),
	};

	return cmocka_run_group_tests_name("s3verify", tests, NULL, NULL);
}
