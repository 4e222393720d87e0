#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/pagefile.h"
#include "cache/refs.h"
#include "delta/encode.h"
#include "delta/probe.h"
#include "delta/reader.h"
#include "fs/commit.h"
#include "fs/log.h"
#include "fs/refkey.h"
#include "fs/tasks.h"

#define PIECE ((size_t)256 << 10)

/* Smaller ones are encoded in no time. */
#define PROBE_MIN ((uint64_t)4 << 20)
/* Thousandths, and a third more: what a sample says is seldom too little. */
#define PROBE_MARGIN 1333

/*
 * So many files are encoded at once, because each holds its reference in
 * memory; `alone` waits for all others, for the one that finds no room.
 */
static void gate_enter(struct volume *v, int alone)
{
	(void)pthread_mutex_lock(&v->gate);
	while (v->encoding_alone ||
	       (alone ? v->encoding : v->encoding >= v->conf.encoders))
		(void)pthread_cond_wait(&v->gate_open, &v->gate);
	v->encoding++;
	v->encoding_alone = alone;
	(void)pthread_mutex_unlock(&v->gate);
}

static void gate_leave(struct volume *v)
{
	(void)pthread_mutex_lock(&v->gate);
	v->encoding--;
	v->encoding_alone = 0;
	(void)pthread_cond_broadcast(&v->gate_open);
	(void)pthread_mutex_unlock(&v->gate);
}

/* A container that grows at the end of a page file. */
struct output {
	struct pagefile *file;
	uint64_t len;
};

static int write_output(void *arg, const void *data, size_t len)
{
	struct output *o = arg;
	int err;

	err = pagefile_pwrite(o->file, data, len, o->len);
	if (!err)
		o->len += len;
	return err;
}

static int read_file(void *arg, void *buf, size_t len, uint64_t off)
{
	ssize_t n = pagefile_pread(arg, buf, len, off);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EBADMSG;
}

static int read_ref(void *arg, void *buf, size_t len, uint64_t off)
{
	return ref_read(arg, buf, len, off);
}

/* The container's last bytes, which hold its table. */
static int open_table(struct pagefile *f, uint64_t len,
		      struct delta_table **out)
{
	size_t tail = len < DELTA_TAIL_HINT ? (size_t)len : DELTA_TAIL_HINT;
	struct bytes buf = BYTES_INIT;
	int err;

	do {
		size_t need = tail;

		buf.len = 0;
		err = bytes_reserve(&buf, tail);
		if (!err)
			err = read_file(f, buf.data, tail, len - tail);
		if (err)
			break;
		err = delta_table_parse(out, buf.data, tail, len, &need);
		tail = need;
	} while (err == -EAGAIN && tail <= len);
	bytes_clear(&buf);
	return err;
}

static int digest_of_target(struct delta_reader *r, uint64_t len,
			    uint8_t out[DIGEST_LEN])
{
	struct digest *d = digest_new();
	uint8_t *buf = malloc(PIECE);
	int err = d && buf ? 0 : -ENOMEM;

	for (uint64_t off = 0; !err && off < len;) {
		size_t n = len - off < PIECE ? (size_t)(len - off) : PIECE;

		err = delta_reader_read(r, buf, n, off);
		if (!err)
			err = digest_update(d, buf, n);
		off += n;
	}
	if (!err)
		err = digest_final(d, out);
	if (buf)
		bytes_wipe(buf, PIECE);
	free(buf);
	digest_free(d);
	return err;
}

/* What was encoded decodes to what was written, or it is not kept. */
static int verify(struct commit *c, struct ref *ref, const struct output *o)
{
	struct delta_reader_conf conf = {
		.read_object = read_file,
		.object_arg = o->file,
		.ref = { .len = ref_length(ref), .read = read_ref, .arg = ref }
	};
	uint8_t digest[DIGEST_LEN];
	struct delta_reader *r;
	struct delta_table *t;
	int err;

	err = open_table(o->file, o->len, &t);
	if (err)
		return err;
	conf.table = t;
	err = delta_reader_new(&r, &conf);
	if (!err) {
		err = digest_of_target(r, c->size, digest);
		if (!err && memcmp(digest, c->digest, DIGEST_LEN) != 0)
			err = -EBADMSG;
		delta_reader_free(r);
	}
	delta_table_free(t);
	if (err)
		log_error(
			"%s: the delta does not decode to what was written (%s): stored as it is; please report this",
			c->key.text, strerrordesc_np(-err));
	return err;
}

static int feed_all(struct commit *c, struct delta_encoder *e)
{
	uint8_t *buf = malloc(PIECE);
	int err = buf ? 0 : -ENOMEM;

	for (uint64_t off = 0; !err && off < c->size;) {
		size_t n =
			c->size - off < PIECE ? (size_t)(c->size - off) : PIECE;

		err = read_file(c->inode->spool, buf, n, off);
		if (!err)
			err = delta_encoder_feed(e, buf, n);
		off += n;
	}
	if (buf)
		bytes_wipe(buf, PIECE);
	free(buf);
	return err;
}

static int index_of(void *arg, const struct delta_index **out)
{
	return ref_index(arg, out);
}

/* 0, and `o` holds the container; -E2BIG if it does not pay. */
static int encode(struct commit *c, struct ref *ref, const uint8_t *text,
		  struct output *o)
{
	struct delta_encoder_conf conf = { .ref = text,
					   .ref_len = (size_t)ref_length(ref),
					   .index = index_of,
					   .index_arg = ref,
					   .level = c->v->conf.level,
					   .write = write_output,
					   .write_arg = o,
					   .tasks = tasks_threads() };
	struct delta_info info = { .target_len = c->size,
				   .ref_len = ref_length(ref) };
	struct delta_encoder *e;
	int err;

	conf.max_len = commit_max_len(c);
	memcpy(info.target_digest, c->digest, DIGEST_LEN);
	memcpy(info.ref_digest, ref_digest(ref), DIGEST_LEN);
	memcpy(info.ref_key, c->ref_key.text, sizeof(info.ref_key));
	err = delta_encoder_new(&e, &conf, info.ref_digest);
	if (err)
		return err;
	err = feed_all(c, e);
	if (!err)
		err = delta_encoder_finish(e, &info, &c->delta_len);
	delta_encoder_free(e);
	return err;
}

/* -E2BIG: a sample says that it would not pay, and by far. */
static int probe(struct commit *c, struct ref *ref, const uint8_t *text)
{
	const struct delta_encoder_conf conf = { .ref = text,
						 .ref_len = (size_t)ref_length(
							 ref),
						 .index = index_of,
						 .index_arg = ref };
	unsigned permille;
	int err;

	if (c->size < PROBE_MIN)
		return 0;
	err = delta_probe(&conf, read_file, c->inode->spool, c->size,
			  &permille);
	if (err)
		return err;
	return permille > PROBE_MARGIN * c->v->conf.max_ratio ? -E2BIG : 0;
}

/* Puts the reference back. */
static int encode_against(struct commit *c, struct ref *ref)
{
	const uint8_t *text;
	struct output o = { 0 };
	int err;

	gate_enter(c->v, 0);
	err = ref_text(ref, &text);
	if (err == -ENOMEM) {
		gate_leave(c->v);
		gate_enter(c->v, 1);
		err = ref_text(ref, &text);
	}
	if (err)
		goto leave;
	err = probe(c, ref, text);
	if (err)
		goto leave;
	if (c->v->conf.codec == CODEC_BSDIFF) {
		err = commit_bsdiff(c, ref, text);
		goto leave;
	}
	err = inode_new_spool(c->inode, &o.file);
	if (err)
		goto leave;
	err = encode(c, ref, text, &o);
	if (!err)
		err = verify(c, ref, &o);
	if (err)
		pagefile_close(o.file);
	else
		c->delta = o.file;
leave:
	/* Inside the gate: who enters alone finds its memory free. */
	ref_put(ref);
	gate_leave(c->v);
	return err;
}

static int fetch_and_encode(struct commit *c, const struct store_call *call,
			    const struct reference_source *src)
{
	struct ref *ref;
	int err = reference_from(c->v, call, src, &ref);

	return err ? err : encode_against(c, ref);
}

static int try_candidate(struct commit *c, const struct candidate *one)
{
	struct store_error error = { 0 };
	struct store_call call = { .error = &error, .optional = 1 };
	struct reference_source src = { .key = one->key,
					.etag = one->etag,
					.len = one->len,
					.digest = one->digest };
	int err;

	if (one->is_reference) {
		memcpy(c->ref_key.text, one->key, sizeof(one->key));
		err = 0;
	} else {
		err = reference_key(c->v, one->digest, &c->ref_key);
	}
	if (!err)
		err = fetch_and_encode(c, &call, &src);
	if (err == -EBADMSG) /* a damaged page of the cache, most likely */
		err = fetch_and_encode(c, &call, &src);
	if (err == -ENOENT || err == -ESTALE || err == -EBADMSG)
		choose_forget(c->dir, one->key);
	if (err == -E2BIG)
		volume_count(c->v, &c->v->stats.deltas_refused, 1);
	else if (err == -ENOMEM)
		log_warning(
			"%s: no room in index_memory for its reference of %llu bytes: stored as it is",
			c->key.text, (unsigned long long)one->len);
	else if (err == -EBADMSG)
		log_warning(
			"%s: no delta against %s, which is not what its digest says: stored without; files that need it cannot be read until it is put back",
			c->key.text, one->key);
	else if (err)
		log_warning("%s: no delta against %s: %s", c->key.text,
			    one->key, reason(err, &error));
	if (err)
		return err;
	memcpy(c->ref_digest, one->digest, DIGEST_LEN);
	c->promotes = !one->is_reference;
	c->source = *one;
	return 0;
}

void commit_encode(struct commit *c)
{
	struct question q = { .sketch = &c->sketch,
			      .digest = c->digest,
			      .len = c->size,
			      .key = c->key.text };
	struct candidate best[CHOICES];
	int n = choose(c->v, c->dir, &q, best);

	for (int i = 0; i < n; i++)
		if (commit_takes(c, &best[i]) && !try_candidate(c, &best[i]))
			return;
}
