#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/backend.h"
#include "fs/config.h"
#include "fs/daemon.h"
#include "fs/keytext.h"
#include "fs/localcache.h"
#include "fs/mount.h"
#include "fs/options.h"
#include "fs/settings.h"
#include "fs/spec.h"

/* Large buffers come and go: what they leave must not become the heap's. */
#define LARGE (1 << 20)
/* Each has free memory of its own. */
#define ARENAS 4

struct arguments {
	const char *spec, *dir;
	int fake;
};

static int usage(FILE *to)
{
	struct bytes b = BYTES_INIT;
	int err = options_help(&b);

	if (!err)
		err = bytes_append(&b, "", 1);
	if (err)
		return 1;
	(void)fprintf(
		to,
		"usage: mount.deltaglider SPEC DIR [-sfnv] [-o OPTION[,OPTION...]]\n"
		"\n"
		"Mounts an S3 bucket as a directory that stores versions as deltas.\n"
		"SPEC is s3://BUCKET[/PREFIX], BUCKET[/PREFIX], or file:///DIRECTORY for a\n"
		"store in a local directory.  Unmount with umount or fusermount3 -u.\n"
		"\n"
		"  -o OPTION,...  as below, and the usual ones of mount(8)\n"
		"  -f             check the command line, mount nothing\n"
		"  -s -n -v       taken, as mount(8) passes them\n"
		"  --generate-key print a new key for a shared cache\n"
		"  --version      print the version\n"
		"  --help         print this\n"
		"\n"
		"Options [default]; environment:\n"
		"%s",
		(const char *)b.data);
	bytes_clear(&b);
	return 0;
}

static int bad(const char *why)
{
	(void)fprintf(stderr, "mount.deltaglider: %s\n", why);
	return 1;
}

/* -o may come anywhere, as mount(8) puts it last. */
static int parse_arguments(int argc, char **argv, struct arguments *a,
			   struct options *o, char why[OPTION_WHY])
{
	const char *places[2] = { NULL, NULL };
	int n = 0, c, err;

	opterr = 0;
	if (argc > 1 && !strcmp(argv[1], "--generate-key")) {
		(void)snprintf(why, OPTION_WHY,
			       "--generate-key takes no other argument");
		return -EINVAL;
	}
	/* One thread only, so far. */
	// NOLINTNEXTLINE(concurrency-mt-unsafe)
	while ((c = getopt(argc, argv, "-sfnvo:t:N:")) != -1) {
		switch (c) {
		case 1:
			if (n < 2)
				places[n] = optarg;
			n++;
			break;
		case 'o':
			err = options_parse(o, optarg, why);
			if (err)
				return err;
			break;
		case 'f':
			a->fake = 1;
			break;
		case 's':
		case 'n':
		case 'v':
		case 't':
		case 'N':
			break;
		default:
			(void)snprintf(
				why, OPTION_WHY,
				"unknown or incomplete argument \"-%c\": see --help",
				optopt);
			return -EINVAL;
		}
	}
	for (; optind < argc; optind++, n++)
		if (n < 2)
			places[n] = argv[optind];
	if (n != 2) {
		(void)snprintf(
			why, OPTION_WHY,
			"give a SPEC and a directory: mount.deltaglider s3://BUCKET DIR; see --help");
		return -EINVAL;
	}
	a->spec = places[0];
	a->dir = places[1];
	return 0;
}

/* The file that config= or the environment names, or the system's. */
static int load_config(struct options *o, const struct spec *spec, char *why)
{
	const char *path = o->config ? o->config : SETTINGS_CONFIG;
	char *copy = strdup(path);
	int err;

	if (!copy)
		return -ENOMEM;
	/* Its own "config" would be for another file: the name is settled. */
	err = config_load(o, copy, o->config != NULL,
			  spec->local ? spec->dir : spec->bucket, why);
	free(copy);
	return err;
}

static int run(int argc, char **argv)
{
	char why[OPTION_WHY] = "";
	struct arguments a = { 0 };
	struct options o;
	struct keysource key;
	struct spec spec;
	int err, status;

	daemon_keep_private();
	/* Inherited as ignored, it would lose the exit status of a command. */
	(void)signal(SIGCHLD, SIG_DFL);
	options_init(&o);
	err = parse_arguments(argc, argv, &a, &o, why);
	if (!err)
		err = spec_parse(&spec, a.spec, why);
	if (!err)
		err = options_environment(&o, why);
	if (!err)
		err = load_config(&o, &spec, why);
	if (!err && a.fake)
		err = localcache_keysource(&o, &key, why);
	if (!err && a.fake)
		err = backend_check(&spec, &o, why);
	if (err)
		status = bad(why[0] ? why : strerrordesc_np(-err));
	else if (a.fake)
		status = 0;
	else
		status = mount_run(&(struct mount_request){ .spec_text = a.spec,
							    .spec = &spec,
							    .dir = a.dir,
							    .options = &o });
	options_clear(&o);
	return status;
}

static int generate_key(void)
{
	char text[KEYTEXT_SIZE];
	int err = keytext_make(text);

	if (err)
		return bad("the system has no random bytes to give");
	err = puts(text) < 0 || fflush(stdout);
	bytes_wipe(text, sizeof(text));
	return err ? bad("the key could not be written") : 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--generate-key"))
		return generate_key();
	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (argc == 2 &&
	    (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		(void)printf("mount.deltaglider %s\n", DG_VERSION);
		return 0;
	}
	// NOLINTBEGIN(concurrency-mt-unsafe): there is one thread yet
	(void)mallopt(M_MMAP_THRESHOLD, LARGE);
	(void)mallopt(M_TRIM_THRESHOLD, LARGE / 2);
	(void)mallopt(M_ARENA_MAX, ARENAS);
	// NOLINTEND(concurrency-mt-unsafe)
	return run(argc, argv);
}
