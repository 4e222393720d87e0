#define FUSE_USE_VERSION 314
#include "fs/mount.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cache/budget.h"
#include "cache/cachedir.h"
#include "cache/refs.h"
#include "crypto/aead.h"
#include "fs/backend.h"
#include "fs/daemon.h"
#include "fs/log.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/spec.h"
#include "fs/volume.h"
#include "s3/credentials.h"

#define THREADS_MAX       64
#define CACHE_DEFAULT_MAX ((uint64_t)10 << 30)
#define MEMORY_MIN        ((uint64_t)384 << 20)
/* Kept for the next file of a series: so much, or a part of index_memory. */
#define MEMORY_IDLE ((uint64_t)256 << 20)
#define IDLE_PART   4

struct mounted {
	const struct mount_request *rq;
	struct options
		options; /* a copy with the defaults that depend on the machine */
	char dir[PATH_MAX];
	struct daemon daemon;
	struct backend backend;
	struct cachedir *cachedir;
	unsigned swept; /* left-overs that were removed */
	struct aead_key key;
	struct budget spool;
	struct refs *refs;
	struct volume *volume;
	struct ops_context context;
	struct fuse_session *session;
};

static int complain(const char *why)
{
	(void)fprintf(stderr, "mount.deltaglider: %s\n", why);
	return 1;
}

/* Sizes that nobody gave: shares of this machine's disk and memory. */
static int fill_defaults(struct mounted *m, char why[OPTION_WHY])
{
	struct options *o = &m->options;
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	struct statvfs st;
	uint64_t disk, room;

	if (statvfs(o->cache_dir, &st)) {
		(void)snprintf(
			why, OPTION_WHY,
			"cache directory %.150s: %s: make it, or give cache_dir= another",
			o->cache_dir, strerrordesc_np(errno));
		return -errno;
	}
	disk = (uint64_t)st.f_blocks * st.f_frsize;
	room = (uint64_t)st.f_bavail * st.f_frsize;
	if (!o->cache_size)
		o->cache_size = disk / 10 < CACHE_DEFAULT_MAX
					? disk / 10
					: CACHE_DEFAULT_MAX;
	if (!o->spool_size)
		o->spool_size = room / 10 * 9;
	if (!o->index_memory && pages > 0 && page > 0)
		o->index_memory = (uint64_t)pages * (uint64_t)page / 4;
	if (o->index_memory < MEMORY_MIN && !m->rq->options->index_memory)
		o->index_memory = MEMORY_MIN;
	if (!o->uid_set)
		o->uid = getuid();
	if (!o->gid_set)
		o->gid = getgid();
	return 0;
}

static int open_cache(struct mounted *m, char why[OPTION_WHY])
{
	struct refs_conf conf = { .key = &m->key,
				  .disk_max = m->options.cache_size,
				  .memory_max = m->options.index_memory,
				  .memory_idle_max =
					  m->options.index_memory / IDLE_PART };
	int err;

	if (conf.memory_idle_max < MEMORY_IDLE)
		conf.memory_idle_max = MEMORY_IDLE;

	err = cachedir_open(&m->cachedir, m->options.cache_dir, &m->swept, why);
	if (err)
		return err;
	err = aead_key_random(&m->key);
	if (err)
		return err;
	budget_init(&m->spool, m->options.spool_size);
	conf.dirfd = cachedir_fd(m->cachedir);
	return refs_open(&m->refs, &conf);
}

static int open_volume(struct mounted *m)
{
	const struct options *o = &m->options;
	struct volume_conf conf = {
		.store = m->backend.store,
		.refs = m->refs,
		.spool_dirfd = cachedir_fd(m->cachedir),
		.key = &m->key,
		.spool = &m->spool,
		.prefix = m->rq->spec->prefix,
		.defaults = { .uid = (uid_t)o->uid,
			      .gid = (gid_t)o->gid,
			      .umask = (mode_t)o->umask },
		.max_ratio = o->max_ratio,
		.delta = (int)o->delta,
		.codec = (enum codec)o->codec,
		.level = (enum delta_level)o->delta_level,
		.exclusive = (int)o->exclusive,
		.read_only = (int)o->read_only,
		.encoders = 2,
		.attr_timeout_ms = o->attr_timeout_ms,
	};

	return volume_new(&m->volume, &conf);
}

static void close_all(struct mounted *m)
{
	volume_free(m->volume);
	refs_close(m->refs);
	budget_clear(&m->spool);
	aead_key_wipe(&m->key);
	cachedir_close(m->cachedir);
	backend_close(&m->backend);
}

/* A comma in a value separates options for libfuse too. */
static int append_escaped(struct bytes *b, const char *text)
{
	int err = 0;

	for (; !err && *text; text++) {
		if (*text == ',' || *text == '\\')
			err = bytes_append_str(b, "\\");
		if (!err)
			err = bytes_append(b, text, 1);
	}
	return err;
}

static int fuse_options(const struct mounted *m, struct bytes *out)
{
	const struct options *o = &m->options;
	int err;

	err = bytes_append_str(out, "default_permissions,subtype=deltaglider");
	if (!err && o->read_only)
		err = bytes_append_str(out, ",ro");
	if (!err && o->allow_other)
		err = bytes_append_str(out, ",allow_other");
	if (!err && o->kernel[0])
		err = bytes_printf(out, ",%s", o->kernel);
	if (!err)
		err = bytes_append_str(out, ",fsname=");
	if (!err)
		err = append_escaped(out, m->rq->spec_text);
	return err ? err : bytes_append(out, "", 1);
}

static int open_session(struct mounted *m)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct bytes list = BYTES_INIT;
	int err;

	m->context = (struct ops_context){
		.control = { .volume = m->volume,
			     .refs = m->refs,
			     .options = &m->options },
		.owner = getuid(),
		.group = getgid(),
		.started = (uint64_t)time(NULL),
	};
	err = fuse_options(m, &list);
	if (!err && (fuse_opt_add_arg(&args, "mount.deltaglider") ||
		     fuse_opt_add_arg(&args, "-o") ||
		     fuse_opt_add_arg(&args, (const char *)list.data)))
		err = -ENOMEM;
	if (!err) {
		m->session = ops_session(&args, &m->context);
		if (!m->session)
			err = -EINVAL;
	}
	fuse_opt_free_args(&args);
	bytes_clear(&list);
	return err;
}

static int serve(struct mounted *m)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
	fuse_loop_cfg_set_idle_threads(config, THREADS_MAX);
	fuse_loop_cfg_set_clone_fd(config, 0);
	err = fuse_session_loop_mt(m->session, config);
	fuse_loop_cfg_destroy(config);
	return err < 0 ? err : 0; /* a signal's number is an end like another */
}

/* What libfuse has to say goes into our one line, or into the log. */
static char fuse_said[160];

static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[sizeof(fuse_said)];

	(void)vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	if (!fuse_said[0])
		memcpy(fuse_said, line, sizeof(line));
	if (level <= FUSE_LOG_ERR)
		log_debug("%s", line);
}

static int run_session(struct mounted *m)
{
	int status = 1, err;

	fuse_set_log_func(on_fuse_log);
	if (open_session(m))
		return complain("libfuse does not take the mount options");
	/* Not an end: kept for reading the configuration again. */
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	if (fuse_set_signal_handlers(m->session)) {
		(void)complain("cannot handle signals");
		goto destroy;
	}
	if (fuse_session_mount(m->session, m->dir)) {
		char why[PATH_MAX + 320];

		(void)snprintf(
			why, sizeof(why),
			"cannot mount on %s: %s: it takes /dev/fuse, and root or fusermount3 (for allow_other, user_allow_other in /etc/fuse.conf)",
			m->dir, fuse_said);
		(void)complain(why);
		goto remove_handlers;
	}
	daemon_ready(&m->daemon);
	log_info("%s mounted on %s", m->rq->spec_text, m->dir);
	if (m->backend.credentials)
		log_info("credentials from %s",
			 s3_credentials_source(m->backend.credentials));
	if (m->swept)
		log_info(
			"removed %u cache director%s of mounts that were killed",
			m->swept, m->swept == 1 ? "y" : "ies");
	err = serve(m);
	if (err)
		log_error("serving %s: %s", m->dir, strerrordesc_np(-err));
	fuse_session_unmount(m->session);
	volume_shutdown(m->volume);
	log_info("%s unmounted from %s", m->rq->spec_text, m->dir);
	status = err ? 1 : 0;
remove_handlers:
	fuse_remove_signal_handlers(m->session);
destroy:
	fuse_session_destroy(m->session);
	return status;
}

/* .dg/config says what is in force, wherever it came from. */
static void note_profile(struct mounted *m)
{
	options_note(&m->options, "endpoint", m->backend.endpoint,
		     OPTION_PROFILE);
	options_note(&m->options, "region", m->backend.region, OPTION_PROFILE);
	/* One thread only, so far. */
	// NOLINTNEXTLINE(concurrency-mt-unsafe)
	options_note(&m->options, "profile", getenv("AWS_PROFILE"),
		     OPTION_ENVIRONMENT);
}

int mount_run(const struct mount_request *rq)
{
	struct mounted m = { .rq = rq, .options = *rq->options };
	char why[OPTION_WHY] = "";
	int err, status = 1;

	err = daemon_start(&m.daemon, (int)m.options.foreground);
	if (err)
		return complain(strerrordesc_np(-err));
	budget_init(&m.spool, 0);
	log_set_level((enum log_level)m.options.log_level);
	err = mountpoint_check(rq->dir, m.dir, why);
	if (!err)
		err = fill_defaults(&m, why);
	if (!err)
		err = backend_open(&m.backend, rq->spec, &m.options, why);
	if (!err)
		note_profile(&m);
	if (!err)
		err = open_cache(&m, why);
	if (!err)
		err = open_volume(&m);
	if (err)
		(void)complain(why[0] ? why : strerrordesc_np(-err));
	else
		status = run_session(&m);
	close_all(&m);
	return status;
}
