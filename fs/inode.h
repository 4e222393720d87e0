#ifndef FS_INODE_H
#define FS_INODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "fs/defer.h"
#include "fs/hints.h"
#include "fs/latch.h"
#include "fs/listing.h"
#include "fs/object.h"
#include "fs/packed.h"
#include "fs/volume.h"
#include "s3/meta.h"

/*
 * Inside of the volume: shared by the files that make it up (inode, lookup,
 * names, rename, dirstream, file, setattr, commit), and by nobody else.
 */
struct catalogue;
struct pagefile;
struct whole;

/* A PUT that was sent and not answered: it may have taken effect. */
struct attempt {
	uint8_t digest[DIGEST_LEN];
	char created[40]; /* its dg-created-at */
};

/*
 * There are as many as the kernel knows files, so it is kept small: what is
 * guarded by one lock is together, what few have is behind a pointer, and what
 * directories have is in struct directory.
 */
struct inode {
	struct volume *volume;
	uint64_t number; /* st_ino */

	/* Under volume.lock. */
	struct inode
		*parent; /* held; NULL for the root and what was unlinked */
	char *name; /* owned; NULL with parent */
	struct inode *hash_next; /* same slot of volume.names */
	struct inode *sibling, **sibling_link; /* others of the same parent */
	uint64_t lookups; /* the kernel's */
	unsigned pins; /* ours: children, handles, calls under way */
	unsigned opens; /* handles */
	unsigned busy; /* changes under way here and below: see fs/tree.h */
	bool directory; /* never changes */
	bool going; /* its object is being removed or replaced: opens wait */
	bool moving;
	bool gone; /* unlinked or replaced here: nobody else wants its bytes */
	bool superseded; /* the bucket has another file, or none, of its name */

	bool waiting; /* under defer.lock, as are: */
	union {
		struct inode *waiting_next;
		char *dir_key; /* of one to be freed: see hints_keep(); owned */
	};
	uint64_t due_ms;

	struct latch commit;

	/* Under data. */
	struct latch data;
	struct pagefile *spool; /* the whole content, or NULL: in the bucket */
	uint64_t torn_off; /* where */
	int torn; /* -errno of a write that failed and was not made good, or 0 */
	bool dirty; /* spool is newer than the bucket */

	/* Under inode_lock(). */
	struct attr attr;
	uint64_t generation; /* of all here; see inode_changed() */
	uint64_t size; /* bytes, as stat shows */
	uint64_t checked_ms; /* when the bucket was last asked; 0: never */
	char *xattr; /* see fs/xattrs.h; owned; NULL: none */
	union { /* owned; or NULL */
		/* What may be in the bucket without our knowing. */
		struct attempt *attempt;
		char *target; /* of a symbolic link; see has_target */
	};
	struct packed_object object; /* see inode_object() */
	uint32_t attr_changes; /* by which attr_waits came about */
	bool attr_waits; /* both kinds are newer than what the bucket has */
	bool attr_unseen; /* `object` is a newer one, and may have others */
	bool remote; /* `object` is what the bucket has under our name */
	bool unsaved; /* mirrors `dirty`, for those who must not wait for data */
	bool spooled; /* mirrors `spool`, likewise */
	bool exclusive; /* made with O_EXCL and not stored yet */
	bool sniffed; /* `object` was looked into: see inode_sniff() */
	bool hinted; /* the bucket's hints say the same: see fs/hints.h */
	bool pages_valid; /* the kernel's pages show `object` */
	bool has_target;
	bool marker; /* directory: its marker object exists */
};

/* What an inode is that has `directory` set. */
struct directory {
	struct inode inode;
	struct inode *child; /* those in memory; under volume.lock */

	/* Under inode_lock(). */
	struct catalogue *catalogue; /* see fs/choose.h; or NULL */
	/* See fs/listing.h. */
	struct listing_page *listing; /* owned; or NULL */
	struct asked {
		uint64_t since_ms, not_before_ms;
		unsigned count, served, least;
		bool listing; /* somebody is at it */
		bool large; /* more than a page */
	} asked;
	bool made_here; /* by this mount */
};

static inline struct directory *directory_of(struct inode *i)
{
	return (struct directory *)i;
}

#define NAME_SLOTS  65536
#define INODE_LOCKS 256

struct volume {
	struct volume_conf conf;
	char *prefix;
	volume_replaced_fn *on_replaced; /* or NULL */
	void *on_replaced_arg;
	struct timespec started;
	struct store_caps caps;
	struct inode *root;
	atomic_uint_fast64_t next_number;
	pthread_mutex_t lock;
	pthread_cond_t tree_changed; /* with lock: see fs/tree.h */
	int move_under_way;
	atomic_uint_fast64_t moves; /* of directories, so far */
	struct inode *names[NAME_SLOTS];
	/* When a name was last changed here, as the number of that change. */
	atomic_uint_fast64_t change_serial;
	atomic_uint_fast64_t changes[NAME_SLOTS];
	uint64_t n_inodes;
	pthread_mutex_t inode_locks[INODE_LOCKS]; /* each for many inodes */
	pthread_mutex_t gate; /* encoders: see fs/commit.c */
	pthread_cond_t gate_open;
	unsigned encoding;
	int encoding_alone;
	pthread_mutex_t wholes_lock;
	struct whole *wholes; /* see fs/whole.h */
	struct defer defer;
	struct hints hints;
	struct {
		pthread_mutex_t lock; /* short */
		struct listed *first, **end; /* see fs/listing.c */
	} listed;
	pthread_mutex_t stats_lock;
	struct volume_stats stats;
};

/* Keys.  0, or -ENAMETOOLONG past STORE_KEY_MAX. */
struct key {
	char text[STORE_KEY_MAX + 1];
};
/* Of the entry `name` in `dir`.  -ESTALE if `dir` was removed. */
MUST_CHECK int key_of(struct volume *v, struct inode *dir, const char *name,
		      struct key *out);
/* Of a file, or a directory's with its '/'. -ESTALE if it has no name. */
MUST_CHECK int key_of_inode(struct volume *v, struct inode *i, struct key *out);
/* Of the directory with its '/', for free(), under volume.lock; or NULL. */
char *key_dup_locked(struct volume *v, const struct inode *dir);
/* Bytes of a file's key up to its name. */
size_t key_dir_len(const struct key *k);
/* `key` and a '/'. */
MUST_CHECK int key_slash(struct key *k);

/* A new one without a name, with one lookup held for the caller. */
MUST_CHECK int inode_new(struct volume *v, int directory, struct inode **out);
void inode_pin(struct inode *i); /* it must be held already */
void inode_hold(struct inode *i); /* one lookup more; it must be pinned */
void inode_unpin(struct inode *i); /* NULL-safe; may free it */

/* The inode of that name in memory, pinned, or NULL. */
struct inode *names_find(struct volume *v, struct inode *dir, const char *name);
/* Give a nameless inode a name; what had it loses it.  0 or -ENOMEM. */
MUST_CHECK int names_add(struct volume *v, struct inode *dir, const char *name,
			 struct inode *i);
/* The same unless the name has an inode already, which is returned, pinned. */
MUST_CHECK int names_claim(struct volume *v, struct inode *dir,
			   const char *name, struct inode *i,
			   struct inode **had);
/* Take the name away: it was unlinked here. */
void names_remove(struct volume *v, struct inode *i);
/*
 * Take the name away because the bucket has another file under it, or none,
 * unless something changed since `generation`: then 0, and nothing is done.
 */
int names_supersede(struct volume *v, struct inode *i, uint64_t generation);
/* Children in memory, pinned; *out for free().  0 or -ENOMEM. */
MUST_CHECK int names_children(struct volume *v, struct inode *dir,
			      struct inode ***out, size_t *n);
/* A pinned copy of parent and name; -ESTALE if it has none. */
MUST_CHECK int names_where(struct volume *v, struct inode *i,
			   struct inode **parent, char **name);
int names_is_gone(struct volume *v, struct inode *i); /* or superseded */
int names_is_superseded(struct volume *v, struct inode *i);

/* Count a change of that name, so that a lookup under way starts over. */
void names_changed(struct volume *v, struct inode *dir, const char *name);
/* The number of the last one of it, and those of directories that moved. */
uint64_t names_change_count(struct volume *v, struct inode *dir,
			    const char *name);
/* The number alone: at most volume.change_serial. */
uint64_t names_change_serial(struct volume *v, struct inode *dir,
			     const char *name);

void volume_count(struct volume *v, uint64_t *counter, uint64_t n);
void inode_stat(struct inode *i, struct stat *out);
int inode_fresh(struct inode *i); /* need not ask the bucket now */
int inode_local(struct inode *i); /* has what the bucket has not */

/*
 * A file's attributes and version.  Inodes share these locks: nobody ever holds
 * two of them.
 */
static inline void inode_lock(struct inode *i)
{
	(void)pthread_mutex_lock(
		&i->volume->inode_locks[i->number % INODE_LOCKS]);
}

static inline void inode_unlock(struct inode *i)
{
	(void)pthread_mutex_unlock(
		&i->volume->inode_locks[i->number % INODE_LOCKS]);
}

/*
 * Under inode_lock(): attributes, version or state changed.  Whoever asked the
 * bucket before that has an old answer, and is told so by the number.
 */
static inline void inode_changed(struct inode *i)
{
	i->generation++;
	i->hinted = 0;
}
uint64_t inode_generation(struct inode *i);

int xattr_is_ours(const char *name); /* user.deltaglider.* */
/* Its extended attributes are `text` now, "" for none; under inode_lock(). */
MUST_CHECK int inode_set_xattr(struct inode *i, const char *text);
/* All of its attributes are what was stored with `st`; under inode_lock(). */
MUST_CHECK int inode_take_attr(struct inode *i, const struct store_stat *st);
/* A copy of them for free(), or NULL: none.  0 or -ENOMEM. */
MUST_CHECK int inode_copy_xattr(struct inode *i, char **out);

/* What the bucket has, as far as we know; all four under inode_lock(). */
static inline struct object inode_object(const struct inode *i)
{
	struct object o;

	packed_get(&i->object, &o);
	return o;
}

static inline int inode_has_etag(const struct inode *i, const char *etag)
{
	return !strcmp(packed_etag(&i->object), etag);
}

static inline void inode_put_object(struct inode *i, const struct object *obj)
{
	packed_set(&i->object, obj);
}

/* The same with other attributes: see object_rewritten(). */
static inline void inode_rewritten(struct inode *i, const struct store_stat *st)
{
	struct object o = inode_object(i);

	object_rewritten(&o, st);
	packed_set(&i->object, &o);
}

/* Only one of these is kept, the last; for free() by the inode. */
static inline void *inode_swap_attempt(struct inode *i, struct attempt *a)
{
	void *had = i->attempt;

	i->attempt = a;
	i->has_target = 0;
	return had;
}

static inline void *inode_swap_target(struct inode *i, char *target)
{
	void *had = i->attempt;

	i->target = target;
	i->has_target = target != NULL;
	return had;
}

/* The bucket has `obj` under our name now; under inode_lock(). */
/*
 * Nobody has it open, and its bytes are others from now on; with volume.lock and
 * inode_lock().  The kernel is told now, and not only at the next open: of two at
 * once the one may read what is about to be dropped for the other; and answers
 * with attributes may overtake each other, so that the old size stays.
 */
void inode_replaced(struct inode *i);

void inode_set_object(struct inode *i, const struct object *obj);

/* resolve.c, lookup.c */
struct resolved {
	int directory, marker;
	struct object object;
	struct attr attr;
	char xattr[META_VALUE_MAX]; /* see fs/xattrs.h */
	uint64_t since_ms; /* when it was so; clock_ms(); 0: now */
	int hinted; /* as of the inode */
};
/* A directory that is there, with its marker's key; likewise. */
MUST_CHECK int resolve_marker(struct volume *v, const struct request *rq,
			      const struct key *slashed, struct resolved *out);
/* What the bucket has under that name.  0, -ENOENT, or the store's. */
MUST_CHECK int resolve(struct volume *v, const struct request *rq,
		       const struct key *key, struct resolved *out);
/* volume_lookup(), but what it finds is pinned instead of held. */
MUST_CHECK int lookup_pinned(struct volume *v, const struct request *rq,
			     struct inode *parent, const char *name,
			     struct inode **out);
/*
 * Somebody else's object may be a container of ours that lost its metadata on
 * the way: look at its first bytes, once a version.  0; -ESTALE if it turned
 * out to be one, which the inode stands for from now on; or an error.
 */
MUST_CHECK int inode_sniff(struct inode *i, const struct request *rq);
/* Bring a known inode up to date with the bucket if it is not fresh. */
MUST_CHECK int inode_refresh(struct inode *i, const struct request *rq);
/* HEAD, and a look into a container that lost its metadata. */
MUST_CHECK int object_head(struct volume *v, const struct store_call *call,
			   const char *key, struct object *out,
			   struct store_stat *st);

/* Is `name` ours in `dir`, so that nobody sees or makes it?  1, 0 or -errno. */
MUST_CHECK int name_hidden(struct volume *v, const struct request *rq,
			   struct inode *dir, const char *name);
/* 0, -ENAMETOOLONG, or -EPERM for ".dg" at the root. */
MUST_CHECK int name_usable(struct volume *v, struct inode *dir,
			   const char *name);
/* A new inode of what was resolved, in the table; or the one that was faster. */
MUST_CHECK int inode_of(struct volume *v, struct inode *dir, const char *name,
			const struct resolved *r, struct inode **out);

/* file.c */
struct inode *handle_inode(struct handle *h); /* borrowed */
/* The spool, with inode.data held for writing if 0 is returned. */
MUST_CHECK int inode_lock_spool(struct inode *i, const struct request *rq);
/* The whole content in the spool; caller holds inode.commit. */
MUST_CHECK int inode_copy_up(struct inode *i, const struct request *rq);
MUST_CHECK int inode_new_spool(struct inode *i, struct pagefile **out);
/*
 * If no handle is open, let go of the spool; what is still unsaved in it has
 * nobody left to save it, and is logged and counted as lost.
 */
void inode_settle(struct inode *i);

/* commit.c */
enum commit_when { COMMIT_NOW, COMMIT_UNLESS_EMPTY };
MUST_CHECK int inode_commit(struct inode *i, enum commit_when when);
/* The same with inode.commit held and the tree entered. */
MUST_CHECK int inode_commit_locked(struct inode *i, enum commit_when when);
/*
 * Put into what was stored with an object the attributes `a`, and the extended
 * ones of the inode.  0; -ENOSPC; -ENOMEM.
 */
MUST_CHECK int inode_describe(struct inode *i, const struct attr *a,
			      struct store_stat *st);
/* To store it with the same; borrows from `st`. */
void store_head_of(const struct store_stat *st, struct store_head *out);
/*
 * Store the attributes of a file whose bytes are in the bucket, likewise: `a`,
 * and the extended ones of the inode.
 */
MUST_CHECK int inode_commit_attr(struct inode *i, const struct attr *a);

/* names.c */
/* make.c */
/* The attributes of what `rq` makes in `parent`; `mode` has the type. */
struct attr attr_for_new(struct inode *parent, const struct request *rq,
			 mode_t mode);
/* Put the marker object of a directory.  0, -EEXIST, or the store's. */
MUST_CHECK int directory_mark(struct volume *v, const struct key *key,
			      const struct attr *a);
/* A marker for `dir`, so that it stays when it is empty; tree entered. */
MUST_CHECK int directory_keep(struct volume *v, struct inode *dir);
/* Nothing below but the marker?  0, -ENOTEMPTY, -EBUSY; `key` has its '/'. */
MUST_CHECK int directory_empty(struct volume *v, const struct request *rq,
			       struct inode *dir, const struct key *key);
/* rename_dir.c; within tree_move_begin().  `to`: an empty directory, or NULL. */
MUST_CHECK int rename_directory(struct volume *v, const struct request *rq,
				const struct rename *r, struct inode *from,
				struct inode *to);
/*
 * A symbolic link is about to be replaced: whoever walks through it just then
 * must not fail, so what it says is kept.
 */
void inode_keep_target(struct inode *i, const struct request *rq);
/*
 * The object under the file's name is about to go.  Get its bytes into the
 * spool if handles are open, and let nobody open it until inode_went(), whether
 * it went or not.  inode.commit held.
 */
void inode_going(struct inode *i, const struct request *rq);
void inode_went(struct inode *i);

/* What the store said of an error, or else what errno says; for the log. */
static inline const char *reason(int err, const struct store_error *error)
{
	return error->text[0] ? error->text : strerrordesc_np(-err);
}

/* Its key, for the log; or its number where it has none. */
#define LABEL_MAX (STORE_KEY_MAX + 1)
const char *inode_label(struct inode *i, char out[LABEL_MAX]);

static inline struct store_call call_of(const struct request *rq,
					struct store_error *error)
{
	return (struct store_call){ .cancel = rq ? rq->cancel : NULL,
				    .cancel_arg = rq ? rq->cancel_arg : NULL,
				    .error = error };
}

#endif
