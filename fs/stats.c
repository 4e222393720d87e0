#include "fs/stats.h"

#include "cache/refs.h"
#include "fs/inode.h"
#include "s3/client.h"

struct number {
	const char *name;
	uint64_t v;
};

static int object(struct bytes *out, const char *name, const struct number *n,
		  size_t len, int last)
{
	int err = bytes_printf(out, "  \"%s\": {\n", name);

	for (size_t i = 0; !err && i < len; i++)
		err = bytes_printf(out, "    \"%s\": %llu%s\n", n[i].name,
				   (unsigned long long)n[i].v,
				   i + 1 < len ? "," : "");
	return err ? err : bytes_append_str(out, last ? "  }\n" : "  },\n");
}

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static int cache_part(const struct refs_stats *s, struct bytes *out)
{
	const struct number n[] = {
		{ "bytes", s->bytes },
		{ "limit", s->limit },
		{ "memory_bytes", s->memory_bytes },
		{ "memory_limit", s->memory_limit },
		{ "entries", s->entries },
		{ "in_use", s->in_use },
		{ "clear_pending", s->clear_pending },
		{ "hits", s->hits },
		{ "misses", s->misses },
		{ "evictions", s->evictions },
		{ "clears", s->clears },
		{ "corruptions", s->corruptions },
		{ "fetched_bytes", s->fetched_bytes },
	};

	return object(out, "cache", n, LEN(n), 0);
}

static int files_part(const struct volume_stats *s, struct bytes *out)
{
	const struct number files[] = {
		{ "written_plain", s->files_plain },
		{ "written_delta", s->files_delta },
		{ "deltas_refused", s->deltas_refused },
		{ "references_made", s->promotions },
		{ "logical_bytes", s->logical_bytes },
		{ "stored_bytes", s->stored_bytes },
		{ "inodes", s->inodes },
		{ "spool_bytes", s->spool_bytes },
	};
	const struct number errors[] = {
		{ "commit", s->commit_errors },
		{ "lost_at_release", s->lost_at_release },
		{ "conflicts", s->conflicts },
		{ "verify_failures", s->verify_failures },
	};
	int err;

	err = object(out, "files", files, LEN(files), 0);
	if (!err)
		err = object(out, "errors", errors, LEN(errors), 0);
	return err ? err
		   : bytes_printf(out, "  \"unverified_bytes\": %llu,\n",
				  (unsigned long long)s->unverified_bytes);
}

static int requests_part(struct store *store, struct bytes *out)
{
	struct store_counters c = { 0 };
	struct store_caps caps = { 0 };

	store_count(store, &c);
	store->ops->caps(store, &caps);

	const struct number requests[] = {
		{ "head", c.head },
		{ "get", c.get },
		{ "put", c.put },
		{ "part", c.part },
		{ "copy", c.copy },
		{ "delete", c.remove },
		{ "list", c.list },
		{ "retries", c.retries },
		{ "errors", c.errors },
		{ "bytes_in", c.bytes_in },
		{ "bytes_out", c.bytes_out },
	};
	const struct number conditions[] = {
		{ "put_if_absent", (uint64_t)caps.put_if_absent },
		{ "put_if_match", (uint64_t)caps.put_if_match },
		{ "complete_if_absent", (uint64_t)caps.complete_if_absent },
		{ "complete_if_match", (uint64_t)caps.complete_if_match },
		{ "delete_if_match", (uint64_t)caps.remove_if_match },
		{ "copy_if_match", (uint64_t)caps.copy_if_match },
		{ "copy_if_absent", (uint64_t)caps.copy_if_absent },
	};
	int err;

	err = object(out, "requests", requests, LEN(requests), 0);
	return err ? err
		   : object(out, "conditions", conditions, LEN(conditions), 1);
}

int stats_json(struct volume *v, struct bytes *out)
{
	struct volume_stats s;
	struct refs_stats r;
	int err;

	volume_stats(v, &s);
	refs_stats(v->conf.refs, &r);
	err = bytes_append_str(out, "{\n");
	if (!err)
		err = bytes_printf(out, "  \"version\": \"%s\",\n", DG_VERSION);
	if (!err)
		err = cache_part(&r, out);
	if (!err)
		err = files_part(&s, out);
	if (!err)
		err = requests_part(v->conf.store, out);
	return err ? err : bytes_append_str(out, "}\n");
}
