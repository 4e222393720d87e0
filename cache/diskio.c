#include "cache/diskio.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "crypto/aead.h"

#define NAME_RANDOM 16 /* bytes: no two processes draw the same */

ssize_t diskio_read(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;
	size_t done = 0;

	while (done < len) {
		ssize_t n =
			pread(fd, p + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int diskio_write(int fd, const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO; /* would never end */
		p += n;
		len -= (size_t)n;
		off += (size_t)n;
	}
	return 0;
}

/* Where fallocate(2) is not known: the plain writes do the same, slower. */
static int write_zeros(int fd, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[4096];

	while (len) {
		size_t step = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);
		int err = diskio_write(fd, zeros, step, off);

		if (err)
			return err;
		off += step;
		len -= step;
	}
	return 0;
}

int diskio_reserve(int fd, uint64_t off, uint64_t len)
{
	int err;

	while (fallocate(fd, 0, (off_t)off, (off_t)len) < 0) {
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			return write_zeros(fd, off, len);
		if (errno == EINTR)
			continue;
		err = -errno;
		/* Some keep what they found before they ran out. */
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)off, (off_t)len);
		return err;
	}
	return 0;
}

int diskio_truncate(int fd, uint64_t len)
{
	while (ftruncate(fd, (off_t)len) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int diskio_nameless(int dirfd)
{
	char name[2 * NAME_RANDOM + 1];
	uint8_t random[NAME_RANDOM];
	int fd, err;

	fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* Not every file system has them, and each says so in its own way. */
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL &&
	    errno != ENOENT)
		return -errno;

	err = aead_random(random, sizeof(random));
	if (err)
		return err;
	hex_encode(name, random, sizeof(random));
	fd = openat(dirfd, name,
		    O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (unlinkat(dirfd, name, 0) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}
