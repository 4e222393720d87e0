#include "delta/pipeline.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MAX 17
#define QUEUE     64

/* One window, from building to leaving. */
struct slot {
	struct window window;
	struct window_packer *packer;
	const struct window_packing *how;
	struct bytes out;
	void *started;
	int err;
	int busy;
};

/* What waits to leave, in order. */
struct item {
	struct delta_extent extent;
	struct slot *slot; /* NULL: a copy */
};

struct pipeline {
	struct pipeline_conf conf;
	struct slot slot[SLOTS_MAX];
	unsigned slots;
	struct slot *building;
	struct item queue[QUEUE];
	unsigned first, n;
};

static int slot_init(struct slot *s, const struct window_packing *how)
{
	int err;

	s->how = how;
	err = window_init(&s->window);
	return err ? err : window_packer_new(&s->packer);
}

int pipeline_new(struct pipeline **out, const struct pipeline_conf *conf)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->conf = *conf;
	p->slots = conf->tasks ? conf->tasks->width + 1 : 1;
	if (p->slots > SLOTS_MAX)
		p->slots = SLOTS_MAX;
	for (unsigned i = 0; !err && i < p->slots; i++)
		err = slot_init(&p->slot[i], &p->conf.how);
	if (err) {
		pipeline_free(p);
		return err;
	}
	p->building = &p->slot[0];
	*out = p;
	return 0;
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->n; i++) {
		struct slot *s = p->queue[(p->first + i) % QUEUE].slot;

		if (s && s->started && p->conf.tasks)
			p->conf.tasks->wait(p->conf.tasks->arg, s->started);
	}
	for (unsigned i = 0; i < p->slots; i++) {
		window_clear(&p->slot[i].window);
		window_packer_free(p->slot[i].packer);
		bytes_clear(&p->slot[i].out);
	}
	free(p);
}

struct window *pipeline_window(struct pipeline *p)
{
	return &p->building->window;
}

static void pack(void *task)
{
	struct slot *s = task;

	s->out.len = 0;
	s->err = window_pack(s->packer, &s->window, s->how, &s->out);
}

/* The oldest leaves. */
static int retire(struct pipeline *p)
{
	struct item *i = &p->queue[p->first];
	struct slot *s = i->slot;
	int err = 0;

	p->first = (p->first + 1) % QUEUE;
	p->n--;
	if (s) {
		if (s->started && p->conf.tasks)
			p->conf.tasks->wait(p->conf.tasks->arg, s->started);
		s->started = NULL;
		s->busy = 0;
		err = s->err;
		i->extent.len = (uint32_t)s->out.len;
		if (!err)
			err = p->conf.emit(p->conf.emit_arg, &s->out);
	}
	return err ? err : delta_table_add(p->conf.table, &i->extent);
}

static int queue_up(struct pipeline *p, const struct item *i)
{
	int err = p->n == QUEUE ? retire(p) : 0;

	if (!err)
		p->queue[(p->first + p->n++) % QUEUE] = *i;
	return err;
}

static struct slot *idle(struct pipeline *p)
{
	for (unsigned i = 0; i < p->slots; i++)
		if (!p->slot[i].busy)
			return &p->slot[i];
	return NULL;
}

int pipeline_put_window(struct pipeline *p)
{
	struct slot *s = p->building;
	struct item i = { .extent = { .kind = DELTA_WINDOW,
				      .target_len = s->window.target_len },
			  .slot = s };
	int err;

	err = window_finish(&s->window);
	if (!err)
		err = queue_up(p, &i);
	if (err)
		return err;
	s->busy = 1;
	if (p->conf.tasks)
		s->started = p->conf.tasks->start(p->conf.tasks->arg, pack, s);
	else
		pack(s);
	while (!idle(p)) {
		err = retire(p);
		if (err)
			return err;
	}
	p->building = idle(p);
	return 0;
}

int pipeline_put_copy(struct pipeline *p, const struct delta_extent *e)
{
	struct item i = { .extent = *e };

	return p->n ? queue_up(p, &i) : delta_table_add(p->conf.table, e);
}

int pipeline_drain(struct pipeline *p)
{
	int err = 0;

	while (!err && p->n)
		err = retire(p);
	return err;
}
