#include "fs/stats.h"

#include <stdio.h>
#include <string.h>

#include "cache/refs.h"
#include "cache/sealing.h"
#include "fs/inode.h"
#include "fs/localcache.h"
#include "s3/client.h"

/*
 * One table for both: .dg/stats shows groups of names, .dg/metrics the same as
 * deltaglider_GROUP_NAME, after the rules of Prometheus.
 */
enum kind {
	COUNTER, /* only grows */
	GAUGE,
	SECONDS, /* a counter of nanoseconds, shown in seconds */
	FLAG, /* a gauge, 0 or 1 */
	TEXT
};

struct row {
	const char *group, *name;
	enum kind kind;
	const char *help;
	uint64_t v;
	const char *text;
};

enum { ROWS_MAX = 96 };

struct rows {
	struct row row[ROWS_MAX];
	size_t n;
};

static void add(struct rows *r, const struct row *row)
{
	if (r->n < ROWS_MAX)
		r->row[r->n++] = *row;
}

#define ADD(group, name, kind, v, help) \
	add(r, &(struct row){ group, name, kind, help, v, NULL })
#define ADD_TEXT(group, name, text, help) \
	add(r, &(struct row){ group, name, TEXT, help, 1, text })

static void key_rows(struct localcache *c, struct rows *r)
{
	static const char *const sources[] = {
		[KEYSOURCE_EPHEMERAL] = "random",
		[KEYSOURCE_ENVIRONMENT] = "environment",
		[KEYSOURCE_FILE] = "file",
		[KEYSOURCE_COMMAND] = "command",
	};
	enum keysource_from from = localcache_key_from(c);

	ADD_TEXT("cache", "backend",
		 c->kind == CACHE_MEMORY ? "memory" : "filesystem",
		 "Where references are kept");
	ADD_TEXT("cache", "key",
		 from == KEYSOURCE_EPHEMERAL ? "ephemeral" : "persistent",
		 "Kind of the key that seals them");
	ADD_TEXT("cache", "key_source", sources[from],
		 "Where that key is from");
	ADD("cache", "shared", FLAG, c->shared != 0,
	    "Whether other mounts may use the same cache");
}

static void cache_rows(struct localcache *c, struct rows *r)
{
	const struct backend_stats *b;
	struct sealing_spent spent;
	struct refs_stats s;
	uint64_t evictions = 0;

	refs_stats(c->refs, &s);
	sealing_spent(&spent);
	b = &s.backend;
	for (int i = 0; i < EVICT_REASONS; i++)
		evictions += b->evictions[i];
	ADD("cache", "bytes", GAUGE, b->bytes, "Bytes in use");
	ADD("cache", "limit", GAUGE, b->limit, "Most bytes in use");
	ADD("cache", "entries", GAUGE, b->entries, "References kept");
	ADD("cache", "in_use", GAUGE, s.in_use, "References held now");
	ADD("cache", "clear_pending", GAUGE, b->clear_pending,
	    "References to go when they are released");
	ADD("cache", "hits", COUNTER, s.hits, "References found");
	ADD("cache", "misses", COUNTER, s.misses, "References fetched");
	ADD("cache", "fetched_bytes", COUNTER, s.fetched_bytes,
	    "Bytes fetched of references");
	ADD("cache", "unkept", COUNTER, s.unkept,
	    "References that had no room to be kept");
	ADD("cache", "evictions", COUNTER, evictions, "References evicted");
	ADD("cache", "evictions_space", COUNTER, b->evictions[EVICT_SPACE],
	    "Evicted for another reference");
	ADD("cache", "evictions_disk", COUNTER, b->evictions[EVICT_DISK],
	    "Evicted because others need the disk");
	ADD("cache", "evictions_memory", COUNTER, b->evictions[EVICT_MEMORY],
	    "Evicted because memory was short");
	ADD("cache", "corruptions", COUNTER, b->corruptions,
	    "Damaged or alien files dropped");
	ADD("cache", "foreign", COUNTER, b->foreign,
	    "Entries of another key removed");
	ADD("cache", "clears", COUNTER, s.clears, "Times it was cleared");
	ADD("cache", "rotations", COUNTER, s.rotations,
	    "Times its key was rotated");
	ADD("cache", "memory_bytes", GAUGE, s.memory_bytes,
	    "Memory for references that are encoded against");
	ADD("cache", "memory_limit", GAUGE, s.memory_limit,
	    "Most memory for these");
	ADD("cache", "sealing_seconds", SECONDS, spent.seal_ns,
	    "Time spent sealing pages");
	ADD("cache", "opening_seconds", SECONDS, spent.open_ns,
	    "Time spent opening pages");
	ADD("cache", "sealed_bytes", COUNTER, spent.sealed_bytes,
	    "Bytes sealed, of the spool too");
	ADD("cache", "opened_bytes", COUNTER, spent.opened_bytes,
	    "Bytes opened, of the spool too");
}

static void volume_rows(const struct volume_stats *s, struct localcache *c,
			struct rows *r)
{
	ADD("files", "written_plain", COUNTER, s->files_plain,
	    "Files stored as they are");
	ADD("files", "written_delta", COUNTER, s->files_delta,
	    "Files stored as deltas");
	ADD("files", "deltas_refused", COUNTER, s->deltas_refused,
	    "Deltas that would not have paid");
	ADD("files", "references_made", COUNTER, s->promotions,
	    "Files made references");
	ADD("files", "logical_bytes", COUNTER, s->logical_bytes,
	    "Bytes of the files stored");
	ADD("files", "stored_bytes", COUNTER, s->stored_bytes,
	    "Bytes of their objects");
	ADD("files", "inodes", GAUGE, s->inodes, "Inodes known");
	ADD("files", "spool_bytes", GAUGE, s->spool_bytes,
	    "Bytes written and not stored");
	ADD("files", "spool_limit", GAUGE, budget_max(&c->spool),
	    "Most bytes of these");
	ADD("hints", "used", COUNTER, s->hints_used,
	    "Files that hints saved a request for");
	ADD("hints", "written", COUNTER, s->hints_written,
	    "Objects of hints stored");
	ADD("hints", "waiting", GAUGE, s->hints_waiting,
	    "Directories whose hints will be stored");
	ADD("errors", "commit", COUNTER, s->commit_errors,
	    "Errors told by close or fsync");
	ADD("errors", "lost_at_release", COUNTER, s->lost_at_release,
	    "Files not stored when their last handle went");
	ADD("errors", "lost_attributes", COUNTER, s->lost_attributes,
	    "Changes of attributes that could not be stored");
	ADD("errors", "conflicts", COUNTER, s->conflicts,
	    "Files that somebody else had replaced");
	ADD("errors", "verify_failures", COUNTER, s->verify_failures,
	    "Reads that did not match their digest");
}

static void store_rows(struct store *store, struct rows *r)
{
	struct store_counters c = { 0 };
	struct store_caps caps = { 0 };

	store_count(store, &c);
	store->ops->caps(store, &caps);
	ADD("requests", "head", COUNTER, c.head, "HEAD requests");
	ADD("requests", "get", COUNTER, c.get, "GET requests of objects");
	ADD("requests", "put", COUNTER, c.put, "PUT requests of objects");
	ADD("requests", "part", COUNTER, c.part, "Parts uploaded");
	ADD("requests", "copy", COUNTER, c.copy, "Copies on the server");
	ADD("requests", "delete", COUNTER, c.remove, "DELETE requests");
	ADD("requests", "list", COUNTER, c.list, "Listings");
	ADD("requests", "retries", COUNTER, c.retries, "Requests repeated");
	ADD("requests", "errors", COUNTER, c.errors, "Requests that failed");
	ADD("requests", "bytes_in", COUNTER, c.bytes_in, "Bytes received");
	ADD("requests", "bytes_out", COUNTER, c.bytes_out, "Bytes sent");
	ADD("conditions", "put_if_absent", FLAG, (uint64_t)caps.put_if_absent,
	    "Whether the server keeps If-None-Match of PUT");
	ADD("conditions", "put_if_match", FLAG, (uint64_t)caps.put_if_match,
	    "Whether it keeps If-Match of PUT");
	ADD("conditions", "complete_if_absent", FLAG,
	    (uint64_t)caps.complete_if_absent,
	    "If-None-Match when an upload in parts is completed");
	ADD("conditions", "complete_if_match", FLAG,
	    (uint64_t)caps.complete_if_match, "If-Match of the same");
	ADD("conditions", "delete_if_match", FLAG,
	    (uint64_t)caps.remove_if_match, "If-Match of DELETE");
	ADD("conditions", "copy_if_match", FLAG, (uint64_t)caps.copy_if_match,
	    "If-Match of a copy's source");
	ADD("conditions", "copy_if_absent", FLAG, (uint64_t)caps.copy_if_absent,
	    "If-None-Match of a copy's target");
	ADD_TEXT("server", "profile", caps.profile ? caps.profile : "generic",
		 "What is known of the server by its name");
	ADD("server", "list_version", GAUGE, caps.list_version,
	    "Version of ListObjects that it speaks");
	ADD("server", "copies", FLAG, (uint64_t)caps.copies,
	    "Whether it copies objects itself");
	ADD("server", "keeps_metadata", FLAG, (uint64_t)caps.keeps_metadata,
	    "Whether it keeps metadata as they are sent");
	ADD("server", "checks_sha256", FLAG, (uint64_t)caps.checks_sha256,
	    "Whether it compares what arrives with the SHA-256 sent");
	ADD("server", "etag_md5", FLAG, (uint64_t)caps.etag_md5,
	    "Whether the ETag of a PUT is an MD5");
}

static void collect(struct volume *v, struct localcache *c, struct rows *r)
{
	struct volume_stats s;

	volume_stats(v, &s);
	r->n = 0;
	ADD("", "unverified_bytes", COUNTER, s.unverified_bytes,
	    "Bytes read of objects without a digest");
	key_rows(c, r);
	cache_rows(c, r);
	volume_rows(&s, c, r);
	store_rows(v->conf.store, r);
}

static int number(const struct row *row, struct bytes *out)
{
	unsigned long long v = row->v;

	if (row->kind == SECONDS)
		return bytes_printf(out, "%llu.%06llu", v / 1000000000,
				    v % 1000000000 / 1000);
	return bytes_printf(out, "%llu", v);
}

static int json_row(const struct row *row, struct bytes *out)
{
	int err = bytes_printf(
		out, *row->group ? "    \"%s\": " : ",\n  \"%s\": ", row->name);

	if (!err && row->kind == TEXT)
		err = bytes_printf(out, "\"%s\"", row->text);
	else if (!err)
		err = number(row, out);
	return err;
}

int stats_json(struct volume *v, struct localcache *c, struct bytes *out)
{
	const char *group = "";
	struct rows r;
	int err = bytes_printf(out, "{\n  \"version\": \"%s\"", DG_VERSION);

	collect(v, c, &r);
	for (size_t i = 0; i < r.n && !err; i++) {
		const struct row *row = &r.row[i];
		const char *end = *group ? "\n  }" : "";

		if (*group && !strcmp(group, row->group))
			err = bytes_append_str(out, ",\n");
		else if (*row->group)
			err = bytes_printf(out, "%s,\n  \"%s\": {\n", end,
					   row->group);
		if (!err)
			err = json_row(row, out);
		group = row->group;
	}
	return err ? err : bytes_append_str(out, "\n  }\n}\n");
}

static int metric(const struct row *row, struct bytes *out)
{
	int counts = row->kind == COUNTER || row->kind == SECONDS;
	const char *total = counts ? "_total" : "";
	char name[96];
	int err;

	(void)snprintf(name, sizeof(name), "deltaglider_%s%s%s%s%s", row->group,
		       *row->group ? "_" : "", row->name,
		       row->kind == TEXT ? "_info" : "", total);
	err = bytes_printf(out, "# HELP %s %s.\n# TYPE %s %s\n%s", name,
			   row->help, name, counts ? "counter" : "gauge", name);
	if (!err && row->kind == TEXT)
		err = bytes_printf(out, "{%s=\"%s\"}", row->name, row->text);
	if (!err)
		err = bytes_append_str(out, " ");
	if (!err)
		err = number(row, out);
	return err ? err : bytes_append_str(out, "\n");
}

int stats_metrics(struct volume *v, struct localcache *c, struct bytes *out)
{
	struct rows r;
	int err = bytes_printf(out,
			       "# HELP deltaglider_build_info What runs.\n"
			       "# TYPE deltaglider_build_info gauge\n"
			       "deltaglider_build_info{version=\"%s\"} 1\n",
			       DG_VERSION);

	collect(v, c, &r);
	for (size_t i = 0; i < r.n && !err; i++)
		err = metric(&r.row[i], out);
	return err;
}
