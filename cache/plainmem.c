#include "cache/plainmem.h"

#include <sys/mman.h>

#include "crypto/bytes.h"

void *plainmem_map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* A kernel without it dumps more than it should, and works. */
	(void)madvise(p, len, MADV_DONTDUMP);
	return p;
}

void plainmem_unmap(void *p, size_t len, size_t used)
{
	if (!p)
		return;
	bytes_wipe(p, used);
	munmap(p, len);
}
