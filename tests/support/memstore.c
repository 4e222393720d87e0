#include "tests/support/memstore.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/memstore_objects.h"

#define STEP_MAX ((uint64_t)64 << 10) /* bytes a call of a source or sink */

struct memstore {
	struct store store; /* first: this is what callers hold */
	pthread_mutex_t lock; /* all below; never held in a callback */
	struct objects objects;
	uint64_t calls[MEMSTORE_OPS];
	struct store_caps caps;
	int hide_etag; /* of what a put answers */
	unsigned damaging; /* puts to come */
	memstore_fault_fn *fault;
	void *fault_arg;
};

static const struct store_call no_call;

static struct memstore *memstore_of(struct store *s)
{
	return (struct memstore *)(void *)s;
}

/* Say in `call` why, and return `err`. */
static int refuse(const struct store_call *call, int err, const char *key)
{
	static const struct {
		int err, status;
		const char *code;
	} known[] = {
		{ -ENOENT, 404, "NoSuchKey" },
		{ -ESTALE, 412, "PreconditionFailed" },
		{ -EEXIST, 412, "PreconditionFailed" },
		{ -EIO, 416, "InvalidRange" },
		{ -ENAMETOOLONG, 400, "KeyTooLongError" },
	};

	if (!call->error)
		return err;
	memset(call->error, 0, sizeof(*call->error));
	call->error->cause = EIO;
	snprintf(call->error->code, sizeof(call->error->code), "MemStore");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].err != err)
			continue;
		call->error->http_status = known[i].status;
		snprintf(call->error->code, sizeof(call->error->code), "%s",
			 known[i].code);
	}
	snprintf(call->error->text, sizeof(call->error->text), "%.180s: %s",
		 key, strerror(-err));
	return err;
}

/* Ask the fault function, if any. */
static int fault(struct memstore *m, enum memstore_op op, const char *key,
		 int after)
{
	memstore_fault_fn *fn;
	void *arg;

	pthread_mutex_lock(&m->lock);
	fn = m->fault;
	arg = m->fault_arg;
	pthread_mutex_unlock(&m->lock);
	return fn ? fn(arg, op, key, after) : 0;
}

/* What every operation does first. */
static int begin(struct memstore *m, enum memstore_op op, const char *key,
		 const struct store_call *call)
{
	int err;

	pthread_mutex_lock(&m->lock);
	m->calls[op]++;
	pthread_mutex_unlock(&m->lock);
	if (strlen(key) > STORE_KEY_MAX)
		return refuse(call, -ENAMETOOLONG, key);
	if (call->cancel && call->cancel(call->cancel_arg))
		return -EINTR;
	err = fault(m, op, key, 0);
	return err ? refuse(call, err, key) : 0;
}

/* And last, when it has taken effect. */
static int finish(struct memstore *m, enum memstore_op op, const char *key,
		  const struct store_call *call)
{
	int err = fault(m, op, key, 1);

	return err ? refuse(call, err, key) : 0;
}

static int etag_matches(const struct object *o, const char *etag)
{
	return o && !strcmp(o->st.etag, etag);
}

/* The object to read; called with the lock. */
static int find(const struct memstore *m, const char *key,
		const struct store_call *call, const struct object **out)
{
	const struct object *o = objects_find(&m->objects, key);

	if (call->if_match && !etag_matches(o, call->if_match))
		return -ESTALE;
	if (!o)
		return -ENOENT;
	*out = o;
	return 0;
}

static int mem_check(struct store *s, const struct store_call *call)
{
	(void)s;
	(void)call;
	return 0;
}

static int mem_head(struct store *s, const char *key,
		    const struct store_call *call, struct store_stat *out)
{
	struct memstore *m = memstore_of(s);
	const struct object *o;
	struct store_stat st;
	int err;

	call = call ? call : &no_call;
	err = begin(m, MEMSTORE_HEAD, key, call);
	if (err)
		return err;
	pthread_mutex_lock(&m->lock);
	err = find(m, key, call, &o);
	if (!err)
		st = o->st;
	pthread_mutex_unlock(&m->lock);
	if (err)
		return refuse(call, err, key);
	err = finish(m, MEMSTORE_HEAD, key, call);
	if (!err)
		*out = st;
	return err;
}

/* A copy of what get() will give, so that the sink is called unlocked. */
static int snapshot(struct memstore *m, const char *key, uint64_t off,
		    uint64_t len, const struct store_call *call,
		    struct object **out)
{
	const struct object *o;
	int err;

	pthread_mutex_lock(&m->lock);
	err = find(m, key, call, &o);
	if (err)
		goto unlock;
	err = -EIO;
	if (off > o->st.len || len > o->st.len - off)
		goto unlock;
	err = object_new(out, key, len);
	if (err)
		goto unlock;
	memcpy((*out)->data, o->data + off, (size_t)len);
	(*out)->st = o->st;

unlock:
	pthread_mutex_unlock(&m->lock);
	return err;
}

static int mem_get(struct store *s, const char *key, uint64_t off, uint64_t len,
		   const struct store_call *call, store_sink_fn *sink,
		   void *sink_arg, struct store_stat *out)
{
	struct memstore *m = memstore_of(s);
	struct object *copy;
	int err;

	call = call ? call : &no_call;
	if (!len)
		return 0;
	err = begin(m, MEMSTORE_GET, key, call);
	if (err)
		return err;
	err = snapshot(m, key, off, len, call, &copy);
	if (err)
		return refuse(call, err, key);
	for (uint64_t done = 0; done < len && !err;) {
		uint64_t step = len - done < STEP_MAX ? len - done : STEP_MAX;

		err = sink(sink_arg, copy->data + done, (size_t)step);
		done += step;
	}
	if (!err)
		err = finish(m, MEMSTORE_GET, key, call);
	if (!err && out)
		*out = copy->st;
	object_free(copy);
	return err;
}

static int source_read(const struct store_source *src, uint8_t *data)
{
	int err = 0;

	for (uint64_t done = 0; done < src->len && !err;) {
		uint64_t left = src->len - done;
		uint64_t step = left < STEP_MAX ? left : STEP_MAX;

		err = src->read(src->arg, data + done, (size_t)step, done);
		done += step;
	}
	return err;
}

/* Put `o` in place if the conditions that are kept hold.  As objects_insert(). */
static int replace(struct memstore *m, struct object *o,
		   const struct store_call *call, struct store_stat *st)
{
	const struct object *old;
	int err;

	pthread_mutex_lock(&m->lock);
	old = objects_find(&m->objects, o->key);
	if (call->if_absent && m->caps.put_if_absent && old)
		err = -EEXIST;
	else if (call->if_match && m->caps.put_if_match &&
		 !etag_matches(old, call->if_match))
		err = -ESTALE;
	else
		err = objects_insert(&m->objects, o);
	if (!err)
		*st = o->st;
	pthread_mutex_unlock(&m->lock);
	return err;
}

static int damages(struct memstore *m)
{
	int yes;

	pthread_mutex_lock(&m->lock);
	yes = m->damaging > 0;
	m->damaging -= (unsigned)yes;
	pthread_mutex_unlock(&m->lock);
	return yes;
}

static int mem_put(struct store *s, const char *key,
		   const struct store_source *src,
		   const struct store_head *head, const struct store_call *call,
		   struct store_stat *out)
{
	struct memstore *m = memstore_of(s);
	struct store_stat st;
	struct object *o;
	int err, damaged;

	call = call ? call : &no_call;
	err = begin(m, MEMSTORE_PUT, key, call);
	if (err)
		return err;
	err = object_new(&o, key, src->len);
	if (err)
		return refuse(call, err, key);
	object_describe(o, head);
	err = source_read(src, o->data);
	damaged = !err && src->len && damages(m);
	if (damaged)
		o->data[src->len / 2] ^= 1;
	if (!err)
		err = replace(m, o, call, &st);
	if (err) {
		object_free(o);
		return refuse(call, err, key);
	}
	if (damaged) {
		err = refuse(call, -EIO, key);
		if (call->error)
			memcpy(call->error->etag, st.etag, sizeof(st.etag));
		return err;
	}
	err = finish(m, MEMSTORE_PUT, key, call);
	if (!err && out) {
		int hide;

		pthread_mutex_lock(&m->lock);
		hide = m->hide_etag;
		pthread_mutex_unlock(&m->lock);
		out->len = st.len;
		memcpy(out->etag, hide ? "" : st.etag,
		       hide ? 1 : sizeof(out->etag));
	}
	return err;
}

/* Called with the lock. */
static int copy_object(struct memstore *m, const char *from, const char *to,
		       const struct store_head *head,
		       const struct store_call *call, struct object **out)
{
	const struct object *source = objects_find(&m->objects, from);
	struct object *o;
	int err;

	if (call->if_match && m->caps.copy_if_match &&
	    !etag_matches(source, call->if_match))
		return -ESTALE;
	if (!source)
		return -ENOENT;
	if (call->if_absent && m->caps.copy_if_absent &&
	    objects_find(&m->objects, to))
		return -EEXIST;
	err = object_new(&o, to, source->st.len);
	if (err)
		return err;
	memcpy(o->data, source->data, (size_t)source->st.len);
	o->st = source->st;
	if (head)
		object_describe(o, head);
	err = objects_insert(&m->objects, o);
	if (err)
		object_free(o);
	else
		*out = o;
	return err;
}

static int mem_copy(struct store *s, const char *from, const char *to,
		    const struct store_head *head,
		    const struct store_call *call, struct store_stat *out)
{
	struct memstore *m = memstore_of(s);
	char etag[STORE_ETAG_MAX];
	struct object *o;
	int err;

	call = call ? call : &no_call;
	if (strlen(from) > STORE_KEY_MAX)
		return refuse(call, -ENAMETOOLONG, from);
	err = begin(m, MEMSTORE_COPY, to, call);
	if (err)
		return err;
	pthread_mutex_lock(&m->lock);
	err = copy_object(m, from, to, head, call, &o);
	if (!err)
		memcpy(etag, o->st.etag, sizeof(etag));
	pthread_mutex_unlock(&m->lock);
	if (err)
		return refuse(call, err, from);
	err = finish(m, MEMSTORE_COPY, to, call);
	if (!err && out)
		memcpy(out->etag, etag, sizeof(out->etag));
	return err;
}

static int mem_remove(struct store *s, const char *key,
		      const struct store_call *call)
{
	struct memstore *m = memstore_of(s);
	struct object *gone = NULL;
	int err, found;
	size_t i;

	call = call ? call : &no_call;
	err = begin(m, MEMSTORE_REMOVE, key, call);
	if (err)
		return err;
	pthread_mutex_lock(&m->lock);
	i = objects_position(&m->objects, key, &found);
	if (found && call->if_match && m->caps.remove_if_match &&
	    !etag_matches(m->objects.list[i], call->if_match)) {
		err = -ESTALE;
	} else if (found) {
		gone = objects_take(&m->objects, i);
	}
	pthread_mutex_unlock(&m->lock);
	object_free(gone);
	if (err)
		return refuse(call, err, key);
	return finish(m, MEMSTORE_REMOVE, key, call);
}

/* An entry of a listing, copied out so that it is given unlocked. */
struct entry {
	char key[STORE_KEY_MAX + 1];
	int is_prefix;
	struct store_stat st;
};

/*
 * The first entry behind `last` (which is in `e`, "" for none).  Non-zero if
 * there is one.  Like a server's pages, a listing sees writes between entries.
 */
static int entry_next(struct memstore *m, const struct store_list *what,
		      struct entry *e)
{
	size_t prefix_len = strlen(what->prefix), last_len = strlen(e->key), i;
	const struct object *o = NULL;
	const char *slash;
	int found;

	pthread_mutex_lock(&m->lock);
	i = objects_position(&m->objects, last_len ? e->key : what->prefix,
			     &found);
	for (; i < m->objects.count; i++) {
		o = m->objects.list[i];
		if (!last_len)
			break;
		if (e->is_prefix ? strncmp(o->key, e->key, last_len) != 0
				 : strcmp(o->key, e->key) != 0)
			break;
	}
	found = i < m->objects.count &&
		!strncmp(o->key, what->prefix, prefix_len);
	if (!found)
		goto unlock;
	slash = what->shallow ? strchr(o->key + prefix_len, '/') : NULL;
	e->is_prefix = slash != NULL;
	memset(e->key, 0, sizeof(e->key));
	memcpy(e->key, o->key,
	       slash ? (size_t)(slash + 1 - o->key) : strlen(o->key));
	e->st.len = o->st.len;
	e->st.mtime = o->st.mtime;
	memcpy(e->st.etag, o->st.etag, sizeof(e->st.etag));

unlock:
	pthread_mutex_unlock(&m->lock);
	return found;
}

/* As if the entry `what->after` had been given already. */
static void entry_after(const struct store_list *what, struct entry *e)
{
	size_t prefix_len = strlen(what->prefix);
	const char *slash;

	if (!what->after || strcmp(what->after, what->prefix) <= 0)
		return;
	snprintf(e->key, sizeof(e->key), "%s", what->after);
	if (!what->shallow || strncmp(e->key, what->prefix, prefix_len) != 0)
		return;
	slash = strchr(e->key + prefix_len, '/');
	e->is_prefix = slash && !slash[1];
}

static int mem_list(struct store *s, const struct store_list *what,
		    const struct store_call *call, store_list_fn *fn,
		    void *fn_arg)
{
	struct memstore *m = memstore_of(s);
	struct entry *e;
	unsigned given = 0;
	int err;

	call = call ? call : &no_call;
	err = begin(m, MEMSTORE_LIST, what->prefix, call);
	if (err)
		return err;
	e = calloc(1, sizeof(*e));
	if (!e)
		return refuse(call, -ENOMEM, what->prefix);
	entry_after(what, e);
	while (!err && (!what->max || given < what->max) &&
	       entry_next(m, what, e)) {
		err = fn(fn_arg, e->key, e->is_prefix ? NULL : &e->st,
			 e->is_prefix);
		given++;
	}
	free(e);
	return err ? err : finish(m, MEMSTORE_LIST, what->prefix, call);
}

static int mem_probe(struct store *s, const char *prefix,
		     const struct store_call *call)
{
	(void)s;
	(void)prefix;
	(void)call;
	return 0;
}

static void mem_caps(struct store *s, struct store_caps *out)
{
	struct memstore *m = memstore_of(s);

	pthread_mutex_lock(&m->lock);
	*out = m->caps;
	pthread_mutex_unlock(&m->lock);
}

static void mem_free(struct store *s)
{
	struct memstore *m = memstore_of(s);

	if (!s)
		return;
	objects_clear(&m->objects);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

int memstore_new(struct store **out)
{
	static const struct store_ops ops = {
		.check = mem_check,
		.head = mem_head,
		.get = mem_get,
		.put = mem_put,
		.copy = mem_copy,
		.remove = mem_remove,
		.list = mem_list,
		.probe = mem_probe,
		.caps = mem_caps,
		.free = mem_free,
	};
	struct memstore *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->store.ops = &ops;
	pthread_mutex_init(&m->lock, NULL);
	m->caps = (struct store_caps)STORE_CAPS_ALL;
	*out = &m->store;
	return 0;
}

void memstore_set_caps(struct store *s, const struct store_caps *caps)
{
	struct memstore *m = memstore_of(s);

	pthread_mutex_lock(&m->lock);
	m->caps = *caps;
	pthread_mutex_unlock(&m->lock);
}

void memstore_on_op(struct store *s, memstore_fault_fn *fn, void *arg)
{
	struct memstore *m = memstore_of(s);

	pthread_mutex_lock(&m->lock);
	m->fault = fn;
	m->fault_arg = arg;
	pthread_mutex_unlock(&m->lock);
}

int memstore_flip(struct store *s, const char *key, uint64_t off)
{
	struct memstore *m = memstore_of(s);
	struct object *o;
	int err = -ENOENT;

	pthread_mutex_lock(&m->lock);
	o = objects_find(&m->objects, key);
	if (o && off < o->st.len) {
		o->data[off] ^= 1;
		err = 0;
	}
	pthread_mutex_unlock(&m->lock);
	return err;
}

uint64_t memstore_count(struct store *s, enum memstore_op op)
{
	struct memstore *m = memstore_of(s);
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->calls[op];
	pthread_mutex_unlock(&m->lock);
	return n;
}

int memstore_has(struct store *s, const char *key)
{
	struct memstore *m = memstore_of(s);
	int has;

	pthread_mutex_lock(&m->lock);
	has = objects_find(&m->objects, key) != NULL;
	pthread_mutex_unlock(&m->lock);
	return has;
}

void memstore_damage(struct store *s, unsigned times)
{
	struct memstore *m = memstore_of(s);

	pthread_mutex_lock(&m->lock);
	m->damaging = times;
	pthread_mutex_unlock(&m->lock);
}

void memstore_hide_etag(struct store *s, int hide)
{
	struct memstore *m = memstore_of(s);

	pthread_mutex_lock(&m->lock);
	m->hide_etag = hide;
	pthread_mutex_unlock(&m->lock);
}
