/*
 * The client against a real server, which DG_TEST_S3_* name: without them
 * this test is skipped.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "s3/client.h"
#include "s3/credentials.h"
#include "tests/support/store_contract.h"

#define KEYS 1203

static struct s3_conf conf;
static struct s3_credentials *cred;
static char prefix[64];

static struct store *client(const struct s3_conf *c, struct s3_credentials *k)
{
	struct store_error error = { 0 };
	struct store *s = NULL;

	if (s3_client_new(&s, c, k, &error) != 0)
		fail_msg("%s", error.text);
	return s;
}

static int put(struct store *s, const char *key, const char *text,
	       const struct store_call *call, struct store_stat *out)
{
	struct contract_memory m = { (const unsigned char *)text,
				     strlen(text) };
	struct store_source src = contract_source(&m);

	return s->ops->put(s, key, &src, NULL, call, out);
}

static void assert_line(const struct store_error *error, const char *a,
			const char *b)
{
	print_message("    %s\n", error->text);
	assert_non_null(strstr(error->text, a));
	assert_non_null(strstr(error->text, b));
}

/* A wrong key, bucket or endpoint is one clear line, and soon. */
static void says_what_is_wrong(void **state)
{
	struct s3_credentials_conf bad = { .access_key = "NOSUCHKEY",
					   .secret_key = "x" };
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct s3_conf c = conf;
	struct s3_credentials *other;
	struct store_stat st;
	struct store *s;
	time_t start = time(NULL);

	(void)state;
	s = client(&conf, cred);
	assert_int_equal(s->ops->check(s, &call), 0);
	s->ops->free(s);

	c.bucket = "no-such-bucket-here";
	s = client(&c, cred);
	assert_int_equal(s->ops->check(s, &call), -ENOENT);
	assert_line(&error, "\"no-such-bucket-here\" does not exist",
		    conf.endpoint);
	assert_int_equal(put(s, "k", "x", &call, NULL), -ENOENT);
	assert_line(&error, "does not exist", conf.endpoint);
	call.if_match = "0123";
	assert_int_equal(put(s, "k", "x", &call, NULL), -ESTALE);
	call.if_match = NULL;
	s->ops->free(s);

	assert_int_equal(s3_credentials_new(&other, &bad, &error), 0);
	s = client(&conf, other);
	assert_int_equal(s->ops->check(s, &call), -EACCES);
	assert_line(&error, "InvalidAccessKeyId", "check the access key");
	assert_int_equal(s->ops->head(s, "k", &call, &st), -EACCES);
	s->ops->free(s);
	s3_credentials_free(other);

	bad.access_key = getenv("DG_TEST_S3_ACCESS_KEY");
	assert_int_equal(s3_credentials_new(&other, &bad, &error), 0);
	s = client(&conf, other);
	assert_int_equal(s->ops->check(s, &call), -EACCES);
	assert_line(&error, "SignatureDoesNotMatch", "check the secret key");
	s->ops->free(s);
	s3_credentials_free(other);

	c = conf;
	c.endpoint = "http://127.0.0.1:1";
	s = client(&c, cred);
	assert_int_equal(s->ops->check(s, &call), -EAGAIN);
	assert_int_equal(error.cause, EHOSTUNREACH);
	assert_line(&error, "http://127.0.0.1:1", "is the server up?");
	s->ops->free(s);

	c.endpoint = "http://no-such-host.invalid";
	s = client(&c, cred);
	assert_int_equal(s->ops->check(s, &call), -EAGAIN);
	assert_int_equal(error.cause, EHOSTUNREACH);
	assert_line(&error, "no-such-host.invalid", "cannot connect");
	s->ops->free(s);
	assert_true(time(NULL) - start < 20);
}

/* Whatever it finds, it is found twice, and leaves nothing. */
static void probes(void **state)
{
	struct store *s = client(&conf, cred);
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store_counters counters;
	struct store_caps caps;
	struct store_caps again;
	int rc;

	(void)state;
	s->ops->caps(s, &caps);
	assert_false(caps.put_if_absent || caps.put_if_match);
	rc = s->ops->probe(s, prefix, &call);
	if (rc != 0)
		fail_msg("%s", error.text);
	s->ops->caps(s, &caps);
	print_message("    put: absent %d match %d, complete: absent %d match "
		      "%d, remove: match %d, copy: match %d absent %d\n",
		      caps.put_if_absent, caps.put_if_match,
		      caps.complete_if_absent, caps.complete_if_match,
		      caps.remove_if_match, caps.copy_if_match,
		      caps.copy_if_absent);
	store_count(s, &counters);
	assert_true(counters.put + counters.copy + counters.remove +
			    counters.part + counters.head <
		    50);
	assert_int_equal(s->ops->probe(s, prefix, NULL), 0);
	s->ops->caps(s, &again);
	assert_memory_equal(&caps, &again, sizeof(caps));
	s->ops->free(s);
}

static int count_in_order(void *arg, const char *key,
			  const struct store_stat *st, int is_prefix)
{
	char expected[128];
	int *n = arg;

	(void)is_prefix;
	(void)snprintf(expected, sizeof(expected), "%smany/%05d", prefix, *n);
	assert_string_equal(key, expected);
	assert_int_equal(st->len, 1);
	assert_true(st->etag[0] != '\0' && st->mtime.tv_sec > 0);
	++*n;
	return 0;
}

static void lists_many(void **state)
{
	struct store *s = client(&conf, cred);
	struct store_list what = { .shallow = 1 };
	char under[128];
	char key[160];
	int n = 0;
	int i;

	(void)state;
	(void)snprintf(under, sizeof(under), "%smany/", prefix);
	what.prefix = under;
	for (i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof(key), "%s%05d", under, i);
		assert_int_equal(put(s, key, "x", NULL, NULL), 0);
	}
	assert_int_equal(s->ops->list(s, &what, NULL, count_in_order, &n), 0);
	assert_int_equal(n, KEYS);
	n = 0;
	what.max = 1100;
	assert_int_equal(s->ops->list(s, &what, NULL, count_in_order, &n), 0);
	assert_int_equal(n, 1100);
	for (i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof(key), "%s%05d", under, i);
		assert_int_equal(s->ops->remove(s, key, NULL), 0);
	}
	s->ops->free(s);
}

struct pattern {
	uint64_t at;
	unsigned seed;
};

static int pattern_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct pattern *p = arg;
	unsigned char *out = buf;
	size_t i;

	for (i = 0; i < len; i++)
		out[i] = contract_byte(off + i, p->seed);
	return 0;
}

static int pattern_check(void *arg, const void *data, size_t len)
{
	struct pattern *p = arg;
	const unsigned char *in = data;
	size_t i;

	for (i = 0; i < len; i++)
		if (in[i] != contract_byte(p->at + i, p->seed))
			return -EBADMSG;
	p->at += len;
	return 0;
}

static int failing_read(void *arg, void *buf, size_t len, uint64_t off)
{
	if (off > 12000000)
		return -ENODATA;
	return pattern_read(arg, buf, len, off);
}

/* In parts of 5 MiB, the last one odd; and one that fails on the way. */
static void uploads_parts(void **state)
{
	struct store *s = client(&conf, cred);
	struct pattern p = { 0, 3 };
	struct store_source src = { ((size_t)23 << 20) + 7, pattern_read, &p };
	struct store_source bad = { (size_t)23 << 20, failing_read, &p };
	struct store_counters before;
	struct store_counters after;
	struct store_stat out = { 0 };
	struct store_stat st;
	char key[128];

	(void)state;
	(void)snprintf(key, sizeof(key), "%sin +parts%%", prefix);
	store_count(s, &before);
	assert_int_equal(s->ops->put(s, key, &src, NULL, NULL, &out), 0);
	store_count(s, &after);
	assert_int_equal(after.part - before.part, 5);
	assert_int_equal(after.retries, 0);
	assert_int_equal(after.errors, 0);
	assert_int_equal(out.len, src.len);
	assert_int_equal(s->ops->head(s, key, NULL, &st), 0);
	assert_string_equal(st.etag, out.etag);
	assert_int_equal(st.len, src.len);
	assert_int_equal(
		s->ops->get(s, key, 0, src.len, NULL, pattern_check, &p, NULL),
		0);
	assert_int_equal(s->ops->put(s, key, &bad, NULL, NULL, NULL), -ENODATA);
	assert_int_equal(s->ops->head(s, key, NULL, &st), 0);
	assert_string_equal(st.etag, out.etag);
	assert_int_equal(s->ops->remove(s, key, NULL), 0);
	s->ops->free(s);
}

static const struct store_head a_head = { .content_type = "text/odd" };

/* As of more than 5 GiB, on a server that copies no more than 6 MiB at once. */
static void copies_parts(void **state)
{
	struct s3_conf small = conf;
	struct pattern p = { 0, 5 };
	struct store_source src = { ((size_t)15 << 20) + 3, pattern_read, &p };
	struct store_counters before;
	struct store_counters after;
	struct store_error error = { 0 };
	struct store_call call = { 0 };
	struct store_stat st, copied;
	struct store *s;
	char from[128], to[128];

	(void)state;
	small.copy_max = 6 << 20;
	s = client(&small, cred);
	(void)snprintf(from, sizeof(from), "%slarge +", prefix);
	(void)snprintf(to, sizeof(to), "%slarge copied", prefix);
	assert_int_equal(s->ops->put(s, from, &src, &a_head, NULL, NULL), 0);
	store_count(s, &before);
	call.error = &error;
	if (s->ops->copy(s, from, to, NULL, &call, &copied) != 0)
		fail_msg("%s", error.text);
	store_count(s, &after);
	assert_int_equal(after.copy - before.copy, 3);
	assert_int_equal(after.errors, before.errors);
	assert_int_equal(s->ops->head(s, to, NULL, &st), 0);
	assert_int_equal(st.len, src.len);
	assert_string_equal(st.content_type, "text/odd");
	assert_string_equal(st.etag, copied.etag);
	assert_int_equal(
		s->ops->get(s, to, 0, src.len, NULL, pattern_check, &p, NULL),
		0);
	call.if_absent = 1;
	assert_int_equal(s->ops->copy(s, from, to, NULL, &call, NULL), -EEXIST);
	call.if_absent = 0;
	call.if_match = "0123456789abcdef";
	assert_int_equal(s->ops->copy(s, from, to, NULL, &call, NULL), -ESTALE);
	assert_int_equal(s->ops->remove(s, from, NULL), 0);
	assert_int_equal(s->ops->remove(s, to, NULL), 0);
	/* A name that some servers take for another's. */
	(void)snprintf(from, sizeof(from), "%slarge%%2B", prefix);
	assert_int_equal(s->ops->put(s, from, &src, NULL, NULL, NULL), 0);
	assert_int_equal(s->ops->copy(s, from, to, NULL, NULL, NULL),
			 -EOPNOTSUPP);
	assert_int_equal(s->ops->remove(s, from, NULL), 0);
	s->ops->free(s);
}

/* Without a probe the client looks before it leaps. */
static void guards_before_a_probe(void **state)
{
	struct store *s = client(&conf, cred);
	struct store_call absent = { .if_absent = 1 };
	struct store_call match = { .if_match = "0123456789abcdef" };
	struct store_stat st;
	char key[128];

	(void)state;
	(void)snprintf(key, sizeof(key), "%sguarded", prefix);
	assert_int_equal(put(s, key, "1", &absent, &st), 0);
	assert_int_equal(put(s, key, "2", &absent, NULL), -EEXIST);
	assert_int_equal(put(s, key, "2", &match, NULL), -ESTALE);
	assert_int_equal(s->ops->remove(s, key, &match), -ESTALE);
	assert_int_equal(s->ops->copy(s, key, key, &(struct store_head){ 0 },
				      &match, NULL),
			 -ESTALE);
	assert_int_equal(s->ops->remove(s, key, NULL), 0);
	s->ops->free(s);
}

static int contract(int with_retry)
{
	struct store *s = client(&conf, cred);
	struct store *top = s;
	char under[96];
	int failed;

	(void)snprintf(under, sizeof(under), "%scontract%s/", prefix,
		       with_retry ? " +retry" : "");
	if (with_retry && s3_retry_new(&top, s, &conf) != 0)
		return 1;
	if (top->ops->probe(top, prefix, NULL) != 0)
		return 1;
	failed = store_contract_run(with_retry ? "s3: contract, with retry"
					       : "s3: contract",
				    top, under, (size_t)22 << 20);
	top->ops->free(top);
	return failed;
}

static int make_conf(void)
{
	struct s3_credentials_conf keys = {
		.access_key = getenv("DG_TEST_S3_ACCESS_KEY"),
		.secret_key = getenv("DG_TEST_S3_SECRET_KEY"),
	};
	struct store_error error = { 0 };
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];

	conf.endpoint = getenv("DG_TEST_S3_ENDPOINT");
	conf.bucket = getenv("DG_TEST_S3_BUCKET");
	conf.part_size = 5 << 20;
	conf.timeout_s = 30;
	conf.retries = 3;
	if (conf.endpoint == NULL || conf.bucket == NULL ||
	    keys.access_key == NULL || keys.secret_key == NULL) {
		puts("skipped: set DG_TEST_S3_ENDPOINT, _ACCESS_KEY, "
		     "_SECRET_KEY and _BUCKET (tests/support/s3server)");
		return 77;
	}
	if (aead_random(random, sizeof(random)) != 0)
		return 1;
	hex_encode(hex, random, sizeof(random));
	(void)snprintf(prefix, sizeof(prefix), "test %s/", hex);
	if (s3_credentials_new(&cred, &keys, &error) != 0) {
		puts(error.text);
		return 1;
	}
	return 0;
}

static int print_key(void *arg, const char *key, const struct store_stat *st,
		     int is_prefix)
{
	int *n = arg;

	(void)st;
	(void)is_prefix;
	printf("left behind: %s\n", key);
	++*n;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(probes),
		cmocka_unit_test(lists_many),
		cmocka_unit_test(uploads_parts),
		cmocka_unit_test(copies_parts),
		cmocka_unit_test(guards_before_a_probe),
	};
	struct store_list what = { .prefix = prefix };
	struct store *s;
	int failed = make_conf();

	if (failed != 0)
		return failed;
	failed = cmocka_run_group_tests_name("s3client", tests, NULL, NULL);
	failed += contract(0);
	failed += contract(1);
	s = client(&conf, cred);
	if (s->ops->list(s, &what, NULL, print_key, &failed) != 0)
		failed++;
	s->ops->free(s);
	s3_credentials_free(cred);
	return failed;
}
