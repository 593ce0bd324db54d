// SPDX-License-Identifier: MIT
/* reap. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "survey.h"

const struct flag reap_flags[] = {
	{ OPT_ALL, "all", NULL, "every object of the system (as without an operand)" },
	{ 0 },
};

#define WAIT_MS 1000	/* for one that others come to and go from */

struct repair {
	struct row row;
	int from, to, error;
};

struct job {
	struct repair *repairs;
	size_t count;
};

/* With STRICT the user named it: that it is gone is then an error. */
static int repair_tell(const struct repair *r, bool strict)
{
	char *name = row_name(&r->row);
	int status = DONE;

	if (r->error == -EIDRM && !strict)
		status = DONE;
	else if (r->error < 0)
		status = fail("cannot repair %s: %s", name, error_text(r->error));
	else if (r->from != r->to)
		printf("%s: %d -> %d\n", name, r->from, r->to);
	free(name);
	return status;
}

static int repair_all(struct job *job, bool strict)
{
	int status = DONE;

	for (size_t i = 0; i < job->count; i++) {
		struct repair *r = &job->repairs[i];

		r->error = sm_counter_reap(r->row.obj->counter->id, WAIT_MS, &r->from, &r->to);
		status |= repair_tell(r, strict);
	}
	return status;
}

static int reap_all(void)
{
	struct job job = { 0 };
	struct survey s;
	struct row r;
	size_t i;
	int status = survey_take(&s, SURVEY_COUNTERS);

	job.repairs = need(calloc(s.object_count + 1, sizeof *job.repairs));
	for (i = 0; !status && i < s.object_count; i++) {
		r = survey_object(&s, i);
		if (row_leaked(&r))
			job.repairs[job.count++].row = r;
	}
	status = status ? status : repair_all(&job, false);
	if (s.unread)
		warn_user("%u counter%s may not be read by this user, and stay%s as they are", s.unread,
			  s.unread == 1 ? "" : "s", s.unread == 1 ? "s" : "");
	free(job.repairs);
	survey_free(&s);
	return status;
}

static int reap_one(const struct target *t)
{
	struct repair repair = { 0 };
	struct job job = { .repairs = &repair, .count = 1 };
	struct survey s;
	int status = survey_take(&s, 0);

	if (!status && (!survey_find(&s, t, &repair.row) || !repair.row.obj || !repair.row.obj->counter))
		status = target_absent(t);
	status = status ? status : repair_all(&job, true);
	survey_free(&s);
	return status;
}

int run_reap(int argc, char **argv)
{
	struct target t = NO_TARGET;
	bool all = argc == 1;
	int code, status;

	while ((code = flag_next(argc, argv, false)) != -1) {
		if (code != OPT_ALL)
			return USAGE;
		all = true;
	}
	if (all) {
		status = operands_end(argc - optind, argv + optind);
		return status ? status : reap_all();
	}
	status = target_only(&t, argc - optind, argv + optind);
	status = status ? status : reap_one(&t);
	target_free(&t);
	return status;
}
