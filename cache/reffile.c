#include "cache/reffile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/plainmem.h"
#include "cache/sealing.h"

/*
 * The head, of which the first CLEAR bytes are not encrypted but are
 * authenticated; then the pages, each in a slot of the same size.
 */
#define VERSION   1
#define KEY_AT    16
#define ID_AT     32
#define CLEAR     48
#define FACTS_LEN (DIGEST_LEN + 8)
#define HEAD_LEN  128
#define HEAD_PAGE UINT64_MAX /* the "page" that the head is sealed as */

static const uint8_t magic[8] = { 'd', 'g', 'c', 'a', 'c', 'h', 'e', '\n' };

struct reffile {
	struct medium medium;
	struct sealing sealing;
	uint8_t key_id[CACHEKEY_ID_LEN];
	uint8_t digest[DIGEST_LEN];
	uint64_t len; /* of the reference */
	uint64_t got; /* bytes appended so far */
	uint8_t *page; /* plainmem: the last `got` % page bytes of them */
};

uint64_t reffile_size(uint64_t len)
{
	uint64_t pages = len / SEALING_PAGE, rest = len % SEALING_PAGE;

	return HEAD_LEN + pages * SEALING_SLOT +
	       (rest ? rest + AEAD_OVERHEAD : 0);
}

static uint64_t slot_at(uint64_t page)
{
	return HEAD_LEN + page * SEALING_SLOT;
}

int reffile_new(struct reffile **out, const struct medium *m,
		const struct cachekey *key, const uint8_t digest[DIGEST_LEN],
		uint64_t len)
{
	struct reffile *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	err = sealing_init(&f->sealing, cachekey_master(key),
			   SEALING_REFERENCE);
	if (err) {
		free(f);
		return err;
	}
	f->medium = *m;
	memcpy(f->key_id, cachekey_id(key), CACHEKEY_ID_LEN);
	memcpy(f->digest, digest, DIGEST_LEN);
	f->len = len;
	*out = f;
	return 0;
}

static int page_write(struct reffile *f, uint64_t page, const uint8_t *plain,
		      size_t len)
{
	uint8_t *slot = malloc(SEALING_SLOT);
	int err;

	if (!slot)
		return -ENOMEM;
	err = sealing_seal(&f->sealing, page, plain, len, slot);
	if (!err)
		err = medium_write(&f->medium, slot, len + AEAD_OVERHEAD,
				   slot_at(page));
	free(slot);
	return err;
}

int reffile_append(struct reffile *f, const void *data, size_t len)
{
	const uint8_t *src = data;

	if (len > f->len - f->got)
		return -EBADMSG;
	if (!f->page)
		f->page = plainmem_map(SEALING_PAGE);
	if (!f->page)
		return -ENOMEM;
	while (len) {
		size_t at = (size_t)(f->got % SEALING_PAGE);
		size_t n = SEALING_PAGE - at;
		const uint8_t *whole = src;
		int err = 0;

		if (n > len)
			n = len;
		if (n < SEALING_PAGE) {
			memcpy(f->page + at, src, n);
			whole = f->page;
		}
		if (at + n == SEALING_PAGE)
			err = page_write(f, f->got / SEALING_PAGE, whole,
					 SEALING_PAGE);
		if (err)
			return err;
		f->got += n;
		src += n;
		len -= n;
	}
	return 0;
}

static void clear_make(const struct reffile *f, uint8_t head[HEAD_LEN])
{
	memset(head, 0, HEAD_LEN);
	memcpy(head, magic, sizeof(magic));
	le32_put(head + 8, VERSION);
	memcpy(head + KEY_AT, f->key_id, CACHEKEY_ID_LEN);
	memcpy(head + ID_AT, f->sealing.id, SEALING_ID_LEN);
}

static int head_write(struct reffile *f)
{
	uint8_t head[HEAD_LEN], facts[FACTS_LEN];
	int err;

	clear_make(f, head);
	memcpy(facts, f->digest, DIGEST_LEN);
	le64_put(facts + DIGEST_LEN, f->len);
	err = sealing_seal(&f->sealing, HEAD_PAGE, facts, FACTS_LEN,
			   head + CLEAR);
	return err ? err : medium_write(&f->medium, head, HEAD_LEN, 0);
}

int reffile_finish(struct reffile *f)
{
	size_t rest = (size_t)(f->len % SEALING_PAGE);
	int err = 0;

	if (f->got != f->len)
		return -EBADMSG;
	if (rest)
		err = page_write(f, f->len / SEALING_PAGE, f->page, rest);
	if (!err)
		err = head_write(f);
	if (err)
		return err;
	plainmem_unmap(f->page, SEALING_PAGE,
		       f->got < SEALING_PAGE ? (size_t)f->got : SEALING_PAGE);
	f->page = NULL;
	return 0;
}

static int head_read(struct reffile *f, const struct cachekey *key)
{
	uint8_t head[HEAD_LEN], same[HEAD_LEN], facts[FACTS_LEN];
	int err = medium_read(&f->medium, head, HEAD_LEN, 0);

	if (err)
		return err;
	if (memcmp(head, magic, sizeof(magic)) != 0 ||
	    le32_get(head + 8) != VERSION)
		return -EBADMSG;
	memcpy(f->key_id, head + KEY_AT, CACHEKEY_ID_LEN);
	if (!reffile_is_under(f, key))
		return -EKEYREJECTED;
	err = sealing_derive(&f->sealing, cachekey_master(key),
			     SEALING_REFERENCE, head + ID_AT);
	if (err)
		return err;
	clear_make(f, same);
	err = sealing_open(&f->sealing, HEAD_PAGE, head + CLEAR, FACTS_LEN,
			   facts);
	/* All that is not under the seal has one right value. */
	if (!err && (memcmp(head, same, CLEAR) != 0 ||
		     memcmp(head + CLEAR + FACTS_LEN + AEAD_OVERHEAD,
			    same + CLEAR + FACTS_LEN + AEAD_OVERHEAD,
			    HEAD_LEN - CLEAR - FACTS_LEN - AEAD_OVERHEAD) != 0))
		err = -EBADMSG;
	if (err) {
		sealing_clear(&f->sealing);
		return err;
	}
	memcpy(f->digest, facts, DIGEST_LEN);
	f->len = f->got = le64_get(facts + DIGEST_LEN);
	return 0;
}

int reffile_open(struct reffile **out, const struct medium *m,
		 const struct cachekey *key)
{
	struct reffile *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->medium = *m;
	err = head_read(f, key);
	if (err)
		free(f);
	else
		*out = f;
	return err;
}

const uint8_t *reffile_digest(const struct reffile *f)
{
	return f->digest;
}

uint64_t reffile_length(const struct reffile *f)
{
	return f->len;
}

int reffile_fd(const struct reffile *f)
{
	return f->medium.fd;
}

int reffile_is_under(const struct reffile *f, const struct cachekey *key)
{
	return !memcmp(f->key_id, cachekey_id(key), CACHEKEY_ID_LEN);
}

/* Scratch of one read: readers share nothing that changes. */
struct scratch {
	uint8_t *slot; /* SEALING_SLOT bytes */
	uint8_t *plain; /* SEALING_PAGE bytes, from the first use on */
};

/* `n` bytes at `at` of one page. */
static int page_read(struct reffile *f, uint64_t off, uint8_t *dst, size_t n,
		     struct scratch *s)
{
	uint64_t page = off / SEALING_PAGE, left = f->got - page * SEALING_PAGE;
	size_t have = left < SEALING_PAGE ? (size_t)left : SEALING_PAGE;
	size_t at = (size_t)(off % SEALING_PAGE);
	int err;

	err = medium_read(&f->medium, s->slot, have + AEAD_OVERHEAD,
			  slot_at(page));
	if (err)
		return err;
	if (!at && n == have)
		return sealing_open(&f->sealing, page, s->slot, have, dst);
	if (!s->plain)
		s->plain = malloc(SEALING_PAGE);
	if (!s->plain)
		return -ENOMEM;
	err = sealing_open(&f->sealing, page, s->slot, have, s->plain);
	if (!err)
		memcpy(dst, s->plain + at, n);
	return err;
}

int reffile_read(struct reffile *f, void *buf, size_t len, uint64_t off)
{
	struct scratch s = { NULL, NULL };
	uint8_t *dst = buf;
	int err = 0;

	if (off > f->got || len > f->got - off)
		return -ERANGE;
	if (!len)
		return 0;
	s.slot = malloc(SEALING_SLOT);
	if (!s.slot)
		return -ENOMEM;
	while (len && !err) {
		size_t n = SEALING_PAGE - (size_t)(off % SEALING_PAGE);

		if (n > len)
			n = len;
		err = page_read(f, off, dst, n, &s);
		dst += n;
		off += n;
		len -= n;
	}
	if (s.plain)
		bytes_wipe(s.plain, SEALING_PAGE);
	free(s.plain);
	free(s.slot);
	return err;
}

void reffile_close(struct reffile *f)
{
	if (!f)
		return;
	plainmem_unmap(f->page, SEALING_PAGE,
		       f->got < SEALING_PAGE ? (size_t)f->got : SEALING_PAGE);
	sealing_clear(&f->sealing);
	medium_close(&f->medium);
	free(f);
}
