// SPDX-License-Identifier: MIT
/* Which columns are shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

static const struct column *column_find(const char *name)
{
	const struct column *c;

	for (c = columns; c->name; c++)
		if (!strcasecmp(c->name, name))
			return c;
	return NULL;
}

static int choice_add(struct choice *c, const char *name)
{
	const struct column *column = column_find(name);
	char *clean;
	size_t i;

	if (!column) {
		clean = text_clean(name);
		misuse("there is no column '%s'; 'smctl ls --help' lists them", clean);
		free(clean);
		return USAGE;
	}
	for (i = 0; i < c->count; i++)
		if (c->columns[i] == column)
			return 0;
	c->columns[c->count++] = column;	/* none twice, so there is room */
	return 0;
}

int choice_set(struct choice *c, const char *list)
{
	char *copy, *rest, *name;
	int status = 0;

	if (*list == '+')
		list++;
	else
		c->count = 0;
	rest = copy = need(strdup(list));
	while (!status && (name = strsep(&rest, ",")))
		status = choice_add(c, name);
	free(copy);
	return status;
}

void choice_all(struct choice *c)
{
	for (c->count = 0; columns[c->count].name; c->count++)
		c->columns[c->count] = &columns[c->count];
}

unsigned choice_want(const struct choice *c)
{
	unsigned want = 0;
	size_t i;

	for (i = 0; i < c->count; i++)
		want |= c->columns[i]->want;
	return want;
}

void columns_help(void)
{
	const struct column *c;

	for (c = columns; c->name; c++)
		printf("  %-10s %s\n", c->name, c->help);
}
