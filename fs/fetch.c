#include "fs/fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/refs.h"
#include "delta/reader.h"
#include "fs/etag_check.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/ranged.h"
#include "fs/refkey.h"
#include "fs/sums.h"
#include "fs/whole.h"

/* A delta of up to this size is fetched in one request, table and all. */
#define WHOLE_DELTA ((uint64_t)256 << 10)

struct fetch {
	struct volume *v;
	char key[STORE_KEY_MAX + 1];
	struct object obj;
	pthread_mutex_t lock; /* all below, and across the network */
	int ready;
	struct ranged *object;
	struct sums sums;
	struct delta_table *table;
	struct ref *ref;
	struct delta_reader *reader;
	struct whole *whole; /* of a codec without windows, instead */
	/* Kept by what is fetched anew: it knows what has not matched. */
	struct etag_check *etag;
	int etag_in_order; /* its bytes are looked at as they go by */
	int etag_known; /* for an MD5, by what the server says of it */
	const struct store_call *call; /* the one under way, for callbacks */
};

int fetch_new(struct fetch **out, struct volume *v, const char *key,
	      const struct object *obj)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->v = v;
	f->obj = *obj;
	memcpy(f->key, key, strlen(key) + 1);
	(void)pthread_mutex_init(&f->lock, NULL);
	*out = f;
	return 0;
}

static void close_all(struct fetch *f)
{
	delta_reader_free(f->reader);
	ref_put(f->ref);
	delta_table_free(f->table);
	ranged_free(f->object);
	sums_clear(&f->sums);
	whole_put(f->v, f->whole);
	f->whole = NULL;
	f->reader = NULL;
	f->ref = NULL;
	f->table = NULL;
	f->object = NULL;
	f->ready = 0;
}

void fetch_free(struct fetch *f)
{
	if (!f)
		return;
	close_all(f);
	etag_check_free(f->etag);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

/* A range of a container, for its reader. */
static int read_object(void *arg, void *buf, size_t len, uint64_t off)
{
	struct fetch *f = arg;

	return ranged_read(f->object, f->call, buf, len, off);
}

static int read_ref(void *arg, void *buf, size_t len, uint64_t off)
{
	struct fetch *f = arg;
	int err = f->ref ? ref_read(f->ref, buf, len, off) : -EBADMSG;

	if (err != -EBADMSG)
		return err;
	/* The cache has dropped what was damaged, and gets it anew. */
	ref_put(f->ref);
	f->ref = NULL;
	err = reference_get(f->v, f->call, delta_table_info(f->table), &f->ref);
	return err ? err : ref_read(f->ref, buf, len, off);
}

static int open_table(struct fetch *f)
{
	size_t tail = f->obj.stored < WHOLE_DELTA ? (size_t)f->obj.stored
						  : DELTA_TAIL_HINT;
	struct bytes buf = BYTES_INIT;
	int err;

	do {
		size_t need = tail;

		if (tail > f->obj.stored) {
			err = -EBADMSG;
			break;
		}
		buf.len = 0;
		err = bytes_reserve(&buf, tail);
		if (!err)
			err = ranged_read(f->object, f->call, buf.data, tail,
					  f->obj.stored - tail);
		if (err)
			break;
		buf.len = tail;
		err = delta_table_parse(&f->table, buf.data, tail,
					f->obj.stored, &need);
		tail = need;
	} while (err == -EAGAIN);
	bytes_clear(&buf);
	return err;
}

static int check_block(void *arg, const uint8_t *data, size_t len, uint64_t off)
{
	const struct sums *s = arg;

	return sums_check(s, data, len, off);
}

/* One "block", the whole file. */
static int check_whole(void *arg, const uint8_t *data, size_t len, uint64_t off)
{
	const struct fetch *f = arg;
	uint8_t digest[DIGEST_LEN];
	int err;

	if (off || len != f->obj.size)
		return -EBADMSG;
	err = digest_buffer(data, len, digest);
	if (err)
		return err;
	return bytes_equal(digest, f->obj.digest, DIGEST_LEN) ? 0 : -EBADMSG;
}

static int load_sums(struct fetch *f)
{
	struct bytes table = BYTES_INIT;
	struct key key;
	int err;

	err = sums_key(f->v, f->obj.digest, &key);
	if (!err)
		err = f->v->conf.store->ops->get(f->v->conf.store, key.text, 0,
						 sums_table_len(f->obj.size),
						 f->call, take, &table, NULL);
	if (!err)
		err = sums_parse(&f->sums, &table, f->obj.size,
				 f->obj.sums_digest);
	bytes_clear(&table);
	if (err == -ENOENT || err == -EBADMSG)
		log_warning("%s: its table of digests %s is %s: read without",
			    f->key, key.text,
			    err == -ENOENT ? "missing" : "damaged");
	return err;
}

/* Is the ETag of a large one known to be an MD5, by all that is known? */
static int ask_etag(struct fetch *f, int *known)
{
	struct store_call call = *f->call;
	struct store *s = f->v->conf.store;
	struct store_stat st;
	int err;

	call.if_match = f->obj.etag;
	err = s->ops->head(s, f->key, &call, &st);
	if (!err)
		*known = st.etag_is_md5;
	return err;
}

static int check_etag(void *arg, const uint8_t *data, size_t len, uint64_t off)
{
	const struct fetch *f = arg;

	if (f->etag_in_order)
		return etag_check_next(f->etag, data, len, off);
	return off ? -EBADMSG
		   : etag_check_whole(f->etag, data, len,
				      f->etag_known && f->v->caps.etag_md5);
}

static int open_foreign(struct fetch *f, struct ranged_conf *conf)
{
	int known = 0, err = 0;

	/* A server whose own ETags are none, as probed. */
	if (f->v->caps.probed && !f->v->caps.etag_md5)
		return 0;
	if (!f->obj.size || !etag_is_md5(f->obj.etag))
		return 0;
	/* Without a probe, only what can be fetched twice. */
	if (f->obj.size > SUMS_MIN && !f->v->caps.etag_md5)
		return 0;
	if (f->obj.size > SUMS_MIN && !f->etag)
		err = ask_etag(f, &known);
	if (err || (f->obj.size > SUMS_MIN && !known && !f->etag))
		return err;
	if (!f->etag)
		err = etag_check_new(&f->etag, f->obj.etag, f->obj.size);
	if (err)
		return err;
	f->etag_in_order = f->obj.size > SUMS_MIN;
	if (!f->etag_in_order)
		conf->block = (size_t)f->obj.size;
	conf->check = check_etag;
	conf->check_arg = f;
	conf->etag_is_md5 = &f->etag_known;
	return 0;
}

static int open_object(struct fetch *f)
{
	struct ranged_conf conf = { .store = f->v->conf.store,
				    .key = f->key,
				    .etag = f->obj.etag,
				    .len = f->obj.stored,
				    .block = 1 };
	int err = 0;

	if (f->obj.form == OBJECT_PLAIN && f->obj.has_digest) {
		if (f->obj.size <= SUMS_MIN && f->obj.size) {
			conf.block = (size_t)f->obj.size;
			conf.check = check_whole;
			conf.check_arg = f;
		} else if (f->obj.has_sums) {
			err = load_sums(f);
			if (!err) {
				conf.block = f->sums.block;
				conf.check = check_block;
				conf.check_arg = &f->sums;
			} else if (err != -ENOENT && err != -EBADMSG) {
				return err;
			}
			err = 0;
		}
	}
	if (f->obj.form == OBJECT_FOREIGN)
		err = open_foreign(f, &conf);
	return err ? err : ranged_new(&f->object, &conf);
}

static int open_delta(struct fetch *f)
{
	struct delta_reader_conf conf = { .read_object = read_object,
					  .object_arg = f };
	const struct delta_info *info;
	int err;

	err = open_table(f);
	if (err)
		return err;
	info = delta_table_info(f->table);
	if (info->target_len != f->obj.size ||
	    (f->obj.has_digest &&
	     memcmp(info->target_digest, f->obj.digest, DIGEST_LEN) != 0))
		return -EBADMSG;
	err = reference_get(f->v, f->call, info, &f->ref);
	if (err)
		return err;
	conf.table = f->table;
	conf.ref = (struct delta_ref){ .len = info->ref_len,
				       .read = read_ref,
				       .arg = f };
	return delta_reader_new(&f->reader, &conf);
}

static struct whole_source whole_of(const struct fetch *f)
{
	return (struct whole_source){
		.v = f->v, .call = f->call, .key = f->key, .obj = &f->obj
	};
}

static int ready(struct fetch *f)
{
	struct whole_source whole = whole_of(f);
	int err;

	if (f->ready)
		return 0;
	if (f->obj.form == OBJECT_BSDIFF)
		err = whole_get(&whole, &f->whole);
	else
		err = open_object(f);
	if (!err && f->obj.form == OBJECT_DELTA)
		err = open_delta(f);
	if (err) {
		close_all(f);
		return err;
	}
	f->ready = 1;
	return 0;
}

static int read_once(struct fetch *f, void *buf, size_t len, uint64_t off)
{
	int err;

	err = ready(f);
	if (err)
		return err;
	if (f->obj.form == OBJECT_DELTA)
		return delta_reader_read(f->reader, buf, len, off);
	if (f->obj.form == OBJECT_BSDIFF)
		return whole_read(f->v, f->whole, buf, len, off);
	err = ranged_read(f->object, f->call, buf, len, off);
	if (!err && f->obj.form == OBJECT_FOREIGN &&
	    (!f->etag || f->etag_in_order))
		volume_count(f->v, &f->v->stats.unverified_bytes, len);
	return err;
}

static void tell_version(const char *key)
{
	log_error(
		"%s: its container is of another version: damaged, or written by a newer mount.deltaglider: upgrade, or restore it from another copy",
		key);
}

int fetch_read(struct fetch *f, const struct store_call *call, void *buf,
	       size_t len, uint64_t off)
{
	int err;

	if (off > f->obj.size || len > f->obj.size - off)
		return -EINVAL;
	if (!len)
		return 0;
	(void)pthread_mutex_lock(&f->lock);
	f->call = call;
	err = read_once(f, buf, len, off);
	if (err == -EBADMSG || err == -ENOTSUP) {
		/* Once more from the bucket: it may have been the way here. */
		volume_count(f->v, &f->v->stats.verify_failures, 1);
		log_warning(
			"%s: bytes at %llu do not match their digest: fetching them again",
			f->key, (unsigned long long)off);
		close_all(f);
		err = read_once(f, buf, len, off);
		if (err == -ENOTSUP)
			tell_version(f->key);
		if (err == -EBADMSG && f->etag_in_order) {
			/* Somewhere before, and gone by: who reads on is told. */
			log_error(
				"%s: what was read of it does not match its ETag %s: read it again, and if that fails too, restore it from another copy",
				f->key, f->obj.etag);
			close_all(f);
			err = -EIO;
		} else if (err == -EBADMSG) {
			log_error(
				"%s: damaged in the bucket at %llu (version %s): restore it from another copy",
				f->key, (unsigned long long)off, f->obj.etag);
			close_all(f);
			err = -EIO;
		}
	}
	f->call = NULL;
	(void)pthread_mutex_unlock(&f->lock);
	return err;
}

int fetch_reference(struct fetch *f, const struct store_call *call,
		    struct delta_info *out)
{
	struct whole_source whole = whole_of(f);
	int err;

	if (f->obj.form == OBJECT_BSDIFF) {
		whole.call = call;
		return whole_describe(&whole, out);
	}
	if (f->obj.form != OBJECT_DELTA)
		return -EINVAL;
	(void)pthread_mutex_lock(&f->lock);
	f->call = call;
	if (f->table) {
		err = 0;
	} else {
		err = f->object ? 0 : open_object(f);
		if (!err)
			err = open_table(f);
	}
	if (!err)
		*out = *delta_table_info(f->table);
	if (!f->ready)
		close_all(f);
	f->call = NULL;
	(void)pthread_mutex_unlock(&f->lock);
	return err;
}

int fetch_is_container(struct volume *v, const struct store_call *call,
		       const char *key, const struct object *obj)
{
	struct store_call pinned = *call;
	struct bytes start = BYTES_INIT;
	size_t len = sizeof(DELTA_MAGIC) - 1;
	int ours = 0;

	if (obj->stored < len)
		return 0;
	pinned.if_match = obj->etag[0] ? obj->etag : NULL;
	ours = v->conf.store->ops->get(v->conf.store, key, 0, len, &pinned,
				       take, &start, NULL);
	if (!ours)
		ours = !memcmp(start.data, DELTA_MAGIC, len);
	bytes_clear(&start);
	return ours;
}

int fetch_describe(struct volume *v, const struct store_call *call,
		   const char *key, struct object *obj)
{
	struct delta_info info;
	struct fetch *f;
	int err;

	err = fetch_new(&f, v, key, obj);
	if (err)
		return err;
	err = fetch_reference(f, call, &info);
	fetch_free(f);
	if (err == -ENOTSUP)
		tell_version(key);
	if (err == -EBADMSG) {
		err = fetch_is_container(v, call, key, obj);
		if (err > 0)
			log_error(
				"%s: a damaged container: restore it from another copy",
				key);
		if (err)
			return err > 0 ? -EIO : err;
		/* It only claims to be ours: shown as what it is. */
		log_warning("%s: has our content type, but is no container",
			    key);
		obj->form = OBJECT_FOREIGN;
		obj->size = obj->stored;
		obj->has_digest = 0;
		return 0;
	}
	if (err)
		return err;
	obj->size = info.target_len;
	obj->has_size = 1;
	memcpy(obj->digest, info.target_digest, DIGEST_LEN);
	obj->has_digest = 1;
	return 0;
}
