#ifndef FS_CHOOSE_H
#define FS_CHOOSE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"
#include "fs/object.h"

struct inode;
struct volume;

/*
 * Which reference a new file is encoded against.  Here the simplest rule that
 * is right: among the files of its own directory, what it resembles by
 * content, whatever the names: a reference that files there already use, else
 * a plain file, which becomes one.
 */
struct candidate {
	int is_reference; /* `key` is a reference's; else a plain file's */
	int foreign; /* a plain file that others wrote: copied, never replaced */
	int sketched; /* `sketch` and `digest` are known */
	char key[STORE_KEY_MAX + 1];
	char etag[STORE_ETAG_MAX]; /* of a plain file */
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of the content */
	uint64_t len; /* bytes of the content */
	struct sketch sketch;
	struct timespec mtime; /* when it was stored */
	unsigned resemblance; /* to the file in question, in thousandths */
};

/* What is known of a directory's files.  Made at the first question. */
struct catalogue;
void catalogue_free(struct catalogue *c); /* NULL-safe */

struct question {
	const struct sketch *sketch;
	const uint8_t *digest;
	uint64_t len;
	const char *key; /* where it will be stored: not its own reference */
};

#define CHOICES       2
#define CANDIDATE_MIN 4096 /* bytes: smaller files are stored as they are */

/*
 * The best candidates, best first, in `out`; their number, which is often 0,
 * or -errno.  Objects of others are read once to know what they are like.
 */
MUST_CHECK int choose(struct volume *v, struct inode *dir,
		      const struct question *q, struct candidate out[CHOICES]);

/* A file was stored, or became or has a reference: remember it. */
void choose_note(struct volume *v, struct inode *dir,
		 const struct candidate *c);

/* It has another key now, in `to`. */
void choose_moved(struct volume *v, struct inode *from, struct inode *to,
		  const char *old_key, const struct object *obj,
		  const char *new_key);

/* It is not there any more, or not what it was. */
void choose_forget(struct inode *dir, const char *key);

#endif
