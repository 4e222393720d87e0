#include "fs/whole.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/budget.h"
#include "cache/pagefile.h"
#include "cache/refs.h"
#include "crypto/clock.h"
#include "delta/container.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/patch.h"
#include "fs/refkey.h"

#define WAIT_MS 100 /* between looks at who is to be interrupted */

struct whole {
	/* Under volume.wholes_lock. */
	struct whole *next;
	unsigned users;
	int damaged; /* not to be found any more */
	/* Never changed. */
	uint64_t size;
	uint8_t digest[DIGEST_LEN];
	pthread_mutex_t lock; /* the rest; never across the network */
	pthread_cond_t turn;
	int decoding; /* by one of them; the others wait */
	struct pagefile *file; /* NULL: not decoded yet; then only read */
};

static int head_of(const struct whole_source *s, const char *key,
		   struct store_stat *st)
{
	struct store_call call = *s->call;
	struct store *store = s->v->conf.store;

	call.if_match = NULL;
	return store->ops->head(store, key, &call, st);
}

/* Somebody else's patch may not say how long its reference is. */
static int reference_length(const struct whole_source *s,
			    struct delta_info *info)
{
	struct store_stat st;
	struct key ours;
	int err = -ENOENT;

	if (*info->ref_key)
		err = head_of(s, info->ref_key, &st);
	if (err == -ENOENT) {
		err = reference_key(s->v, info->ref_digest, &ours);
		if (!err)
			err = head_of(s, ours.text, &st);
	}
	if (err == -ENOENT) {
		log_error(
			"%s: its reference %s is missing: it cannot be read until that is put back",
			s->key, *info->ref_key ? info->ref_key : ours.text);
		err = -EIO;
	}
	if (!err)
		info->ref_len = st.len;
	return err;
}

static void reference_name(const struct meta *m, struct delta_info *info)
{
	char text[META_VALUE_MAX], key[META_VALUE_MAX];
	int n;

	if (meta_get(m, "dg-ref-key", text, sizeof(text)))
		return;
	n = meta_decode(key, sizeof(key), text);
	if (n > 0 && (size_t)n < sizeof(info->ref_key) &&
	    (size_t)n == strlen(key))
		memcpy(info->ref_key, key, (size_t)n + 1);
}

int whole_describe(const struct whole_source *s, struct delta_info *out)
{
	struct delta_info info = { 0 };
	struct store_stat st;
	struct object now;
	int err;

	err = head_of(s, s->key, &st);
	if (err)
		return err;
	object_read(&now, &st);
	if (now.form != OBJECT_BSDIFF || strcmp(now.etag, s->obj->etag) != 0)
		return -ESTALE;
	info.target_len = now.size;
	memcpy(info.target_digest, now.digest, DIGEST_LEN);
	/* object_read() saw that it is there. */
	err = object_digest(&st.meta, "dg-ref-sha256", info.ref_digest);
	if (err)
		return -EBADMSG;
	reference_name(&st.meta, &info);
	if (object_size(&st.meta, "dg-ref-size", &info.ref_len))
		err = reference_length(s, &info);
	if (!err)
		*out = info;
	return err;
}

static int new_file(struct volume *v, struct pagefile **out)
{
	return pagefile_create(out, v->conf.spool_dirfd, v->conf.key,
			       v->conf.spool);
}

/* Before hours go into what will not fit. */
static int has_room(const struct whole_source *s)
{
	uint64_t need =
		pagefile_cost(s->obj->size) + pagefile_cost(s->obj->stored);
	int err = budget_take(s->v->conf.spool, need);

	if (!err)
		budget_give(s->v->conf.spool, need);
	return err;
}

struct download {
	struct pagefile *file;
	uint64_t len;
};

static int take(void *arg, const void *data, size_t len)
{
	struct download *d = arg;
	int err;

	err = pagefile_pwrite(d->file, data, len, d->len);
	if (!err)
		d->len += len;
	return err;
}

static int download(const struct whole_source *s, struct pagefile *to)
{
	struct download d = { .file = to };
	struct store_call call = *s->call;
	struct store *store = s->v->conf.store;

	call.if_match = s->obj->etag[0] ? s->obj->etag : NULL;
	return store->ops->get(store, s->key, 0, s->obj->stored, &call, take,
			       &d, NULL);
}

static int apply(const struct whole_source *s, struct pagefile *patch,
		 struct pagefile *out)
{
	struct patch p = { .file = patch,
			   .len = s->obj->stored,
			   .size = s->obj->size,
			   .digest = s->obj->digest,
			   .call = s->call };
	struct delta_info info;
	int err;

	err = whole_describe(s, &info);
	if (!err)
		err = reference_get(s->v, s->call, &info, &p.ref);
	if (err)
		return err;
	err = patch_apply(&p, out);
	ref_put(p.ref);
	return err;
}

static int decode(const struct whole_source *s, struct pagefile **file)
{
	struct pagefile *patch = NULL, *out = NULL;
	int err;

	err = has_room(s);
	if (!err)
		err = new_file(s->v, &patch);
	if (!err)
		err = new_file(s->v, &out);
	if (!err)
		err = download(s, patch);
	if (!err)
		err = apply(s, patch, out);
	if (!err)
		err = pagefile_settle(out);
	if (err == -ENOSPC)
		log_error(
			"%s: no room in spool_size for the %llu bytes that it decodes to: it cannot be read now",
			s->key, (unsigned long long)s->obj->size);
	pagefile_close(patch);
	if (err) {
		pagefile_close(out);
		return err;
	}
	*file = out;
	return 0;
}

/* The one of that content, or a new one, with one user more. */
static struct whole *enter(struct volume *v, const struct object *obj)
{
	struct whole *w;

	(void)pthread_mutex_lock(&v->wholes_lock);
	for (w = v->wholes; w; w = w->next)
		if (!w->damaged && w->size == obj->size &&
		    !memcmp(w->digest, obj->digest, DIGEST_LEN))
			break;
	if (!w)
		w = calloc(1, sizeof(*w));
	if (w && !w->users) {
		w->size = obj->size;
		memcpy(w->digest, obj->digest, DIGEST_LEN);
		(void)pthread_mutex_init(&w->lock, NULL);
		(void)!clock_cond_init(&w->turn);
		w->next = v->wholes;
		v->wholes = w;
	}
	if (w)
		w->users++;
	(void)pthread_mutex_unlock(&v->wholes_lock);
	return w;
}

/* Until nobody else is at it, or this one is to be interrupted. */
static int wait_turn(struct whole *w, const struct store_call *call)
{
	while (w->decoding) {
		if (call->cancel && call->cancel(call->cancel_arg))
			return -EINTR;
		clock_cond_wait(&w->turn, &w->lock, WAIT_MS);
	}
	return 0;
}

int whole_get(const struct whole_source *s, struct whole **out)
{
	struct whole *w = enter(s->v, s->obj);
	struct pagefile *file = NULL;
	int err;

	if (!w)
		return -ENOMEM;
	(void)pthread_mutex_lock(&w->lock);
	err = wait_turn(w, s->call);
	if (!err && !w->file) {
		w->decoding = 1;
		(void)pthread_mutex_unlock(&w->lock);
		err = decode(s, &file);
		(void)pthread_mutex_lock(&w->lock);
		w->file = file;
		w->decoding = 0;
		(void)pthread_cond_broadcast(&w->turn);
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (err)
		whole_put(s->v, w);
	else
		*out = w;
	return err;
}

void whole_put(struct volume *v, struct whole *w)
{
	struct whole **link;
	unsigned left;

	if (!w)
		return;
	(void)pthread_mutex_lock(&v->wholes_lock);
	left = --w->users;
	for (link = &v->wholes; !left && *link != w; link = &(*link)->next)
		;
	if (!left)
		*link = w->next;
	(void)pthread_mutex_unlock(&v->wholes_lock);
	if (left)
		return;
	pagefile_close(w->file);
	(void)pthread_cond_destroy(&w->turn);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

int whole_read(struct volume *v, struct whole *w, void *buf, size_t len,
	       uint64_t off)
{
	ssize_t n = pagefile_pread(w->file, buf, len, off);

	if (n == -EBADMSG || (n >= 0 && (size_t)n != len)) {
		(void)pthread_mutex_lock(&v->wholes_lock);
		w->damaged = 1;
		(void)pthread_mutex_unlock(&v->wholes_lock);
		return -EBADMSG;
	}
	return n < 0 ? (int)n : 0;
}
