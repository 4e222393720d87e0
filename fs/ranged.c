#include "fs/ranged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_MIN ((uint64_t)256 << 10)
#define AHEAD_MAX ((uint64_t)4 << 20)

struct ranged {
	struct ranged_conf conf;
	struct bytes buf; /* of the object, from `start` */
	uint64_t start;
	uint64_t next; /* where a sequential reader goes on */
	uint64_t ahead;
};

int ranged_new(struct ranged **out, const struct ranged_conf *conf)
{
	struct ranged *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->conf = *conf;
	*out = r;
	return 0;
}

void ranged_free(struct ranged *r)
{
	if (!r)
		return;
	bytes_clear(&r->buf);
	free(r);
}

static int take(void *arg, const void *data, size_t len)
{
	return bytes_append(arg, data, len);
}

static int fetch_once(struct ranged *r, const struct store_call *call,
		      uint64_t start, uint64_t end)
{
	struct store_call pinned = *call;
	struct store_stat st;
	int err;

	st.etag_is_md5 = 0;
	pinned.if_match = r->conf.etag[0] ? r->conf.etag : NULL;
	r->buf.len = 0;
	r->start = start;
	err = r->conf.store->ops->get(r->conf.store, r->conf.key, start,
				      end - start, &pinned, take, &r->buf,
				      r->conf.etag_is_md5 ? &st : NULL);
	if (!err && r->conf.etag_is_md5)
		*r->conf.etag_is_md5 = st.etag_is_md5;
	if (!err && r->conf.check)
		err = r->conf.check(r->conf.check_arg, r->buf.data, r->buf.len,
				    start);
	if (err)
		r->buf.len = 0;
	return err;
}

/* Have the byte at `off` in the buffer, and `len` from there if that is not much. */
static int fill(struct ranged *r, const struct store_call *call, uint64_t off,
		size_t len)
{
	uint64_t start, end, want = len < AHEAD_MAX ? len : AHEAD_MAX;
	int err;

	if (off == r->next) {
		r->ahead = r->ahead ? 2 * r->ahead : AHEAD_MIN;
		if (r->ahead > AHEAD_MAX)
			r->ahead = AHEAD_MAX;
	} else {
		r->ahead = 0;
	}
	if (want < r->ahead)
		want = r->ahead;
	start = off - off % r->conf.block;
	end = off + want;
	end += (r->conf.block - end % r->conf.block) % r->conf.block;
	if (end > r->conf.len)
		end = r->conf.len;
	err = fetch_once(r, call, start, end);
	if (err == -EBADMSG)
		err = fetch_once(r, call, start, end);
	return err;
}

int ranged_read(struct ranged *r, const struct store_call *call, void *buf,
		size_t len, uint64_t off)
{
	uint8_t *to = buf;

	if (off > r->conf.len || len > r->conf.len - off)
		return -EIO;
	while (len) {
		size_t n;
		int err;

		if (off < r->start || off - r->start >= r->buf.len) {
			err = fill(r, call, off, len);
			if (err)
				return err;
		}
		n = r->buf.len - (size_t)(off - r->start);
		if (n > len)
			n = len;
		memcpy(to, r->buf.data + (off - r->start), n);
		to += n;
		off += n;
		len -= n;
		r->next = off;
	}
	return 0;
}
