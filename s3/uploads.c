/*
 * Uploads in parts, noted in the bucket while they are under way, so that what
 * a killed process has begun is not paid for until somebody looks.  The form of
 * a note is in fs/FORMAT.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "crypto/clock.h"
#include "s3/error.h"
#include "s3/process.h"
#include "s3/upload_private.h"

#define FIRST_LINE "deltaglider uploads 1\n"
#define NOTE_MAX   ((size_t)1 << 20)
#define ALIVE_MS   60000 /* between two notes of the same */
#define NOTE_MS    5000 /* the most that a note may take */

struct noted {
	struct noted *next;
	const struct upload *upload; /* NULL: over, but could not be aborted */
	char *line; /* "upload ID KEY\n", both percent-encoded */
};

struct uploads {
	struct s3 *s;
	char *prefix;
	char name[33];
	pthread_mutex_t mutex; /* all below */
	struct noted *first;
	uint64_t written_ms;
	pthread_cond_t over; /* a note has been written */
	int is_writing; /* one at a time, so that the last counts */
	unsigned waiting; /* for one */
	uint64_t changes, noted; /* so far, and how many the note has */
};

int uploads_new(struct uploads **out, struct s3 *s, const char *prefix)
{
	struct uploads *n;
	uint8_t random[16];

	*out = NULL;
	if (prefix == NULL)
		return 0;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return -ENOMEM;
	n->s = s;
	n->prefix = strdup(prefix);
	if (n->prefix == NULL || aead_random(random, sizeof(random)) != 0)
		goto free_prefix;
	hex_encode(n->name, random, sizeof(random));
	if (pthread_mutex_init(&n->mutex, NULL) != 0)
		goto free_prefix;
	if (clock_cond_init(&n->over) != 0)
		goto destroy_mutex;
	*out = n;
	return 0;

destroy_mutex:
	pthread_mutex_destroy(&n->mutex);
free_prefix:
	free(n->prefix);
	free(n);
	return -ENOMEM;
}

void uploads_free(struct uploads *n)
{
	struct noted *e;

	if (n == NULL)
		return;
	while ((e = n->first) != NULL) {
		n->first = e->next;
		free(e->line);
		free(e);
	}
	pthread_cond_destroy(&n->over);
	pthread_mutex_destroy(&n->mutex);
	free(n->prefix);
	free(n);
}

/* The note as it stands, or nothing at all if nothing is under way. */
static int note_make(struct uploads *n, struct bytes *out)
{
	struct process me;
	const struct noted *e;
	int rc = 0;

	process_self(&me);
	pthread_mutex_lock(&n->mutex);
	if (n->first != NULL) {
		rc = bytes_append_str(out, FIRST_LINE);
		if (rc == 0)
			rc = process_write(out, &me);
	}
	for (e = n->first; e != NULL && rc == 0; e = e->next)
		rc = bytes_append_str(out, e->line);
	n->written_ms = clock_ms();
	pthread_mutex_unlock(&n->mutex);
	return rc;
}

static int note_read(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct bytes *b = arg;

	memcpy(buf, b->data + off, len);
	return 0;
}

static void note_write_once(struct uploads *n)
{
	struct bytes text = BYTES_INIT;
	struct store_source src = { 0, note_read, &text };
	const struct store_head head = { .content_type = "text/plain" };
	char key[STORE_KEY_MAX + 1];
	struct deadline deadline;
	struct store_call call = { .deadline = &deadline };
	int rc;

	if (snprintf(key, sizeof(key), "%s%s", n->prefix, n->name) >=
	    (int)sizeof(key))
		return;
	deadline_init(&deadline, NOTE_MS, NULL);
	rc = note_make(n, &text);
	src.len = text.len;
	if (rc == 0 && text.len == 0)
		(void)s3_remove(&n->s->store, key, &call);
	else if (rc == 0)
		(void)s3_put(&n->s->store, key, &src, &head, &call, NULL);
	bytes_clear(&text);
}

/* Locked, and unlocked meanwhile: until nothing is missing, or others wait. */
static void write_locked(struct uploads *n)
{
	uint64_t changes;

	n->is_writing = 1;
	do {
		changes = n->changes;
		pthread_mutex_unlock(&n->mutex);
		note_write_once(n);
		pthread_mutex_lock(&n->mutex);
		n->noted = changes;
		pthread_cond_broadcast(&n->over);
	} while (n->noted < n->changes && n->waiting == 0);
	n->is_writing = 0;
}

/*
 * Note what has changed.  Best effort: the files are what matters, and whoever
 * has waited long enough for the note of another goes on.
 */
static void note_write(struct uploads *n)
{
	uint64_t start = clock_ms();
	uint64_t mine;

	pthread_mutex_lock(&n->mutex);
	mine = ++n->changes;
	while (n->noted < mine && clock_ms() - start < NOTE_MS) {
		if (!n->is_writing) {
			write_locked(n);
			continue;
		}
		n->waiting++;
		clock_cond_wait(&n->over, &n->mutex, NOTE_MS);
		n->waiting--;
	}
	pthread_mutex_unlock(&n->mutex);
}

static char *line_make(const struct upload *u)
{
	struct bytes b = BYTES_INIT;
	int rc = bytes_append_str(&b, "upload ");

	if (rc == 0)
		rc = sigv4_encode(&b, u->id, strlen(u->id), 0);
	if (rc == 0)
		rc = bytes_append_str(&b, " ");
	if (rc == 0)
		rc = sigv4_encode(&b, u->key, strlen(u->key), 1);
	if (rc == 0)
		rc = bytes_append(&b, "\n", 2);
	if (rc == 0)
		return (char *)b.data;
	bytes_clear(&b);
	return NULL;
}

void uploads_begin(struct uploads *n, const struct upload *u)
{
	struct noted *e;

	if (n == NULL)
		return;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return;
	e->upload = u;
	e->line = line_make(u);
	if (e->line == NULL) {
		free(e);
		return;
	}
	pthread_mutex_lock(&n->mutex);
	e->next = n->first;
	n->first = e;
	pthread_mutex_unlock(&n->mutex);
	note_write(n);
}

void uploads_alive(struct uploads *n)
{
	uint64_t now = clock_ms();
	int due;

	if (n == NULL)
		return;
	pthread_mutex_lock(&n->mutex);
	due = now - n->written_ms > ALIVE_MS;
	if (due)
		n->written_ms = now; /* nobody else does it */
	pthread_mutex_unlock(&n->mutex);
	if (due)
		note_write(n);
}

void uploads_end(struct uploads *n, const struct upload *u, int aborted)
{
	struct noted **at;
	struct noted *e;

	if (n == NULL)
		return;
	pthread_mutex_lock(&n->mutex);
	for (at = &n->first; *at != NULL && (*at)->upload != u;)
		at = &(*at)->next;
	e = *at;
	if (e != NULL && aborted)
		*at = e->next;
	else if (e != NULL)
		e->upload = NULL; /* `u` is gone; it stays noted */
	pthread_mutex_unlock(&n->mutex);
	if (e != NULL && aborted) {
		free(e->line);
		free(e);
		note_write(n);
	}
}

/* A sweep under way. */
struct sweep {
	struct s3 *s;
	const struct store_call *call;
	struct bytes names; /* of notes, each with its NUL */
	unsigned aborted;
};

static int note_name(void *arg, const char *key, const struct store_stat *st,
		     int is_prefix)
{
	struct sweep *w = arg;

	(void)st;
	if (is_prefix)
		return 0;
	return bytes_append(&w->names, key, strlen(key) + 1);
}

static int note_take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int percent_decode(char *out, size_t cap, const char *in, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++, n++) {
		char hex[3];

		if (n + 1 >= cap)
			return -EBADMSG;
		out[n] = in[i];
		if (in[i] != '%')
			continue;
		if (len - i < 3)
			return -EBADMSG;
		memcpy(hex, in + i + 1, 2);
		hex[2] = '\0';
		if (hex_decode(out + n, 1, hex) != 0 || out[n] == '\0')
			return -EBADMSG;
		i += 2;
	}
	out[n] = '\0';
	return n > 0 ? 0 : -EBADMSG;
}

/* "ID KEY" of a line. */
static int line_abort(struct sweep *w, const char *line, size_t len)
{
	const char *blank = memchr(line, ' ', len);
	char key[STORE_KEY_MAX + 1];
	char id[RESULT_UPLOAD_ID_MAX];
	int rc;

	if (blank == NULL ||
	    percent_decode(id, sizeof(id), line, (size_t)(blank - line)) != 0 ||
	    percent_decode(key, sizeof(key), blank + 1,
			   len - (size_t)(blank + 1 - line)) != 0)
		return 0; /* not ours */
	rc = s3_upload_abort(w->s, key, id, w->call);
	w->aborted += rc == 0;
	return rc;
}

/* Is whoever wrote the note no more?  `st` is what the server says of it. */
static int is_orphaned(const char *text, const struct store_stat *st)
{
	struct process owner;

	if (strncmp(text, FIRST_LINE, strlen(FIRST_LINE)) != 0)
		return 0;
	if (process_read(&owner, text + strlen(FIRST_LINE)) == 0 &&
	    process_has_ended(&owner))
		return 1;
	return st->date_s != 0 && st->mtime.tv_sec != 0 &&
	       st->date_s - st->mtime.tv_sec > S3_UPLOADS_SILENT_S;
}

static int note_sweep(struct sweep *w, const char *name)
{
	struct bytes text = BYTES_INIT;
	struct store_call call = *w->call;
	struct store_stat st;
	const char *line;
	int rc;

	rc = s3_head(&w->s->store, name, &call, &st);
	if (rc == 0 && (st.len == 0 || st.len > NOTE_MAX))
		return 0;
	if (rc == 0) {
		call.if_match = st.etag;
		rc = s3_get(&w->s->store, name, 0, st.len, &call, note_take,
			    &text, &st);
	}
	if (rc == 0)
		rc = bytes_append(&text, "", 1);
	if (rc != 0 || !is_orphaned((char *)text.data, &st))
		goto clear_text;
	for (line = (char *)text.data; rc == 0 && *line != '\0';) {
		size_t len = strcspn(line, "\n");

		if (strncmp(line, "upload ", 7) == 0)
			rc = line_abort(w, line + 7, len - 7);
		line += len + (line[len] == '\n');
	}
	call.if_match = NULL;
	if (rc == 0)
		rc = s3_remove(&w->s->store, name, &call);
clear_text:
	bytes_clear(&text);
	/* Somebody else sweeps, or its owner is at work. */
	return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
}

int s3_uploads_sweep(struct store *client, const struct store_call *call,
		     unsigned *aborted)
{
	struct s3 *s = s3_of(client);
	struct sweep w = { .s = s };
	struct store_list what = { 0 };
	const char *name;
	const char *end;
	int rc;

	*aborted = 0;
	if (s->uploads == NULL)
		return 0;
	w.call = call != NULL ? call : &store_call_none;
	what.prefix = s->uploads->prefix;
	rc = s3_list(client, &what, w.call, note_name, &w);
	name = (char *)w.names.data;
	end = name + w.names.len;
	for (; rc == 0 && name < end; name += strlen(name) + 1)
		rc = note_sweep(&w, name);
	*aborted = w.aborted;
	bytes_clear(&w.names);
	return rc;
}
