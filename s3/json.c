#include "s3/json.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct json {
	json_t *object;
};

/* The length goes before each block, so that it can be wiped. */
#define BLOCK_HEAD _Alignof(max_align_t)

static void *block_new(size_t len)
{
	char *p;

	if (len > SIZE_MAX - BLOCK_HEAD)
		return NULL;
	p = malloc(BLOCK_HEAD + len);
	if (p == NULL)
		return NULL;
	memcpy(p, &len, sizeof(len));
	return p + BLOCK_HEAD;
}

static void block_free(void *p)
{
	char *block = p;
	size_t len;

	if (p == NULL)
		return;
	block -= BLOCK_HEAD;
	memcpy(&len, block, sizeof(len));
	bytes_wipe(block, BLOCK_HEAD + len);
	free(block);
}

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

static void init(void)
{
	json_set_alloc_funcs(block_new, block_free);
}

int json_parse(struct json **out, const void *text, size_t len)
{
	json_error_t error;
	struct json *j;
	int rc = -EIO;

	if (len > JSON_TEXT_MAX)
		return -EIO;
	(void)pthread_once(&init_once, init); /* cannot fail */
	j = malloc(sizeof(*j));
	if (j == NULL)
		return -ENOMEM;
	j->object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (j->object == NULL &&
	    json_error_code(&error) == json_error_out_of_memory)
		rc = -ENOMEM;
	if (!json_is_object(j->object)) {
		json_free(j);
		return rc;
	}
	*out = j;
	return 0;
}

void json_free(struct json *j)
{
	if (j == NULL)
		return;
	json_decref(j->object);
	free(j);
}

int json_text(const struct json *j, const char *name, const char **out)
{
	const json_t *value = json_object_get(j->object, name);

	if (value == NULL || json_is_null(value))
		return -ENOENT;
	if (!json_is_string(value))
		return -EIO;
	*out = json_string_value(value);
	return 0;
}

int json_number(const struct json *j, const char *name, int64_t *out)
{
	const json_t *value = json_object_get(j->object, name);

	if (value == NULL || json_is_null(value))
		return -ENOENT;
	if (!json_is_integer(value))
		return -EIO;
	*out = json_integer_value(value);
	return 0;
}
