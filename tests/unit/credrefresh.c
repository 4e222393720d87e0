/* When keys are replaced: before they end, on the server's word, by a file. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "s3/deadline.h"
#include "tests/support/fakekeys.h"
#include "tests/support/s3fixture.h"

static struct fakekeys f;
static struct s3_credentials *c;
static struct s3_keys keys;
static struct store_error error;
static const struct store_call call = { .error = &error };

static int begin(void **state)
{
	(void)state;
	return fakekeys_begin(&f);
}

static int end(void **state)
{
	(void)state;
	s3_credentials_free(c);
	c = NULL;
	fakekeys_end(&f);
	return 0;
}

static void make(const char *profile)
{
	struct s3_credentials_conf conf = fakekeys_conf(&f);

	conf.profile = profile;
	if (s3_credentials_new(&c, &conf, &error) != 0)
		fail_msg("%s", error.text);
}

static void make_container(void)
{
	char url[96];

	(void)snprintf(url, sizeof(url), "%s/container", f.url);
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	make(NULL);
}

static void gives(const char *access)
{
	if (s3_credentials_get(c, &call, &keys) != 0)
		fail_msg("%s", error.text);
	assert_string_equal(keys.access_key, access);
}

static unsigned asked(void)
{
	return scripted_count(f.server);
}

static void before_the_end(void **state)
{
	unsigned n;

	(void)state;
	make_container();
	gives("AK1");
	fakekeys_pass(&f, 3299);
	gives("AK1");
	fakekeys_pass(&f, 1);
	gives("AK2");
	gives("AK2");
	/* A source that is down: the old ones, and no more than one try in
	   15 to 20 s, until they end. */
	fakekeys_status(&f, 503, NULL);
	fakekeys_pass(&f, 3400);
	n = asked();
	gives("AK2");
	gives("AK2");
	assert_int_equal(asked(), n + 1);
	fakekeys_pass(&f, 14);
	gives("AK2");
	assert_int_equal(asked(), n + 1);
	fakekeys_pass(&f, 6);
	gives("AK2");
	assert_int_equal(asked(), n + 2);
	fakekeys_pass(&f, 180);
	assert_int_equal(s3_credentials_get(c, &call, &keys), -EAGAIN);
	assert_int_equal(error.cause, EIO);
	assert_non_null(strstr(error.text, "container credentials at"));
	n = asked();
	/* All who ask within a second share that answer. */
	assert_int_equal(s3_credentials_get(c, &call, &keys), -EAGAIN);
	assert_non_null(strstr(error.text, "container credentials at"));
	assert_int_equal(asked(), n);
	fakekeys_status(&f, 403, NULL);
	fakekeys_pass(&f, 1);
	assert_int_equal(s3_credentials_get(c, &call, &keys), -EACCES);
	fakekeys_status(&f, 0, NULL);
	fakekeys_pass(&f, 1);
	gives("AK3");
}

static void not_there(void **state)
{
	(void)state;
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI",
		     "http://127.0.0.1:1/x");
	make(NULL);
	assert_int_equal(s3_credentials_get(c, &call, &keys), -EAGAIN);
	assert_int_equal(error.cause, EHOSTUNREACH);
	assert_non_null(strstr(error.text, "cannot connect to container"));
}

static void short_lived(void **state)
{
	(void)state;
	/* Less than the five minutes: not at each request. */
	f.lasts_s = 120;
	make_container();
	gives("AK1");
	gives("AK1");
	fakekeys_pass(&f, 20);
	gives("AK2");
	gives("AK2");
}

struct taker {
	pthread_t thread;
	int rc;
	char access[128];
};

static void *take(void *arg)
{
	struct taker *t = arg;
	struct s3_keys k;

	t->rc = s3_credentials_get(c, NULL, &k);
	if (t->rc == 0)
		memcpy(t->access, k.access_key, sizeof(t->access));
	return NULL;
}

#define TAKERS 8

static void take_all(struct taker *t)
{
	size_t i;

	for (i = 0; i < TAKERS; i++)
		assert_int_equal(
			pthread_create(&t[i].thread, NULL, take, &t[i]), 0);
	for (i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_join(t[i].thread, NULL), 0);
}

static void hang(unsigned ms)
{
	pthread_mutex_lock(&f.mutex);
	f.delay_ms = ms;
	pthread_mutex_unlock(&f.mutex);
}

static void together(void **state)
{
	struct taker t[TAKERS] = { { .rc = 1 } };
	size_t i, new_ones = 0;

	(void)state;
	/* None yet: all wait for the one who asks. */
	hang(500);
	make_container();
	take_all(t);
	for (i = 0; i < TAKERS; i++) {
		assert_int_equal(t[i].rc, 0);
		assert_string_equal(t[i].access, "AK1");
	}
	assert_int_equal(asked(), 1);
	/* About to end: one asks, the others go on. */
	fakekeys_pass(&f, 3400);
	take_all(t);
	for (i = 0; i < TAKERS; i++) {
		assert_int_equal(t[i].rc, 0);
		new_ones += strcmp(t[i].access, "AK2") == 0;
	}
	assert_int_equal(asked(), 2);
	assert_true(new_ones >= 1);
	/* It fails: they all hear why, of one try. */
	fakekeys_pass(&f, 4000);
	fakekeys_status(&f, 403, NULL);
	take_all(t);
	for (i = 0; i < TAKERS; i++)
		assert_int_equal(t[i].rc, -EACCES);
	assert_int_equal(asked(), 3);
}

static int at_once(void *arg)
{
	(void)arg;
	return 1;
}

static void waits_no_longer(void **state)
{
	const struct store_call hasty = { .cancel = at_once, .error = &error };
	struct taker t = { .rc = 1 };
	unsigned i;

	(void)state;
	hang(1000);
	make_container();
	assert_int_equal(pthread_create(&t.thread, NULL, take, &t), 0);
	for (i = 0; i < 5000 && f.asked == 0; i++)
		(void)usleep(1000);
	assert_int_equal(s3_credentials_get(c, &hasty, &keys), -EINTR);
	assert_int_equal(pthread_join(t.thread, NULL), 0);
	assert_int_equal(t.rc, 0);
}

/* S3 that takes the keys of one number only. */
struct s3fake {
	atomic_int good; /* AK of this number */
	const char *code; /* of the error for all others; NULL: no body */
	int status;
};

static void s3_answer(void *arg, const struct scripted_request *req,
		      struct scripted_reply *r)
{
	struct fixture *fx = arg;
	const struct s3fake *s = fx->arg;
	char authorization[1024], want[64], body[256] = "";

	scripted_header(req, "authorization", authorization, 1024);
	(void)snprintf(want, sizeof(want), "Credential=AK%d/", s->good);
	if (strstr(authorization, want) != NULL) {
		fixture_answer(r, 200, "ETag: \"e\"\r\n", "");
		return;
	}
	if (s->code != NULL)
		(void)snprintf(body, sizeof(body),
			       "<Error><Code>%s</Code></Error>", s->code);
	fixture_answer(r, s->status, "", body);
}

static void s3_begin(struct fixture *fx, const struct s3fake *s,
		     const char *profile)
{
	struct s3_credentials_conf conf = fakekeys_conf(&f);

	conf.profile = profile;
	fixture_begin_with(fx, s3_answer, &conf);
	fx->arg = s;
}

/* However long a source takes, the caller has its time and no more. */
static void in_the_callers_time(void **state)
{
	struct store_call limited = { .error = &error };
	struct deadline deadline;
	struct stat st;

	(void)state;
	fakekeys_write(f.program,
		       "#!/bin/sh\necho >>%s\nsleep 1\n"
		       "echo '{\"Version\":1,\"AccessKeyId\":\"AK1\","
		       "\"SecretAccessKey\":\"SK1\"}'\n",
		       f.token);
	assert_int_equal(chmod(f.program, 0700), 0);
	fakekeys_write(f.config, "[default]\ncredential_process = %s\n",
		       f.program);
	make("default");
	deadline_init(&deadline, 300, NULL);
	limited.deadline = &deadline;
	assert_int_equal(s3_credentials_get(c, &limited, &keys), -EAGAIN);
	assert_int_equal(error.cause, ETIMEDOUT);
	assert_non_null(strstr(error.text, "has not answered yet"));
	/* It goes on for who has more. */
	gives("AK1");
	assert_int_equal(stat(f.token, &st), 0);
	assert_int_equal(st.st_size, 1);
}

static void expired_token(void **state)
{
	struct s3fake s = { .good = 1, .code = "ExpiredToken", .status = 400 };
	struct store_stat st;
	struct fixture fx;
	char url[96];

	(void)state;
	(void)snprintf(url, sizeof(url), "%s/container", f.url);
	fakekeys_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	s3_begin(&fx, &s, NULL);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), 0);
	fakekeys_pass(&f, 60);
	s.good = 2;
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), 0);
	assert_int_equal(asked(), 2);
	/* One who says so of any keys is not believed again and again. */
	s.good = -1;
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), -EACCES);
	assert_int_equal(asked(), 2);
	assert_string_equal(fx.error.code, "ExpiredToken");
	fakekeys_pass(&f, 60);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), -EACCES);
	assert_int_equal(asked(), 3);
	/* A HEAD's answer has no code. */
	s.good = 4;
	fakekeys_pass(&f, 60);
	assert_int_equal(fixture_head(&fx, &st), 0);
	assert_int_equal(asked(), 4);
	/* What has nothing to do with their age changes nothing. */
	s = (struct s3fake){ .good = 5, .code = "AccessDenied", .status = 403 };
	fakekeys_pass(&f, 60);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), -EACCES);
	assert_int_equal(fixture_head(&fx, &st), -EACCES);
	assert_int_equal(asked(), 4);
	/* They have ended, and there are no others: that is the error. */
	s.code = "ExpiredToken";
	fakekeys_status(&f, 404, NULL);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), -EACCES);
	assert_non_null(strstr(fx.error.text, "container credentials"));
	/* If only nobody answered, it is worth repeating, and comes right. */
	fakekeys_status(&f, 503, NULL);
	fakekeys_pass(&f, 60);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), -EIO);
	assert_true(fx.retried >= RETRIES);
	fakekeys_status(&f, 0, NULL);
	fakekeys_pass(&f, 60);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), 0);
	fixture_end(&fx);
}

static void write_keys(const char *profile, int n)
{
	fakekeys_write(f.credentials,
		       "[%s]\naws_access_key_id = AK%d\n"
		       "aws_secret_access_key = SK\n",
		       profile, n);
}

static void file_rotates(void **state)
{
	(void)state;
	write_keys("x", 10);
	make("x");
	gives("AK10");
	write_keys("x", 11); /* of the same size, maybe in the same tick */
	gives("AK10"); /* looked at once a second */
	fakekeys_pass(&f, 1);
	gives("AK11");
	fakekeys_write(f.credentials, "[x]\naws_access_key_id = AK");
	fakekeys_pass(&f, 1);
	gives("AK11");
	assert_int_equal(unlink(f.credentials), 0);
	fakekeys_pass(&f, 1);
	gives("AK11");
	write_keys("y", 12);
	fakekeys_pass(&f, 1);
	gives("AK11");
	write_keys("x", 12);
	fakekeys_pass(&f, 1);
	gives("AK12");
}

static void file_is_corrected(void **state)
{
	struct s3fake s = { .good = 11,
			    .code = "InvalidAccessKeyId",
			    .status = 403 };
	struct store_stat st;
	struct fixture fx;

	(void)state;
	write_keys("x", 10);
	s3_begin(&fx, &s, "x");
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), -EACCES);
	assert_string_equal(fx.error.code, "InvalidAccessKeyId");
	/* The server's word is reason to look at once: no second passes. */
	write_keys("x", 11);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), 0);
	s.good = 12;
	s.code = "SignatureDoesNotMatch";
	write_keys("x", 12);
	assert_int_equal(fixture_put(&fx, "x", NULL, NULL), 0);
	s.good = 13;
	write_keys("x", 13);
	assert_int_equal(fixture_head(&fx, &st), 0);
	fixture_end(&fx);
}

struct putter {
	pthread_t thread;
	struct fixture *fx;
	int rc;
};

static void *put(void *arg)
{
	struct putter *p = arg;
	struct store_stat st;

	p->rc = p->fx->store->ops->head(p->fx->store, "k", NULL, &st);
	return NULL;
}

/* Many are refused at once: none of them fails, whoever gets the new keys. */
static void file_rotates_under_many(void **state)
{
	struct s3fake s = { .good = 10, .status = 403 };
	struct putter p[TAKERS];
	struct fixture fx;
	int n;
	size_t i;

	(void)state;
	write_keys("x", 10);
	s3_begin(&fx, &s, "x");
	for (n = 11; n < 31; n++) {
		write_keys("x", n);
		s.good = n;
		for (i = 0; i < TAKERS; i++) {
			p[i].fx = &fx;
			assert_int_equal(
				pthread_create(&p[i].thread, NULL, put, &p[i]),
				0);
		}
		for (i = 0; i < TAKERS; i++) {
			assert_int_equal(pthread_join(p[i].thread, NULL), 0);
			assert_int_equal(p[i].rc, 0);
		}
	}
	fixture_end(&fx);
}

static void profile_changes_its_role(void **state)
{
	(void)state;
	write_keys("b", 10);
	fakekeys_write(f.config, "[profile x]\nrole_arn = arn:one\n"
				 "source_profile = b\n");
	make("x");
	gives("AK1");
	fakekeys_pass(&f, 1);
	gives("AK1");
	assert_int_equal(asked(), 1);
	fakekeys_write(f.config, "[profile x]\nrole_arn = arn:another\n"
				 "source_profile = b\n");
	fakekeys_pass(&f, 1);
	gives("AK2");
	assert_non_null(strstr(f.body, "arn%3Aanother"));
	fakekeys_write(f.config, "[profile x]\nrole_arn = arn:another\n"
				 "source_profile = nobody\n");
	fakekeys_pass(&f, 1);
	gives("AK2");
	assert_int_equal(asked(), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(before_the_end, begin, end),
		cmocka_unit_test_setup_teardown(not_there, begin, end),
		cmocka_unit_test_setup_teardown(short_lived, begin, end),
		cmocka_unit_test_setup_teardown(together, begin, end),
		cmocka_unit_test_setup_teardown(waits_no_longer, begin, end),
		cmocka_unit_test_setup_teardown(in_the_callers_time, begin,
						end),
		cmocka_unit_test_setup_teardown(expired_token, begin, end),
		cmocka_unit_test_setup_teardown(file_rotates, begin, end),
		cmocka_unit_test_setup_teardown(file_is_corrected, begin, end),
		cmocka_unit_test_setup_teardown(file_rotates_under_many, begin,
						end),
		cmocka_unit_test_setup_teardown(profile_changes_its_role, begin,
						end),
	};

	return cmocka_run_group_tests_name("credrefresh", tests, NULL, NULL);
}
