#include <errno.h>
#include <string.h>

#include "s3/http.h"

/* "HTTP/1.1 200 OK" */
static int status_parse(const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	const char *end = line + len;
	int status = 0;
	int i;

	for (i = 1; space != NULL && i <= 3 && space + i < end; i++)
		if (space[i] >= '0' && space[i] <= '9')
			status = 10 * status + (space[i] - '0');
	return status;
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int http_answer_line(struct http_answer *answer, const char *line, size_t len)
{
	struct bytes *headers = &answer->headers;
	const char *colon;
	size_t name_len;
	size_t start;
	size_t i;

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		/* The one before was a "100 Continue". */
		bytes_clear(headers);
		answer->status = status_parse(line, len);
		answer->complete = 0;
		return 0;
	}
	if (len == 0)
		answer->complete = 1;
	colon = memchr(line, ':', len);
	if (colon == NULL || memchr(line, '\0', len) != NULL)
		return 0;
	if (headers->len + len + 2 > HTTP_HEADERS_MAX)
		return -E2BIG;
	if (bytes_reserve(headers, len + 2) != 0)
		return -ENOMEM;
	name_len = (size_t)(colon - line);
	for (i = 0; i < name_len; i++) {
		char c = line[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		headers->data[headers->len++] = (uint8_t)c;
	}
	headers->data[headers->len++] = '\0';
	start = name_len + 1;
	while (start < len && is_blank(line[start]))
		start++;
	while (len > start && is_blank(line[len - 1]))
		len--;
	memcpy(headers->data + headers->len, line + start, len - start);
	headers->len += len - start;
	headers->data[headers->len++] = '\0';
	return 0;
}

int http_each(const struct http_answer *answer,
	      int (*fn)(void *arg, const char *name, const char *value),
	      void *arg)
{
	const char *p = (const char *)answer->headers.data;
	const char *end = p != NULL ? p + answer->headers.len : NULL;

	while (p < end) {
		const char *value = p + strlen(p) + 1;
		int rc = fn(arg, p, value);

		if (rc != 0)
			return rc;
		p = value + strlen(value) + 1;
	}
	return 0;
}

struct wanted {
	const char *name, *value;
};

static int header_is(void *arg, const char *name, const char *value)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) != 0)
		return 0;
	w->value = value;
	return 1;
}

const char *http_header(const struct http_answer *answer, const char *name)
{
	struct wanted w = { name, NULL };

	(void)http_each(answer, header_is, &w); /* says only where it ended */
	return w.value;
}

void http_answer_clear(struct http_answer *answer)
{
	bytes_clear(&answer->headers);
}
