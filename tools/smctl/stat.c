// SPDX-License-Identifier: MIT
/* stat */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

const struct flag stat_flags[] = {
	{ OPT_ID, "id", "N", "the segment with this shmid, whoever made it" },
	{ OPT_JSON, "json", NULL, "JSON" },
	{ 'H', "human", NULL, "sizes as 4.0K, times as how long ago (3h12m)" },
	{ 0 },
};

static void line_print(const char *name, const char *value)
{
	printf("%s:%*s%s\n", name, 10 - (int)strlen(name), "", value);
}

static void holder_print(const struct sm_holder *h)
{
	char *comm = text_clean(h->comm), *user = text_clean(user_name(h->uid)), *text;

	text = text_new("%d %s (%s), %s", (int)h->pid, comm, user, h->writable ? "read-write" : "read-only");
	line_print("attached", text);
	free(text);
	free(user);
	free(comm);
}

static void text_show(const struct row *r, bool human)
{
	const struct column *c;
	struct holders h;
	struct value v;
	char *text;
	size_t i;

	for (c = columns; c->name; c++) {
		if (c->want & SURVEY_HOLDERS)
			continue;
		v = c->get(r);
		text = value_text(r, &v, human);
		line_print(c->name, text);
		free(text);
		free(v.text);
	}
	h = row_holders(r);
	for (i = 0; i < h.count; i++)
		holder_print(h.list[i]);
	free(h.list);
	if (r->survey->hidden) {
		text = text_new("%u process%s may not be looked into", r->survey->hidden,
				r->survey->hidden == 1 ? "" : "es");
		line_print("hidden", text);
		free(text);
	}
}

static void json_show(const struct row *r)
{
	struct choice all;
	json_t *j;

	choice_all(&all);
	j = row_json(r, &all);
	json_object_set_new(j, "hidden_processes", json_integer(r->survey->hidden));
	json_print(j);
}

int run_stat(int argc, char **argv)
{
	struct target t = NO_TARGET;
	bool json = false, human = false;
	struct survey s = { 0 };
	struct row r;
	int code, status = 0;

	while (!status && (code = flag_next(argc, argv, false)) != -1) {
		if (code == OPT_ID)
			status = target_id(&t, optarg);
		else if (code == OPT_JSON)
			json = true;
		else if (code == 'H')
			human = true;
		else
			status = USAGE;
	}
	status = status ? status : target_only(&t, argc - optind, argv + optind);
	status = status ? status : survey_take(&s, SURVEY_HOLDERS | SURVEY_USAGE);
	if (!status && !survey_find(&s, &t, &r))
		status = target_absent(&t);
	if (!status) {
		row_name_check(&r, &t);
		if (json)
			json_show(&r);
		else
			text_show(&r, human);
	}
	survey_free(&s);
	target_free(&t);
	return status;
}
