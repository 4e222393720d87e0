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

	if (err != -ETIMEDOUT && err != -EIO && err != -EHOSTUNREACH)
		return;
	(void)pthread_mutex_lock(&r->lock);
	*s = (struct refusal){ .tid = tid,
			       .parent = parent,
			       .name = digest_of(name),
			       .err = err,
			       .until_ms = clock_ms() + AGAIN_MS };
	(void)pthread_mutex_unlock(&r->lock);
}
