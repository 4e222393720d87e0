#include "fs/patch.h"

#include <errno.h>

#include "cache/pagefile.h"
#include "cache/refs.h"
#include "crypto/digest.h"
#include "delta/bsdiff.h"
#include "s3/store.h"

struct made { /* what comes out, on its way */
	const struct patch *patch;
	struct digest *digest;
	struct pagefile *out; /* or NULL */
	uint64_t len;
};

static int read_patch(void *arg, void *buf, size_t len, uint64_t off)
{
	const struct patch *p = arg;
	ssize_t n = pagefile_pread(p->file, buf, len, off);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EBADMSG;
}

static int read_ref(void *arg, void *buf, size_t len, uint64_t off)
{
	return ref_read(arg, buf, len, off);
}

static int take(void *arg, const void *data, size_t len)
{
	struct made *m = arg;
	const struct store_call *call = m->patch->call;
	int err;

	if (call && call->cancel && call->cancel(call->cancel_arg))
		return -EINTR;
	err = digest_update(m->digest, data, len);
	if (!err && m->out)
		err = pagefile_pwrite(m->out, data, len, m->len);
	m->len += len;
	return err;
}

int patch_apply(const struct patch *p, struct pagefile *out)
{
	struct made m = { .patch = p, .out = out };
	uint8_t data[BSDIFF_HEAD_LEN], digest[DIGEST_LEN];
	struct bsdiff_head head;
	struct patch self = *p;
	struct bsdiff_source src = { .head = &head,
				     .read = read_patch,
				     .read_arg = &self,
				     .ref = { .len = ref_length(p->ref),
					      .read = read_ref,
					      .arg = p->ref } };
	int err;

	if (p->len < sizeof(data))
		return -EBADMSG;
	err = read_patch(&self, data, sizeof(data), 0);
	if (!err)
		err = bsdiff_head_parse(&head, data, p->len);
	if (err)
		return err;
	if (head.target_len != p->size)
		return -EBADMSG;
	m.digest = digest_new();
	if (!m.digest)
		return -ENOMEM;
	err = bsdiff_decode(&src, take, &m);
	if (!err)
		err = digest_final(m.digest, digest);
	if (!err && !bytes_equal(digest, p->digest, DIGEST_LEN))
		err = -EBADMSG;
	digest_free(m.digest);
	return err;
}
