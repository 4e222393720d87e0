#include "s3/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/digest.h"

#define START_FIELD 22 /* of /proc/PID/stat, from 1: proc(5) */

/* The file's first bytes as a string; "" if there is none. */
static void file_text(const char *path, char *out, size_t cap)
{
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		n = read(fd, out, cap - 1);
		close(fd);
	}
	out[n > 0 ? n : 0] = '\0';
}

/* machine-id(5) asks not to be shown around: a digest of it does as well. */
static void machine_name(char out[33])
{
	char text[128] = "deltaglider ";
	size_t len = strlen(text);
	uint8_t sum[DIGEST_LEN];

	out[0] = '\0';
	file_text("/etc/machine-id", text + len, sizeof(text) - len);
	if (text[len] == '\0' || digest_buffer(text, strlen(text), sum) != 0)
		return;
	hex_encode(out, sum, 16);
}

/* When the process began; 0 if that cannot be seen. */
static uint64_t start_of(uint64_t pid)
{
	char path[64], text[1024];
	const char *p;
	int field;

	(void)snprintf(path, sizeof(path), "/proc/%llu/stat",
		       (unsigned long long)pid);
	file_text(path, text, sizeof(text));
	/* The second field is a name, in brackets, of any characters. */
	p = strrchr(text, ')');
	for (field = 2; p != NULL && field < START_FIELD; field++) {
		p = strchr(p, ' ');
		p = p != NULL ? p + 1 : NULL;
	}
	return p != NULL ? strtoull(p, NULL, 10) : 0;
}

void process_self(struct process *out)
{
	struct stat st;

	memset(out, 0, sizeof(*out));
	machine_name(out->machine);
	file_text("/proc/sys/kernel/random/boot_id", out->boot,
		  sizeof(out->boot));
	out->boot[strcspn(out->boot, "\n")] = '\0';
	if (stat("/proc/self/ns/pid", &st) == 0)
		out->pid_space = st.st_ino;
	out->pid = (uint64_t)getpid();
	out->start = start_of(out->pid);
}

int process_write(struct bytes *out, const struct process *p)
{
	return bytes_printf(
		out, "machine %s\nboot %s\nprocess %llu %llu %llu\n",
		p->machine[0] ? p->machine : "-", p->boot[0] ? p->boot : "-",
		(unsigned long long)p->pid_space, (unsigned long long)p->pid,
		(unsigned long long)p->start);
}

/* "NAME WORD\n"; where the next line begins, or NULL. */
static const char *word_line(const char *text, const char *name, char *out,
			     size_t cap)
{
	size_t len = strlen(name);
	size_t n;

	if (text == NULL || strncmp(text, name, len) != 0 || text[len] != ' ')
		return NULL;
	text += len + 1;
	n = strcspn(text, "\n");
	if (n == 0 || n >= cap || text[n] != '\n')
		return NULL;
	memcpy(out, text, n);
	out[n] = '\0';
	if (strcmp(out, "-") == 0)
		out[0] = '\0';
	return text + n + 1;
}

static int number(const char **at, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return -EBADMSG;
	errno = 0;
	*out = strtoull(*at, &end, 10);
	if (errno != 0)
		return -EBADMSG;
	*at = *end == ' ' ? end + 1 : end;
	return 0;
}

int process_read(struct process *out, const char *text)
{
	struct process p = { .machine = "" };
	char numbers[96];
	const char *at = numbers;

	text = word_line(text, "machine", p.machine, sizeof(p.machine));
	text = word_line(text, "boot", p.boot, sizeof(p.boot));
	text = word_line(text, "process", numbers, sizeof(numbers));
	if (text == NULL || number(&at, &p.pid_space) != 0 ||
	    number(&at, &p.pid) != 0 || number(&at, &p.start) != 0 ||
	    *at != '\0')
		return -EBADMSG;
	*out = p;
	return 0;
}

int process_has_ended(const struct process *p)
{
	struct process me;
	uint64_t start;

	process_self(&me);
	/*
	 * A machine may be a copy of another, down to its machine-id; not so
	 * what it has drawn as it booted.
	 */
	if (p->machine[0] == '\0' || p->boot[0] == '\0' || p->pid_space == 0 ||
	    p->pid == 0 || p->pid > INT_MAX || p->start == 0 ||
	    strcmp(p->machine, me.machine) != 0 ||
	    strcmp(p->boot, me.boot) != 0 || p->pid_space != me.pid_space ||
	    me.start == 0)
		return 0;
	start = start_of(p->pid);
	if (start != 0)
		return start != p->start;
	/* Other users' may be hidden: see hidepid in proc(5). */
	return kill((pid_t)p->pid, 0) != 0 && errno == ESRCH;
}
