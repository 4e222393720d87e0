#include "tests/support/store_contract.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 6
#define ROUNDS  5

struct contract {
	struct store *s;
	const char *prefix;
	size_t big;
};

static int memory_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct contract_memory *m = arg;

	if (off > m->len || len > m->len - off)
		return -EIO;
	if (len > 0)
		memcpy(buf, m->data + off, len);
	return 0;
}

struct store_source contract_source(struct contract_memory *m)
{
	struct store_source src = { m->len, memory_read, m };

	return src;
}

unsigned char contract_byte(uint64_t off, unsigned seed)
{
	uint64_t x = (off + 1) * 0x9e3779b97f4a7c15u + seed * 0x51ed2701u;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return (unsigned char)(x >> 56);
}

/* A key under the prefix, in one of a few buffers that take turns. */
static const char *key_of(const struct contract *c, const char *name)
{
	static char buffers[4][STORE_KEY_MAX + 64];
	static unsigned turn;
	char *out = buffers[turn++ % 4];

	(void)snprintf(out, sizeof(buffers[0]), "%s%s", c->prefix, name);
	return out;
}

static int put_text(struct contract *c, const char *key, const char *text,
		    const struct store_head *head,
		    const struct store_call *call, struct store_stat *out)
{
	struct contract_memory m = { (const unsigned char *)text,
				     strlen(text) };
	struct store_source src = contract_source(&m);

	return c->s->ops->put(c->s, key, &src, head, call, out);
}

struct sunk {
	unsigned char *data;
	size_t len, cap;
	int fail_at_end;
};

static int sink(void *arg, const void *data, size_t len)
{
	struct sunk *k = arg;

	if (k->fail_at_end)
		return -EXDEV;
	if (len > k->cap - k->len)
		return -EFBIG;
	memcpy(k->data + k->len, data, len);
	k->len += len;
	return 0;
}

static int get_text(struct contract *c, const char *key, uint64_t off,
		    uint64_t len, const struct store_call *call, char *out)
{
	struct sunk k = { (unsigned char *)out, 0, 255, 0 };
	int rc = c->s->ops->get(c->s, key, off, len, call, sink, &k, NULL);

	out[k.len] = '\0';
	if (rc == 0)
		assert_int_equal(k.len, len);
	return rc;
}

static void assert_content(struct contract *c, const char *key,
			   const char *text)
{
	char got[256];

	assert_int_equal(get_text(c, key, 0, strlen(text), NULL, got), 0);
	assert_string_equal(got, text);
}

static void drop(struct contract *c, const char *key)
{
	struct store_stat st;

	assert_int_equal(c->s->ops->remove(c->s, key, NULL), 0);
	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), -ENOENT);
}

static void roundtrip(void **state)
{
	struct contract *c = *state;
	const char *key = key_of(c, "dir/file name.txt");
	struct meta meta = { 0 };
	struct store_head head = { "text/x-test", "deltaglider", &meta };
	struct store_stat put = { 0 };
	struct store_stat st;
	char value[64];

	assert_int_equal(meta_set(&meta, "dg-tool", "a b=c; d"), 0);
	assert_int_equal(meta_set(&meta, "mtime", "1700000000.123456789"), 0);
	assert_int_equal(put_text(c, key, "hello", &head, NULL, &put), 0);
	assert_int_equal(put.len, 5);
	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), 0);
	assert_int_equal(st.len, 5);
	assert_string_equal(st.etag, put.etag);
	assert_true(st.etag[0] != '\0' && strchr(st.etag, '"') == NULL);
	assert_string_equal(st.content_type, "text/x-test");
	assert_string_equal(st.content_encoding, "deltaglider");
	assert_int_equal(meta_get(&st.meta, "dg-tool", value, sizeof(value)),
			 0);
	assert_string_equal(value, "a b=c; d");
	assert_int_equal(meta_get(&st.meta, "mtime", value, sizeof(value)), 0);
	assert_string_equal(value, "1700000000.123456789");
	assert_true(llabs((long long)(st.mtime.tv_sec - time(NULL))) < 120);
	assert_content(c, key, "hello");

	/* Replaced as a whole: nothing of the old one stays. */
	assert_int_equal(put_text(c, key, "other!", NULL, NULL, &put), 0);
	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), 0);
	assert_int_equal(st.len, 6);
	assert_int_equal(st.meta.len, 0);
	assert_string_equal(st.content_type, "application/octet-stream");
	assert_string_equal(st.content_encoding, "");
	assert_content(c, key, "other!");
	drop(c, key);
	assert_int_equal(c->s->ops->remove(c->s, key, NULL), 0);
}

static void ranges(void **state)
{
	struct contract *c = *state;
	const char *key = key_of(c, "ranges");
	struct store_error error = { 0 };
	struct store_call call = { .error = &error };
	struct store_stat st;
	char got[256];

	assert_int_equal(put_text(c, key, "0123456789", NULL, NULL, NULL), 0);
	assert_int_equal(get_text(c, key, 3, 4, NULL, got), 0);
	assert_string_equal(got, "3456");
	assert_int_equal(get_text(c, key, 9, 1, NULL, got), 0);
	assert_string_equal(got, "9");
	assert_int_equal(get_text(c, key, 0, 0, NULL, got), 0);
	assert_int_equal(get_text(c, key, 5, 6, &call, got), -EIO);
	assert_true(error.text[0] != '\0');
	assert_int_equal(get_text(c, key, 10, 1, NULL, got), -EIO);
	assert_int_equal(get_text(c, key, UINT64_MAX, 2, NULL, got), -EIO);

	assert_int_equal(put_text(c, key, "", NULL, NULL, NULL), 0);
	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), 0);
	assert_int_equal(st.len, 0);
	assert_int_equal(get_text(c, key, 0, 0, NULL, got), 0);
	assert_int_equal(get_text(c, key, 0, 1, NULL, got), -EIO);
	drop(c, key);
}

static void missing(void **state)
{
	struct contract *c = *state;
	const char *key = key_of(c, "not/there");
	struct store_error error = { 0 };
	struct store_call call = { .if_match = "0123456789abcdef",
				   .error = &error };
	struct store_stat st;
	char got[256];

	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), -ENOENT);
	assert_int_equal(get_text(c, key, 0, 1, NULL, got), -ENOENT);
	assert_int_equal(
		c->s->ops->copy(c->s, key, key_of(c, "copy"), NULL, NULL, NULL),
		-ENOENT);
	assert_int_equal(c->s->ops->remove(c->s, key, NULL), 0);
	assert_int_equal(c->s->ops->head(c->s, key, &call, &st), -ESTALE);
	assert_int_equal(get_text(c, key, 0, 1, &call, got), -ESTALE);
	assert_true(error.text[0] != '\0');
	assert_int_equal(put_text(c, key, "x", NULL, &call, NULL), -ESTALE);
	assert_int_equal(c->s->ops->copy(c->s, key, key_of(c, "copy"), NULL,
					 &call, NULL),
			 -ESTALE);
	assert_int_equal(c->s->ops->remove(c->s, key, &call), 0);
	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), -ENOENT);
}

static void conditions(void **state)
{
	struct contract *c = *state;
	const char *key = key_of(c, "conditions");
	struct store_call absent = { .if_absent = 1 };
	struct store_call match = { 0 };
	struct store_stat one = { 0 };
	struct store_stat two = { 0 };
	char got[256];

	assert_int_equal(put_text(c, key, "one", NULL, &absent, &one), 0);
	assert_int_equal(put_text(c, key, "no", NULL, &absent, NULL), -EEXIST);
	assert_content(c, key, "one");
	match.if_match = one.etag;
	assert_int_equal(put_text(c, key, "two", NULL, &match, &two), 0);
	assert_int_equal(put_text(c, key, "no", NULL, &match, NULL), -ESTALE);
	assert_int_equal(get_text(c, key, 0, 3, &match, got), -ESTALE);
	assert_int_equal(c->s->ops->head(c->s, key, &match, &one), -ESTALE);
	assert_int_equal(c->s->ops->remove(c->s, key, &match), -ESTALE);
	assert_content(c, key, "two");
	match.if_match = two.etag;
	assert_int_equal(get_text(c, key, 0, 3, &match, got), 0);
	assert_int_equal(c->s->ops->remove(c->s, key, &match), 0);
	drop(c, key);
}

static void copies(void **state)
{
	struct contract *c = *state;
	const char *from = key_of(c, "from +%?#&=");
	const char *to = key_of(c, "to/to");
	struct meta meta = { 0 };
	struct meta other = { 0 };
	struct store_head head = { "text/plain", NULL, &meta };
	struct store_head new_head = { "text/html", "x-y", &other };
	struct store_call call = { 0 };
	struct store_stat was = { 0 };
	struct store_stat out = { 0 };
	struct store_stat st;
	char value[64];

	assert_int_equal(meta_set(&meta, "mode", "33188"), 0);
	assert_int_equal(meta_set(&other, "uid", "7"), 0);
	assert_int_equal(put_text(c, from, "copied", &head, NULL, &was), 0);
	assert_int_equal(c->s->ops->copy(c->s, from, to, NULL, NULL, &out), 0);
	assert_int_equal(c->s->ops->head(c->s, to, NULL, &st), 0);
	assert_string_equal(st.etag, out.etag);
	assert_string_equal(st.content_type, "text/plain");
	assert_int_equal(meta_get(&st.meta, "mode", value, sizeof(value)), 0);
	assert_content(c, to, "copied");

	/* Onto itself, with another description. */
	call.if_match = was.etag;
	assert_int_equal(
		c->s->ops->copy(c->s, from, from, &new_head, &call, &out), 0);
	assert_int_equal(c->s->ops->head(c->s, from, NULL, &st), 0);
	assert_string_equal(st.content_type, "text/html");
	assert_string_equal(st.content_encoding, "x-y");
	assert_int_equal(meta_get(&st.meta, "uid", value, sizeof(value)), 0);
	assert_int_equal(meta_get(&st.meta, "mode", value, sizeof(value)),
			 -ENOENT);
	assert_content(c, from, "copied");

	call.if_match = "0123456789abcdef0123456789abcdef";
	assert_int_equal(c->s->ops->copy(c->s, from, to, NULL, &call, NULL),
			 -ESTALE);
	call = (struct store_call){ .if_absent = 1 };
	assert_int_equal(c->s->ops->copy(c->s, from, to, NULL, &call, NULL),
			 -EEXIST);
	drop(c, to);
	assert_int_equal(c->s->ops->copy(c->s, from, to, NULL, &call, NULL), 0);
	drop(c, to);
	drop(c, from);
}

struct listed {
	char *text; /* "key\n" for each, a prefix with '*' before it */
	size_t len, cap;
	size_t strip; /* bytes of the prefix */
	unsigned stop_after;
	unsigned count;
	struct store_stat last;
};

static int listed_add(void *arg, const char *key, const struct store_stat *st,
		      int is_prefix)
{
	struct listed *l = arg;
	int n;

	assert_int_equal(st == NULL, is_prefix);
	n = snprintf(l->text + l->len, l->cap - l->len, "%s%s\n",
		     is_prefix ? "*" : "", key + l->strip);
	assert_true(n > 0 && (size_t)n < l->cap - l->len);
	l->len += (size_t)n;
	l->count++;
	if (st != NULL)
		l->last = *st;
	return l->stop_after != 0 && l->count == l->stop_after ? 42 : 0;
}

static void assert_listed(struct contract *c, struct store_list what,
			  const char *expected)
{
	char text[8192] = "";
	struct listed l = { .text = text,
			    .cap = sizeof(text),
			    .strip = strlen(c->prefix) };
	char prefix[STORE_KEY_MAX + 1];
	char after[STORE_KEY_MAX + 1];

	(void)snprintf(prefix, sizeof(prefix), "%s%s", c->prefix, what.prefix);
	what.prefix = prefix;
	if (what.after != NULL) {
		(void)snprintf(after, sizeof(after), "%s%s", c->prefix,
			       what.after);
		what.after = after;
	}
	assert_int_equal(c->s->ops->list(c->s, &what, NULL, listed_add, &l), 0);
	assert_string_equal(text, expected);
}

static void lists(void **state)
{
	struct contract *c = *state;
	static const char *const names[] = { "a",  "a.b", "a/1", "a/2/x",
					     "a/", "a0",  "b/b", "c",
					     "Z",  "c!",  "d//", "d//e" };
	char text[8192] = "";
	struct listed l = { .text = text,
			    .cap = sizeof(text),
			    .strip = strlen(c->prefix),
			    .stop_after = 2 };
	struct store_stat st;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(put_text(c, key_of(c, names[i]), names[i],
					  NULL, NULL, NULL),
				 0);
	assert_listed(c, (struct store_list){ .prefix = "" },
		      "Z\na\na.b\na/\na/1\na/2/x\na0\nb/b\nc\nc!\nd//\nd//e\n");
	assert_listed(c, (struct store_list){ .prefix = "", .shallow = 1 },
		      "Z\na\na.b\n*a/\na0\n*b/\nc\nc!\n*d/\n");
	assert_listed(c, (struct store_list){ .prefix = "a/", .shallow = 1 },
		      "a/\na/1\n*a/2/\n");
	assert_listed(c, (struct store_list){ .prefix = "a", .shallow = 1 },
		      "a\na.b\n*a/\na0\n");
	assert_listed(c, (struct store_list){ .prefix = "d/", .shallow = 1 },
		      "*d//\n");
	assert_listed(c, (struct store_list){ .prefix = "a/2" }, "a/2/x\n");
	assert_listed(c, (struct store_list){ .prefix = "nothing" }, "");
	assert_listed(c, (struct store_list){ .prefix = "", .max = 3 },
		      "Z\na\na.b\n");
	assert_listed(
		c, (struct store_list){ .prefix = "", .shallow = 1, .max = 4 },
		"Z\na\na.b\n*a/\n");

	/* The function ends it; an entry says what head() says. */
	assert_int_equal(
		c->s->ops->list(c->s,
				&(struct store_list){ .prefix = c->prefix },
				NULL, listed_add, &l),
		42);
	assert_string_equal(text, "Z\na\n");
	assert_int_equal(c->s->ops->head(c->s, key_of(c, "a"), NULL, &st), 0);
	assert_int_equal(l.last.len, st.len);
	assert_string_equal(l.last.etag, st.etag);
	assert_int_equal(l.last.mtime.tv_sec, st.mtime.tv_sec);
	assert_int_equal(l.last.mtime.tv_nsec, st.mtime.tv_nsec);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		drop(c, key_of(c, names[i]));
	assert_listed(c, (struct store_list){ .prefix = "" }, "");
}

static void lists_after(void **state)
{
	struct contract *c = *state;
	static const char *const names[] = { "k1", "k2/a", "k2/b", "k3" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(
			put_text(c, key_of(c, names[i]), "", NULL, NULL, NULL),
			0);
	assert_listed(c, (struct store_list){ .prefix = "k", .after = "k1" },
		      "k2/a\nk2/b\nk3\n");
	assert_listed(c, (struct store_list){ .prefix = "k", .after = "k2/a" },
		      "k2/b\nk3\n");
	assert_listed(c,
		      (struct store_list){
			      .prefix = "k", .shallow = 1, .after = "k1" },
		      "*k2/\nk3\n");
	assert_listed(c,
		      (struct store_list){
			      .prefix = "k", .shallow = 1, .after = "k2/" },
		      "k3\n");
	assert_listed(c, (struct store_list){ .prefix = "k", .after = "k3" },
		      "");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		drop(c, key_of(c, names[i]));
}

static void odd_key(struct contract *c, const char *name)
{
	char key[STORE_KEY_MAX + 1];
	char text[8192] = "";
	struct listed l = { .text = text,
			    .cap = sizeof(text),
			    .strip = strlen(c->prefix) };
	struct store_list what = { .prefix = key };
	struct store_stat st;

	(void)snprintf(key, sizeof(key), "%s%s", c->prefix, name);
	assert_int_equal(put_text(c, key, name, NULL, NULL, NULL), 0);
	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), 0);
	assert_int_equal(st.len, strlen(name));
	if (strlen(name) < 256)
		assert_content(c, key, name);
	assert_int_equal(c->s->ops->list(c->s, &what, NULL, listed_add, &l), 0);
	assert_int_equal(l.count, 1);
	assert_int_equal(l.len, strlen(name) + 1);
	assert_memory_equal(text, name, strlen(name));
	drop(c, key);
}

static void odd_keys(void **state)
{
	struct contract *c = *state;
	static const char *const names[] = {
		"with space",    " edges ",
		"100%",          "%41",
		"%2F",           "a+b",
		"why?",          "#hash",
		"semi;colon",    "a&b=c",
		"quote'\"`",     "\xc3\xa9\xe2\x82\xac",
		"e\xcc\x81",     "\xf0\x9f\x98\x80",
		"tab\there",     "slash/",
		"double//slash", "/leading",
		"dots/./x",      "dots/../x",
		".hidden",       "..",
		".tmp/x",        "x.object",
		"x.object/y",    "<a>&amp;</a>",
		"back\\slash",   "*:|",
		"~tilde!(),@$",
	};
	char longest[STORE_KEY_MAX + 2];
	size_t room = STORE_KEY_MAX - strlen(c->prefix);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		odd_key(c, names[i]);
	/* One component as long as it gets, of plain and of other bytes. */
	memset(longest, 'x', room);
	longest[room] = '\0';
	odd_key(c, longest);
	for (i = 0; i + 1 < room; i += 2)
		memcpy(longest + i, "\xc3\xa9", 2);
	longest[i] = '\0';
	odd_key(c, longest);
	memset(longest, 'y', STORE_KEY_MAX + 1);
	longest[STORE_KEY_MAX + 1] = '\0';
	assert_int_equal(put_text(c, key_of(c, longest), "", NULL, NULL, NULL),
			 -ENAMETOOLONG);
}

static int failing_read(void *arg, void *buf, size_t len, uint64_t off)
{
	(void)arg;
	if (off > 0)
		return -ENODATA;
	memset(buf, 'x', len);
	return 0;
}

static int always(void *arg)
{
	(void)arg;
	return 1;
}

/* What fails half-way leaves the object as it was. */
static void failures(void **state)
{
	struct contract *c = *state;
	const char *key = key_of(c, "failures");
	struct store_source src = { 3 << 20, failing_read, NULL };
	struct store_call call = { .cancel = always };
	struct sunk k = { NULL, 0, 0, 1 };
	struct store_stat st;
	char got[256];

	assert_int_equal(put_text(c, key, "as it was", NULL, NULL, NULL), 0);
	assert_int_equal(c->s->ops->put(c->s, key, &src, NULL, NULL, NULL),
			 -ENODATA);
	assert_content(c, key, "as it was");
	assert_int_equal(c->s->ops->get(c->s, key, 0, 9, NULL, sink, &k, &st),
			 -EXDEV);
	assert_int_equal(put_text(c, key, "no", NULL, &call, NULL), -EINTR);
	assert_int_equal(get_text(c, key, 0, 2, &call, got), -EINTR);
	assert_content(c, key, "as it was");
	drop(c, key);
}

struct pattern {
	uint64_t at;
	unsigned seed;
};

static int pattern_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct pattern *p = arg;
	unsigned char *out = buf;
	size_t i;

	for (i = 0; i < len; i++)
		out[i] = contract_byte(off + i, p->seed);
	return 0;
}

static int pattern_check(void *arg, const void *data, size_t len)
{
	struct pattern *p = arg;
	const unsigned char *in = data;
	size_t i;

	for (i = 0; i < len; i++)
		if (in[i] != contract_byte(p->at + i, p->seed))
			return -EBADMSG;
	p->at += len;
	return 0;
}

static void big_object(void **state)
{
	struct contract *c = *state;
	const char *key = key_of(c, "big");
	struct pattern p = { 0, 7 };
	struct store_source src = { c->big, pattern_read, &p };
	struct meta meta = { 0 };
	struct store_head head = { "a/b", NULL, &meta };
	struct store_stat out = { 0 };
	struct store_stat st;
	char value[16];

	assert_int_equal(meta_set(&meta, "mode", "33188"), 0);
	assert_int_equal(c->s->ops->put(c->s, key, &src, &head, NULL, &out), 0);
	assert_int_equal(c->s->ops->head(c->s, key, NULL, &st), 0);
	assert_int_equal(st.len, c->big);
	assert_string_equal(st.etag, out.etag);
	assert_string_equal(st.content_type, "a/b");
	assert_int_equal(meta_get(&st.meta, "mode", value, sizeof(value)), 0);
	assert_int_equal(c->s->ops->get(c->s, key, 0, c->big, NULL,
					pattern_check, &p, &st),
			 0);
	assert_int_equal(p.at, c->big);
	p.at = c->big / 2 + 1;
	assert_int_equal(c->s->ops->get(c->s, key, p.at, c->big / 3, NULL,
					pattern_check, &p, NULL),
			 0);
	drop(c, key);
}

struct racer {
	struct contract *c;
	const char *key;
	int won, errors;
};

static void *race_to_create(void *arg)
{
	struct racer *r = arg;
	struct store_call call = { .if_absent = 1 };
	int rc = put_text(r->c, r->key, "mine", NULL, &call, NULL);

	r->won = rc == 0;
	/* Servers may also ask a loser to come again: that is no win. */
	r->errors = rc != 0 && rc != -EEXIST && rc != -EAGAIN;
	return NULL;
}

/* Add one to the number that the object holds, as often as it takes. */
static void *race_to_count(void *arg)
{
	struct racer *r = arg;
	struct store *s = r->c->s;
	char text[256];
	struct store_stat st;
	struct store_call call = { 0 };

	while (r->won < ROUNDS && r->errors == 0) {
		int rc = s->ops->head(s, r->key, NULL, &st);

		call.if_match = st.etag;
		if (rc == 0)
			rc = get_text(r->c, r->key, 0, st.len, &call, text);
		if (rc == 0) {
			(void)snprintf(text, sizeof(text), "%ld",
				       strtol(text, NULL, 10) + 1);
			rc = put_text(r->c, r->key, text, NULL, &call, NULL);
		}
		if (rc == 0)
			r->won++;
		else if (rc != -ESTALE && rc != -EAGAIN)
			r->errors = 1;
	}
	return NULL;
}

static int race(struct contract *c, const char *key, void *(*fn)(void *))
{
	struct racer racers[THREADS];
	pthread_t threads[THREADS];
	int won = 0;
	int i;

	for (i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){ c, key, 0, 0 };
		assert_int_equal(
			pthread_create(&threads[i], NULL, fn, &racers[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(racers[i].errors, 0);
		won += racers[i].won;
	}
	return won;
}

static void races(void **state)
{
	struct contract *c = *state;
	const char *key = key_of(c, "race");
	struct store_caps caps;
	char text[16];

	c->s->ops->caps(c->s, &caps);
	if (caps.put_if_absent)
		assert_int_equal(race(c, key, race_to_create), 1);
	if (caps.put_if_match) {
		assert_int_equal(put_text(c, key, "0", NULL, NULL, NULL), 0);
		assert_int_equal(race(c, key, race_to_count), THREADS * ROUNDS);
		(void)snprintf(text, sizeof(text), "%d", THREADS * ROUNDS);
		assert_content(c, key, text);
	}
	drop(c, key);
}

int store_contract_run(const char *name, struct store *s, const char *prefix,
		       size_t big)
{
	struct contract c = { s, prefix, big };
	struct CMUnitTest tests[] = {
		cmocka_unit_test(roundtrip),   cmocka_unit_test(ranges),
		cmocka_unit_test(missing),     cmocka_unit_test(conditions),
		cmocka_unit_test(copies),      cmocka_unit_test(lists),
		cmocka_unit_test(lists_after), cmocka_unit_test(odd_keys),
		cmocka_unit_test(failures),    cmocka_unit_test(big_object),
		cmocka_unit_test(races),
	};
	size_t i;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = &c;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
