#ifndef TESTS_SUPPORT_SCRIPTED_HTTP_H
#define TESTS_SUPPORT_SCRIPTED_HTTP_H

#include <stddef.h>

#include "crypto/bytes.h"

/* An HTTP server on a loopback port that answers what a test tells it to. */
struct scripted;

struct scripted_request {
	unsigned number; /* from 0, over all connections */
	char method[16], target[2048];
	char headers[16384]; /* lines "Name: value\n", as they came */
	char *body;
	size_t body_len;
};

struct scripted_reply {
	int status; /* 0: close without an answer */
	char headers[2048]; /* lines "Name: value\r\n"; may be "" */
	char body[65536];
	size_t body_len; /* Content-Length too, unless `no_length` */
	int no_length; /* the test has put its own into `headers` */
	size_t cut; /* close after this many bytes of the body; 0: send all */
	size_t cut_head; /* close so many bytes before the headers' end; 0: no */
	int close; /* close behind the answer, unannounced */
	unsigned hang_s; /* say nothing for so long, or until the test ends */
};

/* Zero-initialised it is given; called under a lock, one at a time. */
typedef void scripted_fn(void *arg, const struct scripted_request *req,
			 struct scripted_reply *reply);

MUST_CHECK int scripted_new(struct scripted **out, scripted_fn *fn, void *arg);
unsigned scripted_port(const struct scripted *s);
unsigned scripted_count(struct scripted *s); /* requests so far */
void scripted_free(struct scripted *s);

/* The value of a header of the request, or "".  `name` in any case. */
void scripted_header(const struct scripted_request *req, const char *name,
		     char *out, size_t cap);

#endif
