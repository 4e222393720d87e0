#ifndef DELTA_FIELD_H
#define DELTA_FIELD_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/bytes.h"

/*
 * Differences inside a copy are numbers that changed: addresses above all,
 * since whatever was put in or taken out moves what lies behind it.  A field is
 * up to four bytes from the first that differs, read as a little-endian number;
 * what it changed by is predicted from how its neighbours changed, so that most
 * fields cost a byte that says "as predicted".  (The idea of undoing the moves
 * of branch targets before comparing is S. Adams', "Courgette", 2009; it
 * disassembles, this only guesses.)  The exact rules are in delta/FORMAT.md,
 * "Fields"; encoder and decoder run the same ones.
 *
 * Inline, because a binary has one every thirty bytes.
 */
#define FIELD_LEN    4
#define FIELD_RECENT 254 /* changes that a rank can name */
#define FIELD_RING   256
#define FIELD_ESCAPE 255 /* rank: none of the above */
#define FIELD_LEVELS 3
#define FIELD_SLOTS  1024

enum field_context {
	FIELD_VALUE, /* an offset or a pointer: keyed by what it was */
	FIELD_BRANCH, /* relative to itself: keyed by what it points to */
	FIELD_CONTEXTS
};

struct field_slot {
	uint32_t key; /* plus one; 0: empty */
	uint32_t change;
};

/* Zero-initialise, and again for every block. */
struct field_model {
	struct field_slot slot[FIELD_CONTEXTS][FIELD_LEVELS][FIELD_SLOTS];
	uint32_t last[FIELD_CONTEXTS];
	uint32_t recent[FIELD_CONTEXTS][FIELD_RING];
	uint8_t newest[FIELD_CONTEXTS]; /* in recent */
};

/* One field of a copy. */
struct field {
	enum field_context context;
	uint32_t key;
	uint32_t moved; /* what a branch's change is less than it says */
};

static inline uint32_t field_load(const uint8_t *p, size_t width)
{
	uint32_t v = 0;

	if (width == FIELD_LEN)
		return le32_get(p);
	for (size_t i = 0; i < width; i++)
		v |= (uint32_t)p[i] << (8 * i);
	return v;
}

static inline void field_store(uint8_t *p, size_t width, uint32_t v)
{
	if (width == FIELD_LEN) {
		le32_put(p, v);
		return;
	}
	for (size_t i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* `v`, which has so many bytes, as a signed number of four. */
static inline uint32_t field_extend(uint32_t v, size_t width)
{
	unsigned unused = 8 * (FIELD_LEN - (unsigned)width);

	return (uint32_t)((int32_t)(v << unused) >> unused);
}

/* Do the two bytes before a field begin an x86 instruction's relative operand? */
static inline int field_is_operand(const uint8_t before[2])
{
	return before[1] == 0xe8 || before[1] == 0xe9 ||
	       (before[0] == 0x0f && (before[1] & 0xf0) == 0x80) ||
	       (before[1] & 0xc7) == 0x05;
}

/*
 * The field at `at` of a copy whose target bytes, so far, start at `copied`,
 * which stands at `ref_pos` in the reference and at `target_pos` in its window.
 */
static inline struct field field_at(const uint8_t *copied, size_t at,
				    size_t width, uint32_t old,
				    uint32_t ref_pos, uint32_t target_pos)
{
	struct field f = { .context = FIELD_VALUE, .key = old };

	if (width == FIELD_LEN && at >= 2 &&
	    field_is_operand(copied + at - 2)) {
		f.context = FIELD_BRANCH;
		f.key = ref_pos + (uint32_t)at + FIELD_LEN + old;
		f.moved = target_pos - ref_pos;
	}
	return f;
}

/* Where the model has what it knows of one field, finest first. */
struct field_place {
	struct field_slot *slot[FIELD_LEVELS];
	uint32_t key[FIELD_LEVELS];
};

static inline struct field_place field_find(struct field_model *m,
					    const struct field *f)
{
	static const unsigned shift[FIELD_LEVELS] = { 2, 7, 12 };
	struct field_place at;

	for (int i = 0; i < FIELD_LEVELS; i++) {
		uint32_t key = (f->key >> shift[i]) + 1;

		at.key[i] = key;
		at.slot[i] = &m->slot[f->context][i][(key * 2654435761u) >> 22];
	}
	return at;
}

static inline uint32_t field_predict(const struct field_model *m,
				     const struct field *f,
				     const struct field_place *at)
{
	for (int i = 0; i < FIELD_LEVELS; i++)
		if (at->slot[i]->key == at->key[i])
			return at->slot[i]->change;
	return m->last[f->context];
}

static inline void field_learn(struct field_model *m, const struct field *f,
			       const struct field_place *at, uint32_t change)
{
	for (int i = 0; i < FIELD_LEVELS; i++)
		*at->slot[i] = (struct field_slot){ at->key[i], change };
	m->last[f->context] = change;
}

/* The change remembered `age` others ago. */
static inline uint32_t field_recall(const struct field_model *m,
				    enum field_context c, unsigned age)
{
	return m->recent[c][(uint8_t)(m->newest[c] - age)];
}

static inline void field_remember(struct field_model *m, enum field_context c,
				  uint32_t change)
{
	m->recent[c][++m->newest[c]] = change;
}

#endif
