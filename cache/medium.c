#include "cache/medium.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/diskio.h"

#define MEMORY_PAGE ((uint64_t)4096)

struct medium medium_file(int fd)
{
	return (struct medium){ .fd = fd };
}

uint64_t medium_memory_cost(uint64_t len)
{
	return (len + MEMORY_PAGE - 1) / MEMORY_PAGE * MEMORY_PAGE;
}

int medium_memory(struct medium *out, uint64_t len)
{
	size_t size = (size_t)medium_memory_cost(len);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	*out = (struct medium){ .fd = -1, .memory = p, .len = size };
	return 0;
}

int medium_read(const struct medium *m, void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	if (m->fd < 0) {
		if (off > m->len || len > m->len - off)
			return -EBADMSG;
		memcpy(buf, m->memory + off, len);
		return 0;
	}
	n = diskio_read(m->fd, buf, len, off);
	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EBADMSG;
}

int medium_write(const struct medium *m, const void *buf, size_t len,
		 uint64_t off)
{
	if (m->fd >= 0)
		return diskio_write(m->fd, buf, len, off);
	if (off > m->len || len > m->len - off)
		return -ENOSPC;
	memcpy(m->memory + off, buf, len);
	return 0;
}

void medium_close(struct medium *m)
{
	if (m->fd >= 0)
		(void)close(m->fd);
	else
		(void)munmap(m->memory, m->len);
}
