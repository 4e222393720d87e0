#include "fs/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/budget.h"
#include "crypto/clock.h"
#include "fs/inode.h"
#include "fs/log.h"

static int make_root(struct volume *v)
{
	struct timespec now = attr_now();
	int err;

	v->started = now;
	err = inode_new(v, 1, &v->root);
	if (err)
		return err;
	v->root->attr = (struct attr){
		.mode = S_IFDIR | v->conf.defaults.dir_mode,
		.uid = v->conf.defaults.uid,
		.gid = v->conf.defaults.gid,
		.atime = now,
		.mtime = now,
		.ctime = now,
	};
	return 0;
}

int volume_new(struct volume **out, const struct volume_conf *conf)
{
	struct volume *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return -ENOMEM;
	v->conf = *conf;
	v->prefix = strdup(conf->prefix);
	if (!v->prefix) {
		free(v);
		return -ENOMEM;
	}
	v->conf.prefix = v->prefix;
	if (!v->conf.encoders)
		v->conf.encoders = 1;
	conf->store->ops->caps(conf->store, &v->caps);
	atomic_init(&v->next_number, 1);
	(void)!clock_cond_init(&v->tree_changed);
	(void)pthread_mutex_init(&v->lock, NULL);
	for (size_t k = 0; k < INODE_LOCKS; k++)
		(void)pthread_mutex_init(&v->inode_locks[k], NULL);
	(void)pthread_mutex_init(&v->gate, NULL);
	(void)pthread_cond_init(&v->gate_open, NULL);
	(void)pthread_mutex_init(&v->wholes_lock, NULL);
	(void)pthread_mutex_init(&v->stats_lock, NULL);
	(void)pthread_mutex_init(&v->listed.lock, NULL);
	v->listed.end = &v->listed.first;
	defer_init(&v->defer);
	hints_init(&v->hints);
	err = make_root(v);
	if (!err)
		err = defer_start(v);
	if (!err)
		err = hints_start(v);
	if (err)
		volume_free(v);
	else
		*out = v;
	return err;
}

void volume_on_replaced(struct volume *v, volume_replaced_fn *fn, void *arg)
{
	v->on_replaced = fn;
	v->on_replaced_arg = arg;
}

uint64_t volume_entry_timeout_ms(const struct volume *v)
{
	return v->conf.entry_timeout_ms;
}

struct inode *volume_root(struct volume *v)
{
	return v->root;
}

/* Any inode in the table with unsaved bytes, pinned, past slot *at. */
static struct inode *next_unsaved(struct volume *v, size_t *at)
{
	struct inode *i, *found = NULL;
	int unsaved;

	(void)pthread_mutex_lock(&v->lock);
	for (; *at < NAME_SLOTS && !found; ++*at)
		for (i = v->names[*at]; i && !found; i = i->hash_next) {
			inode_lock(i);
			unsaved = i->unsaved;
			inode_unlock(i);
			if (unsaved) {
				i->pins++;
				found = i;
			}
		}
	if (found)
		--*at; /* there may be more in this slot */
	(void)pthread_mutex_unlock(&v->lock);
	return found;
}

void volume_shutdown(struct volume *v)
{
	char label[LABEL_MAX];
	struct inode *i;
	size_t at = 0;

	while ((i = next_unsaved(v, &at))) {
		int err = inode_commit(i, COMMIT_NOW);

		if (err) {
			log_error("%s: not stored at the end of the mount: %s",
				  inode_label(i, label), strerrordesc_np(-err));
			volume_count(v, &v->stats.lost_at_release, 1);
			inode_lock(i);
			i->unsaved = 0;
			inode_unlock(i);
		}
		inode_unpin(i);
	}
	defer_stop(v);
	hints_stop(v);
}

/* The kernel is gone and forgot nothing: let go of all that it knew. */
static void drop_all(struct volume *v)
{
	for (size_t at = 0; at < NAME_SLOTS;) {
		struct inode *i;

		(void)pthread_mutex_lock(&v->lock);
		i = v->names[at];
		if (i)
			i->pins++;
		(void)pthread_mutex_unlock(&v->lock);
		if (!i) {
			at++;
			continue;
		}
		names_remove(v, i);
		inode_forget(v, i, UINT64_MAX);
		inode_unpin(i);
	}
}

void volume_free(struct volume *v)
{
	if (!v)
		return;
	defer_stop(v);
	hints_stop(v);
	hints_clear(v);
	defer_clear(v);
	listing_clear(v);
	drop_all(v);
	if (v->root)
		inode_forget(v, v->root, UINT64_MAX);
	(void)pthread_mutex_destroy(&v->listed.lock);
	(void)pthread_mutex_destroy(&v->stats_lock);
	(void)pthread_mutex_destroy(&v->wholes_lock);
	(void)pthread_cond_destroy(&v->gate_open);
	(void)pthread_mutex_destroy(&v->gate);
	for (size_t k = 0; k < INODE_LOCKS; k++)
		(void)pthread_mutex_destroy(&v->inode_locks[k]);
	(void)pthread_mutex_destroy(&v->lock);
	(void)pthread_cond_destroy(&v->tree_changed);
	free(v->prefix);
	free(v);
}

void volume_stats(struct volume *v, struct volume_stats *out)
{
	(void)pthread_mutex_lock(&v->stats_lock);
	*out = v->stats;
	(void)pthread_mutex_unlock(&v->stats_lock);
	(void)pthread_mutex_lock(&v->lock);
	out->inodes = v->n_inodes;
	(void)pthread_mutex_unlock(&v->lock);
	hints_stats(v, out);
	out->spool_bytes = budget_used(v->conf.spool);
}
