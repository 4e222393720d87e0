#include "s3/known_stores.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* From the form of their endpoints; none of them was tried. */
static const struct known_store stores[] = {
	{ "google", "storage.googleapis.com", "auto", NULL, 0 },
	{ "cloudflare", ".r2.cloudflarestorage.com", "auto", NULL, 0 },
	{ "digitalocean", ".digitaloceanspaces.com", "us-east-1", NULL, 0 },
	{ "backblaze", ".backblazeb2.com", "*", NULL, 0 },
	{ "wasabi", "s3.wasabisys.com", "us-east-1", NULL, 0 },
	{ "wasabi", ".wasabisys.com", "*", NULL, 0 },
	{ "scaleway", ".scw.cloud", "*", NULL, 0 },
	{ "ovh", ".io.cloud.ovh.net", "*", NULL, 0 },
	{ "hetzner", ".your-objectstorage.com", "*", NULL, 0 },
	{ "linode", ".linodeobjects.com", "*", NULL, 0 },
	{ "exoscale", ".exo.io", "*", "sos-", 0 },
	{ "alibaba", ".aliyuncs.com", "*", NULL, 1 },
	{ "tencent", ".myqcloud.com", "*", NULL, 1 },
};

static size_t name_len(const char *host)
{
	return strcspn(host, ":");
}

static int fits(const struct known_store *k, const char *host)
{
	size_t len = name_len(host);
	size_t suffix = strlen(k->suffix);

	if (k->suffix[0] != '.')
		return len == suffix && strncasecmp(host, k->suffix, len) == 0;
	return len > suffix &&
	       strncasecmp(host + len - suffix, k->suffix, suffix) == 0;
}

const struct known_store *known_store_find(const char *host)
{
	size_t i;

	for (i = 0; i < sizeof(stores) / sizeof(stores[0]); i++)
		if (fits(&stores[i], host))
			return &stores[i];
	return NULL;
}

void known_store_region(const struct known_store *k, const char *host,
			const char *fallback, char *out, size_t cap)
{
	const char *start = host;
	const char *end;
	const char *p;
	size_t before;

	if (k->region == NULL || strcmp(k->region, "*") != 0) {
		(void)snprintf(out, cap, "%s",
			       k->region != NULL ? k->region : fallback);
		return;
	}
	end = host + name_len(host) - strlen(k->suffix);
	for (p = host; p < end; p++)
		if (*p == '.')
			start = p + 1;
	before = k->before != NULL ? strlen(k->before) : 0;
	if (before > 0 && (size_t)(end - start) > before &&
	    strncmp(start, k->before, before) == 0)
		start += before;
	if (start < end)
		(void)snprintf(out, cap, "%.*s", (int)(end - start), start);
	else
		(void)snprintf(out, cap, "%s", fallback);
}
