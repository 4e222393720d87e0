#include "s3/result.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/date.h"
#include "s3/xml.h"

/* For a person's eyes: cut where it is longer, without control characters. */
static void text_copy(char *out, size_t cap, const char *text)
{
	char *p;

	(void)snprintf(out, cap, "%s", text);
	for (p = out; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
}

struct error_parse {
	struct result_error error;
	int found;
};

static int on_error(void *arg, const char *path, const char *text)
{
	struct error_parse *p = arg;

	if (strcmp(path, "Error") == 0)
		p->found = 1;
	else if (strcmp(path, "Error/Code") == 0)
		text_copy(p->error.code, sizeof(p->error.code), text);
	else if (strcmp(path, "Error/Message") == 0)
		text_copy(p->error.message, sizeof(p->error.message), text);
	else if (strcmp(path, "Error/Region") == 0)
		text_copy(p->error.region, sizeof(p->error.region), text);
	return 0;
}

int result_error(struct result_error *out, const void *xml, size_t len)
{
	struct error_parse p;
	int rc;

	memset(&p, 0, sizeof(p));
	rc = xml_parse(xml, len, on_error, &p);
	if (rc != 0)
		return rc;
	if (!p.found)
		return -EIO;
	*out = p.error;
	return 0;
}

/* One element's text, and whether its root came to its end. */
struct text_parse {
	const char *root, *path;
	char text[RESULT_UPLOAD_ID_MAX];
	int found, too_long;
};

static int on_text(void *arg, const char *path, const char *text)
{
	struct text_parse *p = arg;

	if (strcmp(path, p->path) == 0) {
		p->too_long = strlen(text) >= sizeof(p->text);
		text_copy(p->text, sizeof(p->text), text);
	} else if (strcmp(path, p->root) == 0) {
		p->found = 1;
	}
	return 0;
}

static int text_find(struct text_parse *p, const void *xml, size_t len)
{
	int rc = xml_parse(xml, len, on_text, p);

	if (rc != 0)
		return rc;
	return p->found && !p->too_long ? 0 : -EIO;
}

int result_upload_id(char out[RESULT_UPLOAD_ID_MAX], const void *xml,
		     size_t len)
{
	struct text_parse p = { .root = "InitiateMultipartUploadResult",
				.path = "InitiateMultipartUploadResult/"
					"UploadId" };
	int rc = text_find(&p, xml, len);

	if (rc == 0 && p.text[0] == '\0')
		rc = -EIO;
	if (rc == 0)
		memcpy(out, p.text, sizeof(p.text));
	return rc;
}

int result_etag(char out[STORE_ETAG_MAX], const char *root, const void *xml,
		size_t len)
{
	struct text_parse p = { .root = root };
	char path[64];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/ETag", root);
	p.path = path;
	rc = text_find(&p, xml, len);
	if (rc == 0)
		result_unquote(out, p.text);
	return rc;
}

void result_unquote(char out[STORE_ETAG_MAX], const char *etag)
{
	size_t len = strlen(etag);

	if (len >= 2 && etag[0] == '"' && etag[len - 1] == '"') {
		etag++;
		len -= 2;
	}
	/* Cut, it would match nothing; and no quote may get into a header. */
	if (len >= STORE_ETAG_MAX || memchr(etag, '"', len) != NULL)
		len = 0;
	memcpy(out, etag, len);
	out[len] = '\0';
}

struct list_parse {
	struct result_list *list;
	struct result_entry entry; /* the one whose elements come now */
	int is_encoded;
};

static int list_add(struct list_parse *p)
{
	struct result_list *l = p->list;

	if (p->entry.key == NULL)
		return -EIO;
	if (l->len == l->cap) {
		size_t cap = l->cap != 0 ? 2 * l->cap : 64;
		struct result_entry *grown;

		grown = realloc(l->entries, cap * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		l->entries = grown;
		l->cap = cap;
	}
	l->entries[l->len++] = p->entry;
	memset(&p->entry, 0, sizeof(p->entry));
	return 0;
}

static int key_set(struct list_parse *p, const char *text)
{
	if (p->entry.key != NULL || *text == '\0')
		return -EIO;
	p->entry.key = strdup(text);
	return p->entry.key != NULL ? 0 : -ENOMEM;
}

static int size_parse(uint64_t *out, const char *text)
{
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return -EIO;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return -EIO;
	*out = n;
	return 0;
}

static int on_contents(struct list_parse *p, const char *name, const char *text)
{
	if (strcmp(name, "Key") == 0)
		return key_set(p, text);
	if (strcmp(name, "Size") == 0)
		return size_parse(&p->entry.len, text);
	if (strcmp(name, "LastModified") == 0)
		return date_iso(&p->entry.mtime, text) == 0 ? 0 : -EIO;
	if (strcmp(name, "ETag") == 0)
		result_unquote(p->entry.etag, text);
	return 0;
}

static int on_list(void *arg, const char *path, const char *text)
{
	static const char root[] = "ListBucketResult/";
	static const char contents[] = "Contents/";
	struct list_parse *p = arg;

	if (strncmp(path, root, sizeof(root) - 1) != 0)
		return strcmp(path, "ListBucketResult") == 0 ? 0 : -EIO;
	path += sizeof(root) - 1;
	if (strncmp(path, contents, sizeof(contents) - 1) == 0)
		return on_contents(p, path + sizeof(contents) - 1, text);
	if (strcmp(path, "Contents") == 0)
		return list_add(p);
	if (strcmp(path, "CommonPrefixes/Prefix") == 0) {
		p->entry.is_prefix = 1;
		return key_set(p, text);
	}
	if (strcmp(path, "CommonPrefixes") == 0)
		return list_add(p);
	if (strcmp(path, "EncodingType") == 0)
		p->is_encoded = strcmp(text, "url") == 0;
	if (strcmp(path, "KeyCount") == 0)
		p->list->has_count = 1;
	if (strcmp(path, "IsTruncated") == 0)
		p->list->is_truncated = strcmp(text, "true") == 0;
	if (strcmp(path, "NextContinuationToken") == 0 && *text != '\0') {
		free(p->list->token);
		p->list->token = strdup(text);
		return p->list->token != NULL ? 0 : -ENOMEM;
	}
	return 0;
}

/* In place: the result is never longer.  '+' is a blank. */
static int url_decode(char *s)
{
	char *p;
	int len;

	for (p = s; *p; p++)
		if (*p == '+')
			*p = ' ';
	/* meta_decode() reads ahead of where it writes. */
	len = meta_decode(s, strlen(s) + 1, s);
	return len > 0 && strlen(s) == (size_t)len ? 0 : -EIO;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct result_entry *x = a;
	const struct result_entry *y = b;

	return strcmp(x->key, y->key);
}

static int list_parse(struct result_list *out, const void *xml, size_t len,
		      int *is_encoded)
{
	struct list_parse p;
	int rc;

	memset(out, 0, sizeof(*out));
	memset(&p, 0, sizeof(p));
	p.list = out;
	rc = xml_parse(xml, len, on_list, &p);
	free(p.entry.key);
	*is_encoded = p.is_encoded;
	return rc;
}

/* "&#x1;" and its like, which XML 1.0 has not got either. */
static void blot_references(char *s)
{
	while ((s = strstr(s, "&#")) != NULL) {
		int hex = s[2] == 'x';
		char *end;
		unsigned long c = strtoul(s + 2 + hex, &end, hex ? 16 : 10);

		if (c < 0x20 && c != '\t' && c != '\n' && c != '\r' &&
		    *end == ';')
			memset(s, '?', (size_t)(end - s) + 1);
		s += 2;
	}
}

/*
 * The same without the bytes that may not be in it.  Only where all keys are
 * encoded, hence plain ASCII, is none of them touched by that.
 */
static int list_repair(struct result_list *out, const void *xml, size_t len)
{
	const uint8_t *in = xml;
	int is_encoded;
	uint8_t *copy;
	size_t i;
	int rc;

	copy = malloc(len + 1);
	if (copy == NULL)
		return -ENOMEM;
	for (i = 0; i < len; i++)
		copy[i] = (in[i] < 0x20 || in[i] > 0x7e) && in[i] != '\n'
				  ? '?'
				  : in[i];
	copy[len] = '\0';
	blot_references((char *)copy);
	rc = list_parse(out, copy, len, &is_encoded);
	free(copy);
	if (rc != 0)
		return rc;
	out->token_is_lost = out->is_truncated;
	return is_encoded ? 0 : -EIO;
}

int result_list(struct result_list *out, const void *xml, size_t len)
{
	int is_encoded;
	size_t i;
	int rc;

	rc = list_parse(out, xml, len, &is_encoded);
	if (rc == -EIO) {
		result_list_clear(out);
		rc = list_repair(out, xml, len);
		is_encoded = 1;
	}
	for (i = 0; i < out->len && rc == 0; i++) {
		if (is_encoded)
			rc = url_decode(out->entries[i].key);
		if (strlen(out->entries[i].key) > STORE_KEY_MAX)
			rc = -EIO;
	}
	/* Keys and prefixes come apart. */
	if (rc == 0 && out->len > 0)
		qsort(out->entries, out->len, sizeof(*out->entries), entry_cmp);
	return rc;
}

void result_list_clear(struct result_list *list)
{
	size_t i;

	for (i = 0; i < list->len; i++)
		free(list->entries[i].key);
	free(list->entries);
	free(list->token);
	memset(list, 0, sizeof(*list));
}
