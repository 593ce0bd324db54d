// SPDX-License-Identifier: MIT
/*
 * One table per verb says which options it has; getopt_long's tables and the help text are both made from it,
 * so that they cannot differ.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

#define FLAGS_MAX 24

static const struct flag help_flag = { 'h', "help", NULL, "print this and end" };

static size_t short_add(char *shorts, size_t at, const struct flag *f)
{
	if (f->code >= OPT_ALL)
		return at;
	shorts[at++] = (char)f->code;
	if (f->arg)
		shorts[at++] = ':';
	return at;
}

static void long_add(struct option *o, const struct flag *f)
{
	*o = (struct option){ f->name, f->arg ? required_argument : no_argument, NULL, f->code };
}

static void flag_print(const struct flag *f)
{
	char left[64];

	snprintf(left, sizeof left, "%s%c%s--%s%s%s", f->code < OPT_ALL ? "-" : "",
		 f->code < OPT_ALL ? f->code : ' ', f->code < OPT_ALL ? ", " : "   ", f->name,
		 f->arg ? " " : "", f->arg ? f->arg : "");
	printf("  %-24s %s\n", left, f->help);
}

static void verb_help(const struct verb *v)
{
	const struct flag *f;

	printf("usage: smctl %s %s\n\n%s.\n\n", v->name, v->args, v->help);
	for (f = v->flags; f->code; f++)
		flag_print(f);
	flag_print(&help_flag);
	if (v->more)
		printf("\n%s\n", v->more);
	if (v->run == run_ls)
		columns_help();
}

int flag_next(int argc, char **argv, bool operands_end)
{
	struct option longs[FLAGS_MAX + 2] = { 0 };
	char shorts[2 * FLAGS_MAX + 4] = "";
	size_t at = 0, n = 0;
	const struct flag *f;
	int code;

	if (operands_end)
		shorts[at++] = '+';
	for (f = verb->flags; f->code && n < FLAGS_MAX; f++) {
		at = short_add(shorts, at, f);
		long_add(&longs[n++], f);
	}
	at = short_add(shorts, at, &help_flag);
	long_add(&longs[n], &help_flag);
	shorts[at] = '\0';
	code = getopt_long(argc, argv, shorts, longs, NULL);
	if (code == 'h') {
		verb_help(verb);
		exit(output_end(DONE));
	}
	if (code == '?')
		fprintf(stderr, "smctl: 'smctl %s --help' tells what it takes\n", verb->name);
	return code;
}
