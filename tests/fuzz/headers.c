/*
 * Arbitrary bytes as the lines of an answer's headers, and what is read from
 * them: the length and version of an object, its times, its metadata.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "s3/client_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static int is_header(void *arg, const char *name, const char *value)
{
	const struct http_answer *answer = arg;
	const char *start = (const char *)answer->headers.data;
	const char *p;

	must(name >= start && value > name);
	must(value + strlen(value) < start + answer->headers.len);
	for (p = name; *p; p++)
		must(*p < 'A' || *p > 'Z');
	must(http_header(answer, name) != NULL);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_answer answer = { 0 };
	struct store_stat st;
	size_t at = 0;
	int rc = 0;

	while (at < size && rc == 0) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len =
			end != NULL ? (size_t)(end - data) + 1 - at : size - at;

		rc = http_answer_line(&answer, (const char *)data + at, len);
		at += len;
	}
	must(rc == 0 || rc == -E2BIG);
	must(answer.headers.len <= HTTP_HEADERS_MAX);
	must(http_each(&answer, is_header, &answer) == 0);
	s3_stat_parse(&st, &answer);
	must(memchr(st.etag, '\0', sizeof(st.etag)) != NULL);
	must(memchr(st.content_type, '\0', sizeof(st.content_type)) != NULL);
	must(st.mtime.tv_nsec >= 0 && st.mtime.tv_nsec < 1000000000);
	must(!st.etag_is_md5 || strlen(st.etag) == 2 * DIGEST_MD5_LEN);
	http_answer_clear(&answer);
	return 0;
}
