// SPDX-License-Identifier: MIT
/* A table: every cell is kept until the widest of its column is known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "view.h"

#define WIDTH_MAX 80	/* a longer cell, some stranger's path, pushes its own row only */

struct cell {
	char *text;
	int width;
	enum colour colour;
};

struct table {
	const struct choice *choice;
	struct cell *cells;	/* row by row */
	size_t rows, room;
	bool human;
};

/* Whether standard output is a terminal that shows them. */
static bool colours(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") && !(no && *no);
}

/* Columns on the screen, which are not bytes. TEXT has been cleaned. */
static int width_of(const char *text)
{
	size_t n = mbstowcs(NULL, text, 0);
	wchar_t *wide;
	int width;

	if (n == (size_t)-1 || n == strlen(text))
		return (int)strlen(text);
	wide = need(calloc(n + 1, sizeof *wide));
	mbstowcs(wide, text, n + 1);
	width = wcswidth(wide, n);
	free(wide);
	return width < 0 ? (int)n : width;
}

static void row_begin(struct table *t)
{
	if (++t->rows <= t->room)
		return;
	t->room = t->room ? 2 * t->room : 64;
	t->cells = need(reallocarray(t->cells, t->room * t->choice->count, sizeof *t->cells));
}

static void cell_set(struct table *t, size_t column, char *text, enum colour colour)
{
	t->cells[(t->rows - 1) * t->choice->count + column] = (struct cell){ text, width_of(text), colour };
}

struct table *table_new(const struct choice *c, bool header, bool human)
{
	struct table *t = need(calloc(1, sizeof *t));
	char *title, *p;
	size_t i;

	t->choice = c;
	t->human = human;
	if (!header)
		return t;
	row_begin(t);
	for (i = 0; i < c->count; i++) {
		title = need(strdup(c->columns[i]->name));
		for (p = title; *p; p++)
			*p = (char)(*p - 'a' + 'A');	/* names are lower case letters only */
		cell_set(t, i, title, BOLD);
	}
	return t;
}

static enum colour row_colour(const struct row *r)
{
	if (row_leaked(r))
		return RED;
	if (row_orphaned(r))
		return YELLOW;
	return r->seg->removed ? DIM : PLAIN;
}

void table_add(struct table *t, const struct row *r)
{
	enum colour colour = row_colour(r);
	struct value v;
	size_t i;

	row_begin(t);
	for (i = 0; i < t->choice->count; i++) {
		v = t->choice->columns[i]->get(r);
		cell_set(t, i, value_text(r, &v, t->human), colour);
		free(v.text);
	}
}

static void cell_print(const struct cell *c, int width, bool right, bool last, bool colour)
{
	static const char *const codes[] = { "", "\033[1m", "\033[31m", "\033[33m", "\033[2m" };
	int space = width > c->width ? width - c->width : 0;

	if (right)
		printf("%*s", space, "");
	if (colour && c->colour != PLAIN)
		printf("%s%s\033[0m", codes[c->colour], c->text);
	else
		fputs(c->text, stdout);
	if (!last)
		printf("%*s", (right ? 0 : space) + 2, "");
}

void table_print(const struct table *t)
{
	size_t columns_shown = t->choice->count, i, row;
	int widths[COLUMNS_MAX] = { 0 };
	bool colour = colours();

	for (i = 0; i < t->rows * columns_shown; i++)
		if (t->cells[i].width > widths[i % columns_shown] && t->cells[i].width <= WIDTH_MAX)
			widths[i % columns_shown] = t->cells[i].width;
	for (row = 0; row < t->rows; row++) {
		for (i = 0; i < columns_shown; i++)
			cell_print(&t->cells[row * columns_shown + i], widths[i],
				   t->choice->columns[i]->right, i == columns_shown - 1, colour);
		putchar('\n');
	}
}

void table_free(struct table *t)
{
	size_t i;

	for (i = 0; i < t->rows * t->choice->count; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}
