#include "tests/support/s3fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/store_contract.h"

static void on_retry(void *arg, const char *verb, const char *key,
		     const struct store_error *why, unsigned attempt)
{
	struct fixture *f = arg;

	assert_true(verb[0] != '\0' && key != NULL && attempt > 0);
	assert_true(why->text[0] != '\0');
	f->retried++;
}

void fixture_begin_with(struct fixture *f, scripted_fn *fn,
			const struct s3_credentials_conf *keys)
{
	struct store *client;

	memset(f, 0, sizeof(*f));
	assert_int_equal(scripted_new(&f->server, fn, f), 0);
	(void)snprintf(f->endpoint, sizeof(f->endpoint), "http://127.0.0.1:%u",
		       scripted_port(f->server));
	f->conf = (struct s3_conf){ .endpoint = f->endpoint,
				    .bucket = "bkt",
				    .part_size = 5 << 20,
				    .timeout_s = 20,
				    .connections = 2,
				    .retries = RETRIES,
				    .on_retry = on_retry,
				    .on_retry_arg = f };
	assert_int_equal(s3_credentials_new(&f->cred, keys, NULL), 0);
	assert_int_equal(s3_client_new(&client, &f->conf, f->cred, &f->error),
			 0);
	assert_int_equal(s3_retry_new(&f->store, client, &f->conf), 0);
	f->call.error = &f->error;
}

void fixture_begin(struct fixture *f, scripted_fn *fn)
{
	const struct s3_credentials_conf keys = { .access_key = "AK",
						  .secret_key = "SK" };

	fixture_begin_with(f, fn, &keys);
}

void fixture_end(struct fixture *f)
{
	f->store->ops->free(f->store);
	s3_credentials_free(f->cred);
	scripted_free(f->server);
}

void fixture_answer(struct scripted_reply *r, int status, const char *headers,
		    const char *body)
{
	r->status = status;
	(void)snprintf(r->headers, sizeof(r->headers), "%s", headers);
	r->body_len = strlen(body);
	memcpy(r->body, body, r->body_len + 1);
}

int fixture_put(struct fixture *f, const char *text,
		const struct store_head *head, struct store_stat *out)
{
	struct contract_memory m = { (const unsigned char *)text,
				     strlen(text) };
	struct store_source src = contract_source(&m);

	return f->store->ops->put(f->store, "k", &src, head, &f->call, out);
}

int fixture_head(struct fixture *f, struct store_stat *out)
{
	return f->store->ops->head(f->store, "k", &f->call, out);
}

int fixture_sink(void *arg, const void *data, size_t len)
{
	struct fixture_text *t = arg;

	assert_true(len < sizeof(t->data) - t->len);
	memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = '\0';
	return 0;
}

int fixture_get(struct fixture *f, uint64_t off, uint64_t len,
		struct fixture_text *t)
{
	memset(t, 0, sizeof(*t));
	return f->store->ops->get(f->store, "k", off, len, &f->call,
				  fixture_sink, t, NULL);
}

int fixture_count_entry(void *arg, const char *key, const struct store_stat *st,
			int is_prefix)
{
	int *n = arg;

	(void)key;
	(void)st;
	(void)is_prefix;
	++*n;
	return 0;
}

int fixture_pattern_read(void *arg, void *buf, size_t len, uint64_t off)
{
	(void)arg;
	memset(buf, (int)(off & 0x7f), len);
	return 0;
}

uint64_t fixture_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
