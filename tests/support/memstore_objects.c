#include "tests/support/memstore_objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void object_free(struct object *o)
{
	if (!o)
		return;
	free(o->key);
	free(o->data);
	free(o);
}

int object_new(struct object **out, const char *key, uint64_t len)
{
	struct object *o;

	if (len > SIZE_MAX)
		return -EFBIG;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->key = strdup(key);
	o->data = malloc(len ? (size_t)len : 1);
	if (!o->key || !o->data) {
		object_free(o);
		return -ENOMEM;
	}
	o->st.len = len;
	*out = o;
	return 0;
}

void object_describe(struct object *o, const struct store_head *head)
{
	static const struct store_head none;
	const char *type;

	if (!head)
		head = &none;
	type = head->content_type ? head->content_type
				  : "application/octet-stream";
	snprintf(o->st.content_type, sizeof(o->st.content_type), "%s", type);
	snprintf(o->st.content_encoding, sizeof(o->st.content_encoding), "%s",
		 head->content_encoding ? head->content_encoding : "");
	if (head->meta)
		o->st.meta = *head->meta;
	else
		memset(&o->st.meta, 0, sizeof(o->st.meta));
}

size_t objects_position(const struct objects *t, const char *key, int *found)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(t->list[mid]->key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*found = low < t->count && !strcmp(t->list[low]->key, key);
	return low;
}

struct object *objects_find(const struct objects *t, const char *key)
{
	int found;
	size_t i = objects_position(t, key, &found);

	return found ? t->list[i] : NULL;
}

int objects_insert(struct objects *t, struct object *o)
{
	int found;
	size_t i = objects_position(t, o->key, &found);

	if (!found && t->count == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 16;
		struct object **grown;

		grown = realloc(t->list, cap * sizeof(struct object *));
		if (!grown)
			return -ENOMEM;
		t->list = grown;
		t->cap = cap;
	}
	clock_gettime(CLOCK_REALTIME, &o->st.mtime);
	snprintf(o->st.etag, sizeof(o->st.etag), "mem-%llu",
		 (unsigned long long)++t->writes);
	if (found) {
		object_free(t->list[i]);
	} else {
		memmove(t->list + i + 1, t->list + i,
			(t->count - i) * sizeof(struct object *));
		t->count++;
	}
	t->list[i] = o;
	return 0;
}

struct object *objects_take(struct objects *t, size_t i)
{
	struct object *o = t->list[i];

	t->count--;
	memmove(t->list + i, t->list + i + 1,
		(t->count - i) * sizeof(struct object *));
	return o;
}

void objects_clear(struct objects *t)
{
	for (size_t i = 0; i < t->count; i++)
		object_free(t->list[i]);
	free(t->list);
	memset(t, 0, sizeof(*t));
}
