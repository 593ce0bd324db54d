/* SPDX-License-Identifier: MIT */
#ifndef SMCTL_VIEW_H
#define SMCTL_VIEW_H

/* How rows are shown: columns, tables, JSON. */

#include <jansson.h>

#include "survey.h"

struct value {
	enum { NOTHING, NUMBER, SIZE, TIME, SPAN, TEXT, MODE, KEY, HOLDERS } type;
	long long number;
	char *text;	/* malloc'd */
};

struct column {
	const char *name;
	struct value (*get)(const struct row *r);
	bool right;	/* aligned right */
	unsigned want;	/* SURVEY_ of what it needs */
	const char *help;
};

#define COLUMNS_MAX 40

struct choice {
	const struct column *columns[COLUMNS_MAX];
	size_t count;
};

extern const struct column columns[];	/* ends with a null name */

/* The columns in LIST, a '+' before which adds to what is there already. 0 or USAGE (told). */
int choice_set(struct choice *c, const char *list);
void choice_all(struct choice *c);
unsigned choice_want(const struct choice *c);
void columns_help(void);

/* Malloc'd. */
char *value_text(const struct row *r, const struct value *v, bool human);
json_t *row_json(const struct row *r, const struct choice *c);
/* Prints and frees it. */
void json_print(json_t *j);
/* A JSON string of strangers' bytes. */
json_t *json_text(const char *text);

/* Who has a row's segment, or an object's two, attached: one entry per process. */
struct holders {
	const struct sm_holder **list;	/* malloc'd, sorted by pid */
	size_t count;
};
struct holders row_holders(const struct row *r);

/* A table of texts, aligned when it is printed. */
enum colour { PLAIN, BOLD, RED, YELLOW, DIM };

struct table;
struct table *table_new(const struct choice *c, bool header, bool human);
void table_add(struct table *t, const struct row *r);
void table_print(const struct table *t);
void table_free(struct table *t);

#endif
