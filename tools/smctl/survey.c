// SPDX-License-Identifier: MIT
/*
 * The kernel knows segments only; which two make an object follows from their keys. A data key with its
 * counter key beside it is an object. A counter alone is half of one if it is of the size that libsm makes
 * and records a path; an old program's lone counter, or lone data, looks like any other program's segment
 * and counts as that.
 *
 * Counters are attached for some microseconds to be read. No other segment is: programs decide by the
 * number of attachments whether a segment is in use.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "survey.h"

static int by_key(const void *a, const void *b)
{
	const struct sm_segment *const *x = a, *const *y = b;

	return ((*x)->key > (*y)->key) - ((*x)->key < (*y)->key);
}

/* The segments sorted by key, as pointers. */
static const struct sm_segment **index_new(const struct survey *s)
{
	const struct sm_segment **index = need(calloc(s->count + 1, sizeof *index));
	size_t i;

	for (i = 0; i < s->count; i++)
		index[i] = &s->segments[i];
	qsort(index, s->count, sizeof *index, by_key);
	return index;
}

static const struct sm_segment *index_find(const struct survey *s, const struct sm_segment **index, key_t key)
{
	const struct sm_segment wanted = { .key = key }, *p = &wanted, **hit;

	hit = bsearch(&p, index, s->count, sizeof *index, by_key);
	return hit ? *hit : NULL;
}

static struct object *object_add(struct survey *s, const struct sm_segment *data,
				 const struct sm_segment *counter)
{
	struct object *o = &s->objects[s->object_count++];

	*o = (struct object){ .data = data, .counter = counter };
	if (data)
		s->of[data - s->segments] = o;
	if (counter)
		s->of[counter - s->segments] = o;
	return o;
}

/* Whether a counter key without data may be attached to see what it records. */
static bool lone_counter(const struct sm_segment *seg)
{
	return sm_key_is_counter(seg->key) && seg->size == SM_COUNTER_SIZE;
}

/*
 * Whether an object has had a holder. libsm's leave their mark beside the counter; old programs do not, but
 * what they made records no path, and then an attach of the data was a holder's.
 */
static bool was_used(const struct object *o, const struct sm_counter *counter)
{
	return counter->value || counter->changes || (!counter->path[0] && o->data && o->data->atime);
}

static void object_read(struct survey *s, struct object *o)
{
	struct sm_counter counter;
	int error = sm_counter_load(o->counter->id, &counter);

	if (error == -EACCES)
		s->unread++;
	if (error < 0)
		return;
	o->counted = true;
	o->marked = counter.marked;
	o->value = counter.value;
	o->used = was_used(o, &counter);
	if (counter.path[0])
		o->path = need(strdup(counter.path));
	/*
	 * The table is older than the counter: somebody may have joined between, so look at the two
	 * together.
	 */
	if (o->value > 0 && (unsigned long)o->value > o->counter->nattch &&
	    sm_counter_leaked(o->counter->id, &o->leaked) < 0)
		o->leaked = 0;
}

static void lone_read(struct survey *s, const struct sm_segment *seg)
{
	struct object *o = object_add(s, NULL, seg);
	unsigned unread = s->unread;

	object_read(s, o);
	if (o->path)
		return;
	s->unread = unread;
	s->of[seg - s->segments] = NULL;
	s->object_count--;
}

static void pair(struct survey *s, bool read)
{
	const struct sm_segment **index = index_new(s), *seg, *other;
	size_t i;

	for (i = 0; i < s->count; i++) {
		seg = &s->segments[i];
		if (sm_key_is_data(seg->key)) {
			other = index_find(s, index, sm_key_counter(seg->key));
			if (!other || other->size < sizeof(int))
				continue;
			object_add(s, seg, other);
			if (read)
				object_read(s, &s->objects[s->object_count - 1]);
		} else if (read && lone_counter(seg) && !index_find(s, index, sm_key_data(seg->key))) {
			lone_read(s, seg);
		}
	}
	free(index);
}

static int survey_extras(struct survey *s, unsigned want)
{
	ssize_t n;

	if (want & SURVEY_HOLDERS) {
		n = sm_holder_list(-1, &s->holders, &s->hidden);
		if (n < 0)
			return fail("cannot look for holders in /proc: %s", error_text((int)n));
		s->holder_count = (size_t)n;
	}
	if (want & SURVEY_USAGE) {
		n = sm_usage_list(&s->usage);
		if (n < 0)
			return fail("cannot read /proc/sysvipc/shm: %s", error_text((int)n));
		s->usage_count = (size_t)n;
	}
	return 0;
}

int survey_take(struct survey *s, unsigned want)
{
	ssize_t n;

	*s = (struct survey){ 0 };
	n = sm_segment_list(&s->segments);
	if (n < 0)
		return fail("cannot list the segments: %s", error_text((int)n));
	s->count = (size_t)n;
	s->of = need(calloc(s->count + 1, sizeof(struct object *)));
	/* One more than there can be: survey_find() may add a lone counter. */
	s->objects = need(calloc(s->count + 2, sizeof *s->objects));
	pair(s, want & SURVEY_COUNTERS);
	return survey_extras(s, want);
}

void survey_free(struct survey *s)
{
	size_t i;

	for (i = 0; i < s->object_count; i++)
		free(s->objects[i].path);
	free(s->objects);
	free(s->of);
	free(s->usage);
	free(s->holders);
	free(s->segments);
}

struct row survey_segment(const struct survey *s, size_t i)
{
	return (struct row){ .survey = s, .seg = &s->segments[i], .obj = s->of[i] };
}

struct row survey_object(const struct survey *s, size_t i)
{
	const struct object *o = &s->objects[i];

	return (struct row){ .survey = s, .seg = o->data ? o->data : o->counter, .obj = o, .whole = true };
}

static size_t find_id(const struct survey *s, int id)
{
	size_t i;

	for (i = 0; i < s->count && s->segments[i].id != id; i++)
		;
	return i;
}

static size_t find_key(const struct survey *s, key_t key)
{
	size_t i;

	for (i = 0; i < s->count && s->segments[i].key != key; i++)
		;
	return i;
}

bool survey_find(struct survey *s, const struct target *t, struct row *out)
{
	size_t i = t->path ? find_key(s, t->key) : find_id(s, t->id);

	if (i == s->count && t->path) {
		i = find_key(s, sm_key_counter(t->key));
		if (i < s->count && !s->of[i])
			object_add(s, NULL, &s->segments[i]);
	}
	if (i == s->count)
		return false;
	if (s->of[i] && !s->of[i]->counted)
		object_read(s, s->of[i]);
	*out = survey_segment(s, i);
	out->whole = t->path;
	return true;
}

static int usage_by_id(const void *id, const void *usage)
{
	int wanted = *(const int *)id, found = ((const struct sm_usage *)usage)->id;

	return (wanted > found) - (wanted < found);
}

const struct sm_usage *survey_usage(const struct survey *s, int id)
{
	return s->usage_count ? bsearch(&id, s->usage, s->usage_count, sizeof *s->usage, usage_by_id) : NULL;
}

const struct sm_holder *survey_holders(const struct survey *s, int id, size_t *n)
{
	size_t low = 0, high = s->holder_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (s->holders[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	for (*n = 0; low + *n < s->holder_count && s->holders[low + *n].id == id; ++*n)
		;
	return s->holders + low;
}
