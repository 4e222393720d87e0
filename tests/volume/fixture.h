#ifndef TESTS_VOLUME_FIXTURE_H
#define TESTS_VOLUME_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* It wants those before it. */
#include <cmocka.h>

#include "cache/budget.h"
#include "crypto/aead.h"
#include "fs/volume.h"
#include "tests/support/memstore.h"

/* A volume over a store in memory that outlives it, as a bucket outlives mounts. */
struct fixture {
	struct store *store;
	char dir[32]; /* of the sealed files */
	int dirfd;
	struct aead_key key;
	struct budget spool;
	struct cache_backend *cache;
	struct texts *texts;
	struct refs *refs;
	struct volume *v;
	struct volume_conf conf; /* what the next fixture_mount() uses */
};

extern const struct request somebody;

int fixture_setup(void **state); /* for cmocka */
int fixture_teardown(void **state);
void fixture_mount(struct fixture *x); /* unmounts first if need be */
void fixture_unmount(struct fixture *x);

/* Reproducible bytes that do not compress; free() them. */
uint8_t *noise(uint64_t seed, size_t len);

/* The inode at "a/b/c", held; NULL if lookup says -ENOENT. */
struct inode *at(struct fixture *x, const char *path);

/* Create or replace through open, write in odd pieces, flush, release. */
int put(struct fixture *x, const char *path, const void *data, size_t len);

/* Fails the test unless the file has exactly these bytes. */
void expect(struct fixture *x, const char *path, const void *data, size_t len);
int readable(struct fixture *x, const char *path, void *buf,
	     size_t len); /* 0 or -errno */

/* "storage" and the like, as a string for free(). */
char *xattr(struct fixture *x, const char *path, const char *name);
void expect_storage(struct fixture *x, const char *path, const char *storage);

/* Split "a/b/c" into the held parent and the last name. */
struct inode *parent_of(struct fixture *x, const char *path, const char **name);

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
