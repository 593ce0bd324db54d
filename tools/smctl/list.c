// SPDX-License-Identifier: MIT
/* ls */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "select.h"
#include "view.h"

const struct flag ls_flags[] = {
	{ OPT_OBJECTS, "objects", NULL, "objects only, one line each" },
	FILTER_FLAGS,
	{ 'o', "output", "COLUMNS", "show these columns" },
	{ OPT_JSON, "json", NULL, "JSON; every column, if -o names none" },
	{ 'H', "human", NULL, "sizes as 4.0K, times as how long ago (3h12m)" },
	{ 'n', "no-header", NULL, "no line of column names" },
	{ 0 },
};

struct listing {
	struct filter filter;
	struct choice choice;
	const char *output;
	bool objects, json, human, headless;
};

static int option_take(struct listing *l, int code)
{
	int status = filter_option(&l->filter, code, optarg);

	if (status >= 0)
		return status;
	switch (code) {
	case OPT_OBJECTS:
		l->objects = true;
		return 0;
	case 'o':
		l->output = optarg;
		return 0;
	case OPT_JSON:
		l->json = true;
		return 0;
	case 'H':
		l->human = true;
		return 0;
	case 'n':
		l->headless = true;
		return 0;
	default:
		return USAGE;
	}
}

static int columns_choose(struct listing *l)
{
	l->objects |= filter_objects(&l->filter);
	if (l->json && !l->output)
		choice_all(&l->choice);
	else if (l->objects)
		choice_set(&l->choice, "id,owner,mode,size,refcount,nattch,leaked,state,name");
	else
		choice_set(&l->choice, "id,key,owner,mode,size,nattch,kind,name");
	return l->output ? choice_set(&l->choice, l->output) : 0;
}

static void row_take(const struct listing *l, const struct row *r, struct table *t, json_t *list)
{
	if (!filter_match(&l->filter, r))
		return;
	if (l->json)
		json_array_append_new(list, row_json(r, &l->choice));
	else
		table_add(t, r);
}

static void rows_take(const struct listing *l, const struct survey *s, struct table *t, json_t *list)
{
	size_t i, n = l->objects ? s->object_count : s->count;
	struct row r;

	for (i = 0; i < n; i++) {
		r = l->objects ? survey_object(s, i) : survey_segment(s, i);
		row_take(l, &r, t, list);
	}
}

static void json_show(const struct listing *l, const struct survey *s, json_t *list, unsigned want)
{
	json_t *top = need(json_object());

	json_object_set_new(top, l->objects ? "objects" : "segments", list);
	if (want & SURVEY_HOLDERS)
		json_object_set_new(top, "hidden_processes", json_integer(s->hidden));
	json_print(top);
}

/* What the listing cannot know is said, so that nobody takes "-" or a missing line for the truth. */
static void gaps_tell(const struct survey *s, unsigned want)
{
	if (s->unread && want & SURVEY_COUNTERS)
		warn_user("%u counter%s may not be read by this user: names, counts and leaks are not known "
			  "there", s->unread, s->unread == 1 ? "" : "s");
	if (s->hidden && want & SURVEY_HOLDERS)
		warn_user("%u process%s may not be looked into by this user: holders may be missing",
			  s->hidden, s->hidden == 1 ? "" : "es");
}

int run_ls(int argc, char **argv)
{
	struct listing l = { 0 };
	struct survey s;
	struct table *t;
	json_t *list;
	unsigned want;
	int code, status;

	while ((code = flag_next(argc, argv, false)) != -1) {
		status = option_take(&l, code);
		if (status)
			return status;
	}
	status = operands_end(argc - optind, argv + optind);
	status = status ? status : columns_choose(&l);
	if (status)
		return status;
	want = choice_want(&l.choice) | (l.objects ? SURVEY_COUNTERS : 0);
	status = survey_take(&s, want);
	if (!status) {
		t = table_new(&l.choice, !l.headless, l.human);
		list = need(json_array());
		rows_take(&l, &s, t, list);
		if (l.json)
			json_show(&l, &s, json_incref(list), want);
		else
			table_print(t);
		gaps_tell(&s, want);
		json_decref(list);
		table_free(t);
	}
	survey_free(&s);
	return status;
}
