#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "cache/pagefile.h"
#include "fs/content.h"
#include "fs/inode.h"

#define COPY_STEP ((size_t)1 << 20)
#define COPY_MAX  ((uint64_t)64 << 20) /* a call; between two it can be killed */

/* What is done to a range of a file without its bytes passing the kernel. */

/* With the spool locked: `len` is what the file has. */
static int allocate(struct pagefile *spool, const struct allocation *a,
		    uint64_t len)
{
	uint64_t end = a->off + a->len;
	int keep = a->mode & FALLOC_FL_KEEP_SIZE, err = 0;

	if (a->mode & FALLOC_FL_PUNCH_HOLE)
		return pagefile_zero(spool, a->off, a->len);
	if (a->mode & FALLOC_FL_ZERO_RANGE)
		err = pagefile_zero(spool, a->off, a->len);
	/* Past an end that stays there is nothing to keep it with. */
	if (keep && end > len)
		end = len;
	if (!err && end > a->off)
		err = pagefile_reserve(spool, a->off, end - a->off);
	if (!err && !keep && end > len)
		err = pagefile_truncate(spool, end);
	return err;
}

int handle_allocate(struct handle *h, const struct request *rq,
		    const struct allocation *a)
{
	struct inode *i = handle_inode(h);
	int err;

	if (a->mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE |
			FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (a->off > INT64_MAX || a->len > INT64_MAX - a->off)
		return -EFBIG;
	err = inode_lock_spool(i, rq);
	if (err)
		return err;
	err = allocate(i->spool, a, pagefile_length(i->spool));
	i->dirty = 1;
	inode_touched(i, pagefile_length(i->spool));
	latch_release(&i->data);
	return err;
}

int handle_seek(struct handle *h, uint64_t off, int hole, uint64_t *out)
{
	struct inode *i = handle_inode(h);
	uint64_t size, at;

	latch_read(&i->data);
	inode_lock(i);
	size = i->size;
	inode_unlock(i);
	/* What is stored has no holes that could be told from zeros. */
	at = hole ? size : off;
	if (i->spool && off < size)
		at = pagefile_seek(i->spool, off, hole);
	latch_release(&i->data);
	if (off >= size || (!hole && at >= size))
		return -ENXIO;
	*out = at;
	return 0;
}

ssize_t handle_copy(const struct request *rq, const struct copying *c)
{
	uint64_t len = c->len < COPY_MAX ? c->len : COPY_MAX, done = 0;
	uint8_t *buf;
	ssize_t n;

	if (!c->from_off && !c->to_off) {
		n = inode_clone(handle_inode(c->from), handle_inode(c->to),
				c->len);
		if (n)
			return n;
	}
	buf = malloc(COPY_STEP);
	n = buf ? 1 : -ENOMEM;
	while (n > 0 && done < len) {
		size_t step = len - done < COPY_STEP ? (size_t)(len - done)
						     : COPY_STEP;

		n = handle_read(c->from, rq, buf, step, c->from_off + done);
		if (n > 0)
			n = handle_write(c->to, rq, buf, (size_t)n,
					 c->to_off + done);
		if (n > 0)
			done += (uint64_t)n;
	}
	if (buf)
		bytes_wipe(buf, COPY_STEP);
	free(buf);
	return n < 0 && !done ? n : (ssize_t)done;
}
