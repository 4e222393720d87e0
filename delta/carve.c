#include "delta/carve.h"

#include "delta/field.h"
#include "delta/index_private.h"
#include "delta/nature.h"

/* In eighths of a byte: the operation that a cut makes. */
#define CUT_COST     24
#define REPLACED_MIN 64
#define FIELDS_MIN   256 /* that tell what escapes are to be expected */
#define ESCAPE       40
#define SOLID        16 /* exact bytes that a bad stretch does not bridge */

/* Nothing of the old bytes is left: no number that changed, but other data. */
static int replaced(const uint8_t *t, const uint8_t *r, size_t len)
{
	size_t same = 0;

	for (size_t i = 0; i < len; i++)
		same += t[i] == r[i];
	return len >= REPLACED_MIN && same < len / 16;
}

/*
 * Where the next stretch between two exact runs of SOLID bytes begins, from
 * `i` on, where it ends, and how many fields it is.
 */
static size_t bad_stretch(const uint8_t *t, const uint8_t *r, size_t i,
			  size_t len, size_t *end, size_t *fields)
{
	size_t start, run;

	i += equal_run(t + i, r + i, len - i);
	start = i;
	*fields = 0;
	while (i < len) {
		++*fields;
		i += len - i < FIELD_LEN ? len - i : FIELD_LEN;
		run = equal_run(t + i, r + i, len - i);
		if (run >= SOLID || i + run == len)
			break;
		i += run;
	}
	*end = i;
	return start;
}

int carve(const struct carve *c, const struct match *m)
{
	const uint8_t *t = c->t + m->target, *r = c->ref + m->ref;
	size_t i = 0, done = 0, end, fields;
	struct match part;
	int err;

	while (i < m->len) {
		size_t start = bad_stretch(t, r, i, m->len, &end, &fields);

		i = end;
		if (fields * c->field_cost <=
			    (end - start) * c->literal_cost + CUT_COST &&
		    !replaced(t + start, r + start, end - start))
			continue;
		part = (struct match){ .target = m->target + done,
				       .ref = m->ref + done,
				       .len = start - done };
		err = c->copy(c->arg, &part);
		if (!err)
			err = c->literal(c->arg, m->target + start,
					 end - start);
		if (err)
			return err;
		done = end;
	}
	part = (struct match){ .target = m->target + done,
			       .ref = m->ref + done,
			       .len = m->len - done };
	return c->copy(c->arg, &part);
}

/* Compressed data stay as they are, code halves, text is a quarter. */
unsigned carve_literal_cost(const struct nature *n)
{
	return n->dense ? 8 : n->text ? 2 : 6;
}

/* A gap and a rank, and what is left of an escape once it is packed. */
unsigned carve_field_cost(const struct nature *n, uint64_t fields,
			  uint64_t escapes)
{
	if (n->text)
		return 20;
	return 8 + (fields < FIELDS_MIN
			    ? 12
			    : (unsigned)(ESCAPE * escapes / fields));
}
