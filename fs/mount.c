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
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cache/cachedir.h"
#include "crypto/secret.h"
#include "fs/backend.h"
#include "fs/daemon.h"
#include "fs/defaults.h"
#include "fs/localcache.h"
#include "fs/log.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/settings.h"
#include "fs/spec.h"
#include "fs/unfinished.h"
#include "fs/volume.h"
#include "fs/watch.h"

#define THREADS_MAX 64

/* What rsync sets after the bytes waits for its rename. */
#define ATTR_DELAY_MS 1000

struct mounted {
	const struct mount_request *rq;
	struct options *options; /* the caller's, completed */
	char dir[PATH_MAX];
	struct daemon daemon;
	struct backend backend;
	struct localcache cache;
	struct settings settings;
	int unlocked; /* keys may be swapped out */
	struct volume *volume;
	struct watch *watch;
	struct ops_context context;
	struct refusals refusals;
	struct fuse_session *session;
};

static int complain(const char *why)
{
	(void)fprintf(stderr, "mount.deltaglider: %s\n", why);
	return 1;
}

static int open_volume(struct mounted *m)
{
	const struct options *o = m->options;
	struct volume_conf conf = {
		.store = m->backend.store,
		.refs = m->cache.refs,
		.spool_dirfd = cachedir_nameless_fd(m->cache.dir),
		.key = m->cache.spool_key,
		.spool = &m->cache.spool,
		.prefix = m->rq->spec->prefix,
		.defaults = { .uid = (uid_t)o->uid,
			      .gid = (gid_t)o->gid,
			      .file_mode = (mode_t)o->file_mode & 07777,
			      .dir_mode = (mode_t)o->dir_mode & 07777 },
		.max_ratio = o->max_ratio,
		.delta = (int)o->delta,
		.codec = (enum codec)o->codec,
		.level = (enum delta_level)o->delta_level,
		.exclusive = (int)o->exclusive,
		.last_wins = (int)o->conflict,
		.read_only = (int)o->read_only,
		.encoders = 2,
		.attr_timeout_ms = o->attr_timeout_ms,
		.entry_timeout_ms = o->entry_timeout_ms,
		.attr_delay_ms = ATTR_DELAY_MS,
		.hints = 1,
	};

	return volume_new(&m->volume, &conf);
}

static void close_all(struct mounted *m)
{
	volume_free(m->volume);
	refusals_clear(&m->refusals);
	localcache_close(&m->cache);
	settings_clear(&m->settings);
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
	const struct options *o = m->options;
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
			     .cache = &m->cache,
			     .settings = &m->settings },
		.owner = getuid(),
		.group = getgid(),
		.started = (uint64_t)time(NULL),
		.refusals = &m->refusals,
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
	unfinished_tell(m->volume);
	backend_tell(&m->backend);
	localcache_tell(&m->cache);
	if (m->unlocked)
		log_warning(
			"the system does not let keys be locked in memory (RLIMIT_MEMLOCK): they may be swapped out");
	err = watch_start(&m->watch, &m->settings, &m->cache);
	if (!err)
		err = serve(m);
	if (err)
		log_error("serving %s: %s", m->dir, strerrordesc_np(-err));
	fuse_session_unmount(m->session);
	watch_stop(m->watch);
	volume_shutdown(m->volume);
	log_info("%s unmounted from %s", m->rq->spec_text, m->dir);
	status = err ? 1 : 0;
remove_handlers:
	fuse_remove_signal_handlers(m->session);
destroy:
	ops_session_free(m->session, &m->context);
	return status;
}

/* .dg/config says what is in force, wherever it came from. */
static int note_profile(struct mounted *m)
{
	int err = options_note(m->options, "endpoint", m->backend.endpoint,
			       OPTION_PROFILE);

	if (!err)
		err = options_note(m->options, "region", m->backend.region,
				   OPTION_PROFILE);
	/* One thread only, so far. */
	if (!err)
		// NOLINTNEXTLINE(concurrency-mt-unsafe)
		err = options_note(m->options, "profile", getenv("AWS_PROFILE"),
				   OPTION_ENVIRONMENT);
	return err;
}

/* An open file for each reference and each unsaved file that is in use. */
static void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

/* SIGHUP is for the watcher alone, in whichever thread it would arrive. */
static void block_hangup(void)
{
	sigset_t hangup;

	(void)sigemptyset(&hangup);
	(void)sigaddset(&hangup, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &hangup, NULL);
}

static int open_parts(struct mounted *m, char why[OPTION_WHY])
{
	int err;

	err = mountpoint_check(m->rq->dir, m->dir, why);
	if (!err)
		err = defaults_fill(m->options, why);
	if (!err)
		err = backend_open(&m->backend, m->rq->spec, m->options, why);
	if (!err)
		err = note_profile(m);
	if (!err)
		err = localcache_open(&m->cache, m->options, why);
	return err ? err : open_volume(m);
}

/* The parent has no use for what is secret. */
static void forget_options(void *arg)
{
	options_clear(arg);
}

int mount_run(const struct mount_request *rq)
{
	struct mounted m = { .rq = rq, .options = rq->options };
	char why[OPTION_WHY] = "";
	int err, status = 1;

	err = daemon_start(&m.daemon, (int)rq->options->foreground,
			   forget_options, rq->options);
	if (err)
		return complain(strerrordesc_np(-err));
	log_set_level((enum log_level)rq->options->log_level);
	/* Here, because what is locked is not inherited by a child. */
	m.unlocked = secret_init() != 0;
	err = options_lock_key(rq->options);
	if (err)
		return complain(strerrordesc_np(-err));
	raise_file_limit();
	block_hangup();
	refusals_init(&m.refusals);
	err = settings_init(&m.settings, m.options,
			    rq->spec->local ? rq->spec->dir : rq->spec->bucket,
			    &m.cache);
	if (!err)
		err = open_parts(&m, why);
	if (err)
		(void)complain(why[0] ? why : strerrordesc_np(-err));
	else
		status = run_session(&m);
	close_all(&m);
	return status;
}
