/* The two shared files: where they are, what they have, whether they changed. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "s3/credentials_private.h"
#include "s3/error.h"

#define SETTLED_S 2 /* coarser than the time stamps of file systems in use */

/* mount(8) and systemd start their helpers without HOME. */
static void home_of_user(char *out, size_t cap)
{
	struct passwd pw, *found = NULL;
	char buf[2048];

	if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) != 0 ||
	    found == NULL)
		(void)snprintf(out, cap, "%s", "");
	else
		(void)snprintf(out, cap, "%s", found->pw_dir);
}

static void file_name(char *out, size_t cap, const char *variable,
		      const char *name)
{
	const char *given = cred_env(variable);
	const char *home = cred_env("HOME");
	char own[256];

	if (given != NULL) {
		(void)snprintf(out, cap, "%s", given);
		return;
	}
	if (home == NULL) {
		home_of_user(own, sizeof(own));
		home = own;
	}
	(void)snprintf(out, cap, "%s/.aws/%s", home, name);
}

void cred_files_find(struct cred_files *f)
{
	file_name(f->credentials, sizeof(f->credentials),
		  "AWS_SHARED_CREDENTIALS_FILE", "credentials");
	file_name(f->config, sizeof(f->config), "AWS_CONFIG_FILE", "config");
}

static int file_take(struct profile *p, const char *path, const char *section,
		     const char **found, const struct store_call *call)
{
	int line;
	int rc;

	rc = profile_read(p, path, section, &line);
	if (rc == -ENOENT)
		return 0;
	if (rc == -EINVAL && line > 0)
		return store_fail(call, rc, "%s: line %d is malformed", path,
				  line);
	if (rc != 0)
		return store_fail(call, rc, "cannot read %s: %s", path,
				  store_strerror(rc));
	if (*found == NULL)
		*found = path;
	return 0;
}

int cred_files_load(const struct cred_files *f, const char *name,
		    struct profile **out, const char **path,
		    const struct store_call *call)
{
	const char *found = NULL;
	struct profile *p;
	char section[256];
	int rc;

	if (profile_new(&p) != 0)
		return store_fail(call, -ENOMEM, "out of memory");
	rc = file_take(p, f->credentials, name, &found, call);
	(void)snprintf(section, sizeof(section), "%s%.200s",
		       strcmp(name, "default") == 0 ? "" : "profile ", name);
	if (rc == 0)
		rc = file_take(p, f->config, section, &found, call);
	if (rc == 0 && found == NULL)
		rc = store_fail(call, -ENOENT,
				"there is no profile \"%.60s\" in %.80s or "
				"%.80s",
				name, f->credentials, f->config);
	if (rc != 0) {
		profile_free(p);
		return rc;
	}
	*out = p;
	*path = found;
	return 0;
}

void cred_stamps_take(struct cred_stamps *s, const struct cred_files *f)
{
	const char *const paths[2] = { f->credentials, f->config };
	struct timespec now;
	size_t i;

	memset(s, 0, sizeof(*s));
	/* Its clock, not a test's: it is set beside those of files. */
	(void)clock_gettime(CLOCK_REALTIME, &now);
	for (i = 0; i < 2; i++) {
		struct cred_stamp *t = &s->of[i];
		struct stat st;

		if (stat(paths[i], &st) != 0)
			continue;
		t->dev = st.st_dev;
		t->ino = st.st_ino;
		t->size = st.st_size;
		t->mtime = st.st_mtim;
		t->ctime = st.st_ctim;
		if (now.tv_sec - t->ctime.tv_sec < SETTLED_S)
			s->unsettled = 1;
	}
}

static int time_same(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

int cred_stamps_same(const struct cred_stamps *a, const struct cred_stamps *b)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		const struct cred_stamp *x = &a->of[i];
		const struct cred_stamp *y = &b->of[i];

		if (x->dev != y->dev || x->ino != y->ino ||
		    x->size != y->size || !time_same(&x->mtime, &y->mtime) ||
		    !time_same(&x->ctime, &y->ctime))
			return 0;
	}
	return 1;
}
