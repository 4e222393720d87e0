#ifndef TESTS_SUPPORT_FAKEKEYS_H
#define TESTS_SUPPORT_FAKEKEYS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "s3/credentials.h"
#include "s3/store.h"
#include "tests/support/scripted_http.h"

/*
 * EC2 metadata, container credentials (/container) and STS (any POST) on one
 * port, with the clock that they and the program go by, and two shared files
 * and a program in a folder of its own.  The n-th keys given are AKn, SKn, TKn.
 */
struct fakekeys {
	struct scripted *server;
	char url[64];
	char dir[64], credentials[96], config[96], token[96], program[96];
	atomic_llong now_ms; /* of both clocks */
	atomic_uint asked; /* for keys, as soon as it is heard */

	pthread_mutex_t mutex; /* all below */
	int lasts_s; /* until keys end; 0: they do not say */
	int status; /* of all answers; 0: 200 */
	const char *raw; /* instead of keys */
	const char *token_text; /* instead of TKn */
	unsigned delay_ms; /* before keys are given */
	unsigned given; /* how often */
	char method[16], target[256], body[4096];
	char authorization[1024], security_token[1024], metadata_token[256];
	char metadata_ttl[16];
};

/* The environment has nothing but what leads to these. */
int fakekeys_begin(struct fakekeys *f);
void fakekeys_end(struct fakekeys *f);
void fakekeys_write(const char *path, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void fakekeys_set(const char *name, const char *value); /* NULL: unset */
void fakekeys_pass(struct fakekeys *f, int s);
void fakekeys_status(struct fakekeys *f, int status, const char *raw);

/* With the fake's clock. */
struct s3_credentials_conf fakekeys_conf(struct fakekeys *f);
#endif
