#include "fs/sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC     "DGSUMS1\n"
#define HEAD      24
#define BLOCK_MIN ((size_t)64 << 10)
#define BLOCK_MAX ((size_t)64 << 20)
#define TABLE_AIM ((uint64_t)2 << 20)

struct sums_maker {
	struct digest *digest;
	struct bytes table;
	size_t block, fill;
	uint64_t len, fed;
};

/* Blocks grow so that the table stays small enough to be fetched at an open. */
static size_t block_for(uint64_t len)
{
	size_t block = BLOCK_MIN;

	while (block < BLOCK_MAX && len / block * DIGEST_LEN > TABLE_AIM)
		block *= 2;
	return block;
}

static uint64_t blocks(uint64_t len, size_t block)
{
	return len / block + (len % block != 0);
}

uint64_t sums_table_len(uint64_t len)
{
	return HEAD + blocks(len, block_for(len)) * DIGEST_LEN;
}

int sums_maker_new(struct sums_maker **out, uint64_t len)
{
	struct sums_maker *m = calloc(1, sizeof(*m));
	uint8_t head[HEAD] = { 0 };
	int err = -ENOMEM;

	if (!m)
		return -ENOMEM;
	m->len = len;
	m->block = block_for(len);
	m->digest = digest_new();
	if (!m->digest)
		goto free_maker;
	// NOLINTNEXTLINE(bugprone-not-null-terminated-result)
	memcpy(head, MAGIC, 8);
	le32_put(head + 8, (uint32_t)m->block);
	le64_put(head + 16, blocks(len, m->block));
	err = bytes_append(&m->table, head, sizeof(head));
	if (err)
		goto free_maker;
	*out = m;
	return 0;

free_maker:
	sums_maker_free(m);
	return err;
}

void sums_maker_free(struct sums_maker *m)
{
	if (!m)
		return;
	digest_free(m->digest);
	bytes_clear(&m->table);
	free(m);
}

static int end_block(struct sums_maker *m)
{
	uint8_t digest[DIGEST_LEN];
	int err;

	err = digest_final(m->digest, digest);
	if (!err)
		err = bytes_append(&m->table, digest, sizeof(digest));
	m->fill = 0;
	return err;
}

int sums_maker_feed(struct sums_maker *m, const void *data, size_t len)
{
	const uint8_t *p = data;
	int err = 0;

	m->fed += len;
	while (!err && len) {
		size_t n = m->block - m->fill;

		if (n > len)
			n = len;
		err = digest_update(m->digest, p, n);
		m->fill += n;
		p += n;
		len -= n;
		if (!err && m->fill == m->block)
			err = end_block(m);
	}
	return err;
}

int sums_maker_finish(struct sums_maker *m, struct bytes *out)
{
	int err = 0;

	if (m->fed != m->len)
		return -EINVAL;
	if (m->fill)
		err = end_block(m);
	if (err)
		return err;
	return bytes_append(out, m->table.data, m->table.len);
}

int sums_parse(struct sums *out, struct bytes *table, uint64_t len,
	       const uint8_t digest[DIGEST_LEN])
{
	uint8_t got[DIGEST_LEN];
	uint64_t n;
	size_t block;
	int err;

	err = digest_buffer(table->data, table->len, got);
	if (err)
		return err;
	if (!bytes_equal(got, digest, DIGEST_LEN) || table->len < HEAD ||
	    memcmp(table->data, MAGIC, 8) != 0)
		return -EBADMSG;
	block = le32_get(table->data + 8);
	n = le64_get(table->data + 16);
	if (block < BLOCK_MIN || block > BLOCK_MAX || n != blocks(len, block) ||
	    n > (table->len - HEAD) / DIGEST_LEN ||
	    table->len != HEAD + n * DIGEST_LEN)
		return -EBADMSG;
	*out = (struct sums){ .block = block, .len = len, .table = *table };
	*table = (struct bytes)BYTES_INIT;
	return 0;
}

int sums_check(const struct sums *s, const uint8_t *data, size_t len,
	       uint64_t off)
{
	uint64_t at = off / s->block;

	if (off % s->block || off > s->len || len > s->len - off)
		return -EBADMSG;
	while (len) {
		size_t n = len < s->block ? len : s->block;
		uint8_t digest[DIGEST_LEN];
		int err;

		/* A short block is the last one, or it cannot be checked. */
		if (n < s->block && off + n != s->len)
			return -EBADMSG;
		err = digest_buffer(data, n, digest);
		if (err)
			return err;
		if (!bytes_equal(digest, s->table.data + HEAD + at * DIGEST_LEN,
				 DIGEST_LEN))
			return -EBADMSG;
		data += n;
		off += n;
		len -= n;
		at++;
	}
	return 0;
}

void sums_clear(struct sums *s)
{
	bytes_clear(&s->table);
}
