#ifndef TESTS_SUPPORT_S3FIXTURE_H
#define TESTS_SUPPORT_S3FIXTURE_H

#include "s3/client.h"
#include "s3/credentials.h"
#include "tests/support/scripted_http.h"

#define ERROR_XML(code)                             \
	"<?xml version=\"1.0\"?><Error><Code>" code \
	"</Code><Message>m</Message></Error>"
#define RETRIES 3

/* One test's scripted server, a client of it, and what the script saw. */
struct fixture {
	struct scripted *server;
	struct s3_credentials *cred;
	struct s3_conf conf;
	struct store *store; /* with retries */
	struct store_error error;
	struct store_call call; /* with `error` */
	char endpoint[64];
	unsigned retried; /* calls of on_retry */
	unsigned step; /* of the script */
	int flag;
	const void *arg;
	char seen[4][2048];
};

/* `fn` is given the fixture. */
void fixture_begin(struct fixture *f, scripted_fn *fn);
void fixture_begin_with(struct fixture *f, scripted_fn *fn,
			const struct s3_credentials_conf *keys);
void fixture_end(struct fixture *f);

void fixture_answer(struct scripted_reply *r, int status, const char *headers,
		    const char *body);

/* Operations on the key "k". */
int fixture_put(struct fixture *f, const char *text,
		const struct store_head *head, struct store_stat *out);
int fixture_head(struct fixture *f, struct store_stat *out);

struct fixture_text {
	char data[4096];
	size_t len;
};

int fixture_sink(void *arg, const void *data, size_t len);
int fixture_get(struct fixture *f, uint64_t off, uint64_t len,
		struct fixture_text *t);

/* A list function that counts in an int, a source, a clock. */
int fixture_count_entry(void *arg, const char *key, const struct store_stat *st,
			int is_prefix);
int fixture_pattern_read(void *arg, void *buf, size_t len, uint64_t off);
uint64_t fixture_now_ms(void);

#endif
