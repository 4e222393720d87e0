#include "fs/hints.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/clock.h"
#include "fs/hints_private.h"
#include "fs/log.h"

#define FILES_MIN     16 /* of a page: for fewer they are asked one by one */
#define FILE_MAX      ((size_t)64 << 20) /* bytes of an object */
#define BYTES_MAX     ((size_t)96 << 20) /* of all in memory */
#define KEPT_MAX      ((size_t)16 << 20) /* the same: no more is kept then */
#define MISSES_MIN    16 /* before it is worth looking again */
#define AGAIN_MS      10000 /* and not before */
#define TRIM_MIN      ((size_t)256 << 10)
#define TRIM_DELAY_MS 1000
#define WAIT_STEP_MS  1000

static size_t bucket_of(const char *dir, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)dir[i]) * 0x100000001b3u;
	return (size_t)((h ^ (h >> 32)) % HINT_BUCKETS);
}

struct hint_table *hint_table_find(struct hints *h, const char *dir, size_t len)
{
	struct hint_table *t = h->tables[bucket_of(dir, len)];

	while (t && (strncmp(t->dir, dir, len) != 0 || t->dir[len]))
		t = t->next;
	return t;
}

struct hint_table *hint_table_of(struct volume *v, const char *dir, size_t len)
{
	struct hints *h = &v->hints;
	struct hint_table *t = hint_table_find(h, dir, len);
	size_t at = bucket_of(dir, len);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->dir = strndup(dir, len);
	if (!t->dir) {
		free(t);
		return NULL;
	}
	t->next = h->tables[at];
	h->tables[at] = t;
	t->used_ms = clock_ms();
	h->n++;
	return t;
}

void hint_table_drop_file(struct hints *h, struct hint_table *t)
{
	/*
	 * Between what stays there are holes now, and will be more when the
	 * directory's reader is done: they are given back then.
	 */
	if (t->file.len > TRIM_MIN) {
		h->trim_ms = clock_ms() + TRIM_DELAY_MS;
		(void)pthread_cond_broadcast(&h->change);
	}
	h->bytes -= t->file.len;
	bytes_clear(&t->file);
	free(t->index);
	t->index = NULL;
	t->n = t->served = 0;
}

void hint_table_drop_kept(struct hints *h, struct hint_table *t)
{
	while (t->kept) {
		struct kept_hint *k = *(struct kept_hint **)t->kept;

		h->bytes -= k->len;
		(void)tdelete(k, &t->kept, hint_kept_by_name);
		free(k);
	}
	t->n_kept = 0;
}

int hint_kept_by_name(const void *a, const void *b)
{
	const struct kept_hint *x = a, *y = b;

	return strcmp(hint_name(x->data), hint_name(y->data));
}

int hint_key(struct volume *v, const char *dir, struct key *out)
{
	const char *own = dir + strlen(v->prefix);
	uint8_t digest[DIGEST_LEN];
	char hex[DIGEST_HEX];
	int err, n;

	err = digest_buffer(own, strlen(own), digest);
	if (err)
		return err;
	hex_encode(hex, digest, sizeof(digest));
	n = snprintf(out->text, sizeof(out->text), "%s.dg/hints/%s", v->prefix,
		     hex);
	return n < 0 || (size_t)n >= sizeof(out->text) ? -ENAMETOOLONG : 0;
}

int hint_table_at(const struct hint_table *t, size_t k, struct hint *out)
{
	size_t at = t->index[k];

	return hint_read(t->file.data, t->file.len, &at, out);
}

/* Note where each hint is, and see that they are in order. */
static int index_file(struct hint_table *t, const char *own)
{
	size_t at, end, cap = 0;
	const char *last = "";
	struct hint hint;
	int err;

	err = hint_file_check(&t->file, own, &at, &end);
	while (!err && at < end) {
		if (t->n == cap) {
			uint32_t *p;

			cap = cap ? 2 * cap : 256;
			p = reallocarray(t->index, cap, sizeof(*p));
			if (!p)
				return -ENOMEM;
			t->index = p;
		}
		t->index[t->n++] = (uint32_t)at;
		err = hint_read(t->file.data, end, &at, &hint);
		if (!err && strcmp(hint.name, last) <= 0)
			err = -EBADMSG;
		last = hint.name;
	}
	return err;
}

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int get(struct volume *v, const struct request *rq, struct hint_table *t)
{
	struct store_error error = { 0 };
	struct store_call call = call_of(rq, &error);
	struct store *s = v->conf.store;
	struct store_stat st;
	struct key key;
	int err;

	err = hint_key(v, t->dir, &key);
	if (!err)
		err = s->ops->head(s, key.text, &call, &st);
	if (err)
		return err;
	if (st.len > FILE_MAX)
		return -EFBIG;
	call.if_match = st.etag[0] ? st.etag : NULL;
	err = bytes_reserve(&t->file, (size_t)st.len);
	if (!err)
		err = s->ops->get(s, key.text, 0, st.len, &call, take, &t->file,
				  NULL);
	if (!err)
		err = index_file(t, t->dir + strlen(v->prefix));
	if (err && err != -EINTR)
		log_warning(
			"%s: cannot be used, and files of %s are asked for one by one: %s",
			key.text, t->dir[0] ? t->dir : "/",
			reason(err, &error));
	return err;
}

/* Under hints.lock.  0, or -EINTR: the caller is to wait no longer. */
static int wait_for_reader(struct hints *h, const struct request *rq)
{
	clock_cond_wait(&h->change, &h->lock, WAIT_STEP_MS);
	return rq && rq->cancel && rq->cancel(rq->cancel_arg) ? -EINTR : 0;
}

void hint_table_read(struct volume *v, const struct request *rq,
		     struct hint_table *t)
{
	struct hints *h = &v->hints;
	struct hint_table got = { .dir = t->dir };
	int err;

	t->users++;
	while (t->reading && !wait_for_reader(h, rq))
		;
	if (t->reading || t->file.len || t->absent) {
		t->users--;
		return;
	}
	t->reading = 1;
	(void)pthread_mutex_unlock(&h->lock);
	err = get(v, rq, &got);
	if (err) {
		bytes_clear(&got.file);
		free(got.index);
	}
	(void)pthread_mutex_lock(&h->lock);
	t->users--;
	t->reading = 0;
	t->read_ms = t->used_ms = clock_ms();
	t->absent = err && err != -EINTR;
	if (!err) {
		t->file = got.file;
		t->index = got.index;
		t->known = t->n = got.n;
		h->bytes += t->file.len;
	}
	(void)pthread_cond_broadcast(&h->change);
}

/* Under hints.lock: room for others. */
static void drop_files(struct hints *h, const struct hint_table *but)
{
	for (size_t k = 0; k < HINT_BUCKETS; k++)
		for (struct hint_table *t = h->tables[k]; t; t = t->next)
			if (t != but && !t->users && t->file.len)
				hint_table_drop_file(h, t);
}

static int find_in_file(const struct hint_table *t, const char *name,
			struct hint *out)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c;

		if (hint_table_at(t, mid, out))
			return 0;
		c = strcmp(out->name, name);
		if (!c)
			return 1;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

static int find_kept(const struct hint_table *t, const char *name,
		     struct hint *out)
{
	size_t len = strlen(name) + 1, at = 0;
	struct kept_hint *want, **found;

	if (!t->kept)
		return 0;
	want = calloc(1, sizeof(*want) + HINT_NAME_AT + len);
	if (!want)
		return 0;
	memcpy(want->data + HINT_NAME_AT, name, len);
	found = tfind(want, &t->kept, hint_kept_by_name);
	free(want);
	return found && !hint_read((*found)->data, (*found)->len, &at, out);
}

/* Is it of the version that is listed?  Then it is what there is to know. */
static int fits(struct volume *v, struct hint *hint,
		const struct listing_entry *e, struct resolved *out)
{
	struct object *o = &hint->object;

	if (v->caps.etag_of_write
		    ? strcmp(o->etag, e->etag) != 0
		    : !object_is_listed(o, e->etag, e->len, &e->written))
		return 0;
	attr_assume(&hint->attr, &v->conf.defaults, 0);
	*out = (struct resolved){ .object = *o,
				  .attr = hint->attr,
				  .since_ms = e->since_ms };
	memcpy(out->xattr, hint->xattr, strlen(hint->xattr) + 1);
	return 1;
}

/* Under hints.lock: look where it may be in memory. */
static int look(struct volume *v, struct hint_table *t, const char *name,
		const struct listing_entry *e, struct resolved *out)
{
	struct hint hint;

	t->used_ms = clock_ms();
	if (find_kept(t, name, &hint) && fits(v, &hint, e, out))
		return 1;
	if (!find_in_file(t, name, &hint) || !fits(v, &hint, e, out))
		return 0;
	out->hinted = 1;
	/* Each of them is in memory now, where it takes less to find it. */
	if (++t->served >= t->n && !t->users)
		hint_table_drop_file(&v->hints, t);
	return 1;
}

/* Under hints.lock, of what is not in memory: may the bucket's be of use? */
static int is_worth_reading(struct hints *h, struct hint_table *t)
{
	uint64_t now = clock_ms();

	t->misses++;
	if (!t->file.len && !t->absent)
		return 1;
	/* Another mount may have written it since. */
	if (t->reading || t->users || t->misses < MISSES_MIN ||
	    now - t->read_ms < AGAIN_MS)
		return 0;
	t->misses = 0;
	t->absent = 0;
	hint_table_drop_file(h, t);
	return 1;
}

int hints_find(struct volume *v, const struct request *rq,
	       const struct key *key, const struct listing_entry *e,
	       const char *name, struct resolved *out)
{
	size_t len = key_dir_len(key);
	struct hints *h = &v->hints;
	struct hint_table *t;
	int found = 0;

	if (!e->etag[0])
		return 0;
	(void)pthread_mutex_lock(&h->lock);
	t = e->among < FILES_MIN ? hint_table_find(h, key->text, len)
				 : hint_table_of(v, key->text, len);
	if (t) {
		found = look(v, t, name, e, out);
		if (!found && e->among >= FILES_MIN && is_worth_reading(h, t)) {
			hint_table_read(v, rq, t);
			if (h->bytes > BYTES_MAX)
				drop_files(h, t);
			found = look(v, t, name, e, out);
		}
	}
	h->used += found ? 1 : 0;
	(void)pthread_mutex_unlock(&h->lock);
	return found;
}

void hints_news(struct volume *v, struct inode *dir, const struct key *key,
		int wrong)
{
	struct hints *h = &v->hints;
	struct inode *pinned = dir;
	struct hint_table *t;

	if (!atomic_load(&h->running))
		return;
	inode_pin(dir);
	(void)pthread_mutex_lock(&h->lock);
	t = hint_table_of(v, key->text, key_dir_len(key));
	if (t) {
		t->last_news_ms = clock_ms();
		if (!t->news)
			t->first_news_ms = t->last_news_ms;
		t->news += wrong ? HINT_NEWS_MIN : 1;
		t->wrong |= wrong;
		/* Until then there is nothing to write, and nothing to hold. */
		if (t->news >= HINT_NEWS_MIN && t->news_of != dir) {
			pinned = t->news_of;
			t->news_of = dir;
			(void)pthread_cond_broadcast(&h->change);
		}
	}
	(void)pthread_mutex_unlock(&h->lock);
	inode_unpin(pinned);
}

int inode_is_known(const struct inode *i)
{
	struct object o = inode_object(i);

	return !i->directory && i->remote && !i->unsaved && !i->attr_waits &&
	       !i->attr_unseen && o.etag[0] && o.has_size && !i->superseded &&
	       !i->gone && (o.written.tv_sec || i->volume->caps.etag_of_write);
}

int inode_is_news(const struct inode *i)
{
	return !i->hinted && inode_is_known(i);
}

int hint_of_inode(struct bytes *out, const struct inode *i)
{
	struct hint hint = { .name = i->name,
			     .xattr = i->xattr ? i->xattr : "",
			     .object = inode_object(i),
			     .attr = i->attr };

	return hint_append(out, &hint);
}

void hints_keep(struct volume *v, const char *dir_key, struct inode *i)
{
	struct bytes b = BYTES_INIT;
	struct hints *h = &v->hints;
	struct kept_hint *k = NULL, **found;
	struct hint_table *t;

	if (!atomic_load(&h->running) || hint_of_inode(&b, i))
		return;
	k = malloc(sizeof(*k) + b.len);
	if (k) {
		k->len = b.len;
		memcpy(k->data, b.data, b.len);
	}
	bytes_clear(&b);
	if (!k)
		return;
	(void)pthread_mutex_lock(&h->lock);
	t = h->bytes < KEPT_MAX ? hint_table_of(v, dir_key, strlen(dir_key))
				: NULL;
	found = t ? tsearch(k, &t->kept, hint_kept_by_name) : NULL;
	if (found && *found != k) {
		struct kept_hint *old = *found;

		*found = k;
		h->bytes -= old->len;
		free(old);
	} else if (found) {
		t->n_kept++;
	}
	if (found)
		h->bytes += k->len;
	else
		free(k);
	(void)pthread_mutex_unlock(&h->lock);
}
