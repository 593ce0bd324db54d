/* SPDX-License-Identifier: MIT */
#ifndef SMCTL_SURVEY_H
#define SMCTL_SURVEY_H

/* The system's segments at one moment, paired into objects. */

#include "smctl.h"

struct object {
	const struct sm_segment *data, *counter;	/* NULL: there is no such half */
	char *path;		/* as the counter records it, not to be believed; NULL if it records none */
	bool counted;		/* the counter could be read, so that what is below is known */
	bool marked;		/* libsm made the counter */
	int value, leaked;
	bool used;		/* it has had a holder, as far as can be told */
};

struct survey {
	struct sm_segment *segments;
	size_t count;
	struct object *objects;
	size_t object_count;
	struct object **of;	/* of[i]: the object that segments[i] is half of, or NULL */
	struct sm_usage *usage;	/* sorted by id */
	size_t usage_count;
	struct sm_holder *holders;	/* sorted by id, then pid */
	size_t holder_count;
	unsigned hidden;	/* processes that may not be looked into */
	unsigned unread;	/* counters that may not be read */
};

/* What costs more than the pass over the kernel's table, and is taken only if wanted. */
enum { SURVEY_COUNTERS = 1, SURVEY_HOLDERS = 2, SURVEY_USAGE = 4 };

/* 0, or FAILED (told). survey_free() may be called after either. */
int survey_take(struct survey *s, unsigned want);
void survey_free(struct survey *s);

/*
 * One thing to show or to act on: a segment, or an object (then SEG is its data half, or its lone counter).
 */
struct row {
	const struct survey *survey;
	const struct sm_segment *seg;
	const struct object *obj;	/* NULL: a plain segment */
	bool whole;			/* the row stands for the object, not for one half */
};

/* The row of segments[i], and of objects[i]. */
struct row survey_segment(const struct survey *s, size_t i);
struct row survey_object(const struct survey *s, size_t i);

/* The row that T names, its counter read; false if there is none. */
bool survey_find(struct survey *s, const struct target *t, struct row *out);

const struct sm_usage *survey_usage(const struct survey *s, int id);
/* The holders of segment ID: the first of *N in a row. */
const struct sm_holder *survey_holders(const struct survey *s, int id, size_t *n);

/* Attachments: of a segment, or the larger number of an object's two halves. */
unsigned long row_nattch(const struct row *r);
bool row_leaked(const struct row *r);
/*
 * Its counter is one as libsm or the class makes it. Other programs' segments can have such keys, too: what nobody named is
 * repaired, or taken for leaked or orphaned, only then.
 */
bool row_certain(const struct row *r);
/* No process has either half of the object attached. */
bool row_unattached(const struct row *r);
/* That, and it has had a holder, or has no data and records a path. */
bool row_orphaned(const struct row *r);
/* How many seconds ago it was last attached, detached or changed. */
time_t row_age(const struct row *r);
/* Malloc'd: the recorded path and proj_id, "?:A" where no path is recorded; NULL if not an object. */
char *row_name_raw(const struct row *r);
/* The same, clean for a terminal. */
char *row_name(const struct row *r);
/* Different key files can have the same key: warns if the object was made under another name than T's. */
void row_name_check(const struct row *r, const struct target *t);

#endif
