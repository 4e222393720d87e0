#include "fs/refusal.h"

#include <errno.h>
#include <string.h>

#include "crypto/clock.h"

#define AGAIN_MS 1000 /* in which the kernel comes back, on a busy machine */

void refusals_init(struct refusals *r)
{
	memset(r, 0, sizeof(*r));
	(void)pthread_mutex_init(&r->lock, NULL);
}

void refusals_clear(struct refusals *r)
{
	(void)pthread_mutex_destroy(&r->lock);
}

/* FNV-1a, 64 bits: Fowler, Noll, Vo. */
static uint64_t digest_of(const char *name)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3;
	return h;
}

static struct refusal *slot_of(struct refusals *r, pid_t tid)
{
	return &r->slot[(unsigned)tid % REFUSALS];
}

static int is_unanswered(int err)
{
	return err == -ETIMEDOUT || err == -EIO || err == -EHOSTUNREACH;
}

int refusal_take(struct refusals *r, pid_t tid, uint64_t parent,
		 const char *name)
{
	struct refusal *s = slot_of(r, tid);
	int err = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (s->tid == tid) {
		if (s->parent == parent && s->name == digest_of(name) &&
		    clock_ms() < s->until_ms)
			err = s->err;
		s->tid = 0;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return err;
}

void refusal_note(struct refusals *r, pid_t tid, uint64_t parent,
		  const char *name, int err)
{
	struct refusal *s = slot_of(r, tid);

	if (!is_unanswered(err))
		return;
	(void)pthread_mutex_lock(&r->lock);
	*s = (struct refusal){ .tid = tid,
			       .parent = parent,
			       .name = digest_of(name),
			       .err = err,
			       .until_ms = clock_ms() + AGAIN_MS };
	(void)pthread_mutex_unlock(&r->lock);
}

static int is_read(const struct refusal *s, pid_t tid, uint64_t ino)
{
	return s->tid == tid && s->parent == ino && !s->name &&
	       clock_ms() < s->until_ms;
}

int refusal_take_read(struct refusals *r, pid_t tid, uint64_t ino, uint64_t off)
{
	struct refusal *s = slot_of(r, tid);
	int err = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (is_read(s, tid, ino) && off >= s->off && off < s->end) {
		err = s->err;
		s->tid = 0;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return err;
}

void refusal_note_read(struct refusals *r, pid_t tid, uint64_t ino,
		       uint64_t off, uint64_t len, int err)
{
	struct refusal *s = slot_of(r, tid);
	struct refusal now = { .tid = tid,
			       .parent = ino,
			       .off = off,
			       .end = off + len,
			       .err = err };

	if (!is_unanswered(err))
		return;
	(void)pthread_mutex_lock(&r->lock);
	/* It reads ahead in several pieces, side by side. */
	if (is_read(s, tid, ino) && s->off < now.off)
		now.off = s->off;
	if (is_read(s, tid, ino) && s->end > now.end)
		now.end = s->end;
	now.until_ms = clock_ms() + AGAIN_MS;
	*s = now;
	(void)pthread_mutex_unlock(&r->lock);
}
