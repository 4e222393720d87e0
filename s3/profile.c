#include "s3/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)
/* What a value begins with that stands for a line too long for inih. */
#define STAND_IN '\001'

struct setting {
	struct setting *next;
	size_t name_len, value_len;
	char text[]; /* name, NUL, value, NUL */
};

struct profile {
	struct setting *first;
};

int profile_new(struct profile **out)
{
	struct profile *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	*out = p;
	return 0;
}

void profile_free(struct profile *p)
{
	struct setting *s;

	if (p == NULL)
		return;
	while ((s = p->first) != NULL) {
		p->first = s->next;
		bytes_wipe(s->text, s->name_len + s->value_len + 2);
		free(s);
	}
	free(p);
}

const char *profile_get(const struct profile *p, const char *name)
{
	const struct setting *s;

	for (s = p->first; s != NULL; s = s->next)
		if (strcmp(s->text, name) == 0)
			return s->text + s->name_len + 1;
	return NULL;
}

static int profile_add(struct profile *p, const char *name, const char *value)
{
	size_t name_len = strlen(name);
	size_t value_len = strlen(value);
	struct setting *s;

	if (profile_get(p, name) != NULL)
		return 0;
	s = malloc(sizeof(*s) + name_len + value_len + 2);
	if (s == NULL)
		return -ENOMEM;
	s->name_len = name_len;
	s->value_len = value_len;
	memcpy(s->text, name, name_len + 1);
	memcpy(s->text + name_len + 1, value, value_len + 1);
	s->next = p->first;
	p->first = s;
	return 0;
}

/* A file in memory, on its way through inih. */
struct reading {
	struct profile *profile;
	const char *section;
	char *at; /* the line that inih asks for next */
	char *long_value; /* of the line it got last, if that was a stand-in */
	int found; /* the section */
	int rc;
};

/* Blanks, and a comment as inih would cut it off. */
static char *trim(char *s)
{
	char *comment;
	size_t len;

	while (*s == ' ' || *s == '\t')
		s++;
	comment = strstr(s, " ;");
	if (comment != NULL)
		*comment = '\0';
	len = strlen(s);
	while (len > 0 &&
	       (s[len - 1] == ' ' || s[len - 1] == '\t' || s[len - 1] == '\r'))
		s[--len] = '\0';
	return s;
}

/*
 * The next line, as fgets() gives it.  inih takes no more than 200 bytes of
 * one, and session tokens are longer: of such a line it gets the name only.
 */
static char *next_line(char *out, int cap, void *arg)
{
	struct reading *r = arg;
	char *line = r->at;
	char *end;
	char *eq;

	if (line == NULL || *line == '\0')
		return NULL;
	end = strchr(line, '\n');
	r->at = end != NULL ? end + 1 : NULL;
	if (end != NULL)
		*end = '\0';
	r->long_value = NULL;
	if (strlen(line) + 2 <= (size_t)cap) {
		(void)snprintf(out, (size_t)cap, "%s\n", line);
		return out;
	}
	eq = strchr(line, '=');
	if (*line == '#' || *line == ';' || eq == NULL || eq - line > cap - 8) {
		/* A comment, or nothing that we know. */
		(void)snprintf(out, (size_t)cap, "#\n");
		return out;
	}
	*eq = '\0';
	r->long_value = trim(eq + 1);
	(void)snprintf(out, (size_t)cap, "%s = %c\n", line, STAND_IN);
	return out;
}

static int on_setting(void *arg, const char *section, const char *name,
		      const char *value)
{
	struct reading *r = arg;

	if (strcmp(section, r->section) != 0)
		return 1;
	r->found = 1;
	if (value[0] == STAND_IN && r->long_value != NULL)
		value = r->long_value;
	r->rc = profile_add(r->profile, name, value);
	return r->rc == 0;
}

/* The whole file with a NUL behind it, which the caller wipes and frees. */
static int file_read(const char *path, char **out, size_t *len)
{
	struct stat st;
	char *text;
	size_t done = 0;
	int rc = 0;
	int fd;

	/* What is no file must not be waited for. */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (fstat(fd, &st) != 0) {
		rc = -errno;
		goto close_file;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX) {
		rc = -EINVAL;
		goto close_file;
	}
	text = calloc(1, (size_t)st.st_size + 1);
	if (text == NULL) {
		rc = -ENOMEM;
		goto close_file;
	}
	while (done < (size_t)st.st_size) {
		ssize_t n = read(fd, text + done, (size_t)st.st_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = -EIO;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (rc == 0) {
		*out = text;
		*len = (size_t)st.st_size;
	} else {
		bytes_wipe(text, (size_t)st.st_size);
		free(text);
	}
close_file:
	close(fd);
	return rc;
}

/* Is there a line "[section]"?  One without settings counts as well. */
static int has_section(const char *text, const char *section)
{
	size_t len = strlen(section);
	const char *p;

	for (p = text; p != NULL && *p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (*p == '[' && strncmp(p + 1, section, len) == 0 &&
		    p[len + 1] == ']')
			return 1;
		if (*p == '\0')
			break;
	}
	return 0;
}

int profile_read(struct profile *p, const char *path, const char *section,
		 int *line)
{
	struct reading r = { .profile = p, .section = section };
	size_t len = 0;
	char *text = NULL;
	int rc;

	*line = 0;
	rc = file_read(path, &text, &len);
	if (rc != 0)
		return rc == -EACCES || rc == -ENOENT || rc == -EINVAL ||
				       rc == -ENOMEM
			       ? rc
			       : -EIO;
	r.found = has_section(text, section);
	r.at = text;
	rc = ini_parse_stream(next_line, &r, on_setting, &r);
	if (r.rc != 0) {
		rc = r.rc;
	} else if (rc > 0) {
		*line = rc;
		rc = -EINVAL;
	} else if (rc < 0) {
		rc = -ENOMEM;
	} else if (!r.found) {
		rc = -ENOENT;
	}
	bytes_wipe(text, len);
	free(text);
	return rc;
}
