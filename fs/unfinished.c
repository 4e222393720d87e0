#include "fs/unfinished.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/inode.h"
#include "fs/log.h"

#define MAGIC    "DGMOVE1\n"
#define TEXT_MAX (sizeof(MAGIC) + (size_t)2 * (STORE_KEY_MAX + 1))
#define OLD_S    ((int64_t)24 * 3600)
#define TOLD_MAX 20 /* of those that are left */

/* The magic; the keys less the mount's prefix, each with its NUL. */
static int describe(struct volume *v, const struct key *from,
		    const struct key *to, struct bytes *out)
{
	size_t prefix = strlen(v->prefix);
	int err;

	err = bytes_append(out, MAGIC, sizeof(MAGIC) - 1);
	if (!err)
		err = bytes_append(out, from->text + prefix,
				   strlen(from->text + prefix) + 1);
	if (!err)
		err = bytes_append(out, to->text + prefix,
				   strlen(to->text + prefix) + 1);
	return err;
}

/* What the note says, and the key that follows from it. */
static int note_of(struct volume *v, const struct key *from,
		   const struct key *to, struct bytes *text, struct key *out)
{
	uint8_t digest[DIGEST_LEN];
	char hex[DIGEST_HEX];
	int err, n;

	err = describe(v, from, to, text);
	if (!err)
		err = digest_buffer(text->data, text->len, digest);
	if (err)
		return err;
	hex_encode(hex, digest, sizeof(digest));
	n = snprintf(out->text, sizeof(out->text), "%s.dg/moves/%s", v->prefix,
		     hex);
	return n < 0 || (size_t)n >= sizeof(out->text) ? -ENAMETOOLONG : 0;
}

static int read_text(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

void unfinished_note(struct volume *v, const struct key *from,
		     const struct key *to)
{
	struct bytes text = BYTES_INIT;
	struct store_source src = { .read = read_text, .arg = &text };
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store *s = v->conf.store;
	struct key key;
	int err;

	err = note_of(v, from, to, &text, &key);
	src.len = text.len;
	if (!err)
		err = s->ops->put(s, key.text, &src, &(struct store_head){ 0 },
				  &call, NULL);
	if (err)
		log_warning("rename %s to %s: could not be noted: %s",
			    from->text, to->text, reason(err, &error));
	bytes_clear(&text);
}

void unfinished_clear(struct volume *v, const struct key *from,
		      const struct key *to)
{
	struct bytes text = BYTES_INIT;
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store *s = v->conf.store;
	struct key key;
	int err;

	err = note_of(v, from, to, &text, &key);
	if (!err)
		err = s->ops->remove(s, key.text, &call);
	if (err)
		log_warning("rename %s to %s: the note of it stays: %s",
			    from->text, to->text, reason(err, &error));
	bytes_clear(&text);
}

int unfinished_find(struct volume *v, const struct key *from,
		    const struct key *to, struct timespec *since)
{
	struct bytes text = BYTES_INIT;
	struct store_call call = { 0 };
	struct store *s = v->conf.store;
	struct store_stat st;
	struct key key;
	int err;

	err = note_of(v, from, to, &text, &key);
	if (!err)
		err = s->ops->head(s, key.text, &call, &st);
	bytes_clear(&text);
	if (err)
		return err == -ENOENT ? 0 : err;
	/* Nobody remembers that one: what is there now is something else. */
	if (st.date_s && st.date_s - st.mtime.tv_sec > OLD_S)
		return 0;
	*since = st.mtime;
	return 1;
}

struct telling {
	struct volume *v;
	struct key keys[TOLD_MAX];
	uint64_t len[TOLD_MAX];
	size_t n;
};

static int on_record(void *arg, const char *key, const struct store_stat *st,
		     int is_prefix)
{
	struct telling *t = arg;

	(void)is_prefix;
	if (strlen(key) > STORE_KEY_MAX || st->len > TEXT_MAX)
		return 0;
	memcpy(t->keys[t->n].text, key, strlen(key) + 1);
	t->len[t->n] = st->len;
	return ++t->n == TOLD_MAX;
}

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int is_one(void *arg, const char *key, const struct store_stat *st,
		  int is_prefix)
{
	(void)arg;
	(void)key;
	(void)st;
	(void)is_prefix;
	return 1;
}

/* All of it has moved, or somebody removed it: there is nothing to finish. */
static int is_gone(struct volume *v, const char *from)
{
	struct store_call call = { 0 };
	struct store_list what = { .max = 1 };
	struct key prefix;
	int n = snprintf(prefix.text, sizeof(prefix.text), "%s%s", v->prefix,
			 from);

	if (v->conf.read_only || n < 0 || (size_t)n >= sizeof(prefix.text))
		return 0;
	what.prefix = prefix.text;
	return !v->conf.store->ops->list(v->conf.store, &what, &call, is_one,
					 NULL);
}

static void tell(struct telling *t, size_t k)
{
	struct store_call call = { 0 };
	struct store *s = t->v->conf.store;
	struct bytes text = BYTES_INIT;
	size_t head = sizeof(MAGIC) - 1;
	const char *from, *to;

	if (s->ops->get(s, t->keys[k].text, 0, t->len[k], &call, take, &text,
			NULL) ||
	    text.len < head + 2 || memcmp(text.data, MAGIC, head) != 0 ||
	    text.data[text.len - 1])
		goto out;
	from = (const char *)text.data + head;
	to = from + strlen(from) + 1;
	if (to >= (const char *)text.data + text.len)
		goto out;
	if (is_gone(t->v, from))
		(void)!s->ops->remove(s, t->keys[k].text, &call);
	else
		log_warning(
			"the rename of %s to %s was begun and has not ended: if no mount is at it, mv -T finishes it",
			from, to);
out:
	bytes_clear(&text);
}

void unfinished_tell(struct volume *v)
{
	struct telling t = { .v = v };
	struct store_call call = { 0 };
	struct store_list what = { .max = TOLD_MAX };
	struct key prefix;
	int n = snprintf(prefix.text, sizeof(prefix.text), "%s.dg/moves/",
			 v->prefix);

	if (n < 0 || (size_t)n >= sizeof(prefix.text))
		return;
	what.prefix = prefix.text;
	if (v->conf.store->ops->list(v->conf.store, &what, &call, on_record,
				     &t) < 0)
		return;
	for (size_t k = 0; k < t.n; k++)
		tell(&t, k);
}
