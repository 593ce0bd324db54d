// SPDX-License-Identifier: MIT
/*
 * reap. Who passes by just now, to read the counter, is attached as a holder is, and hides one that died. So
 * "nothing leaked" is believed only after a while in which nobody came or went: the kernel's last pid stays
 * ours, and one who only passes by would have left.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "survey.h"

const struct flag reap_flags[] = {
	{ OPT_ALL, "all", NULL, "every object of the system (as without an operand)" },
	{ 0 },
};

#define WAIT_MS 1000	/* for one that others come to and go from */
#define STILL_MS 50	/* a scheduler may keep one who passes by for some of them */

struct repair {
	struct row row;
	int from, to, error;
	bool settled;
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

/* Settled are errors, repairs, and what counts nobody. */
static void repair(struct repair *r, bool strict)
{
	r->error = sm_counter_reap(r->row.obj->counter->id, WAIT_MS, &r->from, &r->to);
	/* What may be read only, and did not look leaked: not this user's to repair. */
	if (r->error == -EACCES && !strict && !row_leaked(&r->row))
		r->error = r->from = r->to = 0;
	r->settled = r->error || r->from != r->to || r->from <= 0;
}

/* Nobody but us came last, and all that are counted are attached. */
static bool still(const struct repair *r)
{
	struct sm_segment now;

	return !sm_segment_stat(r->row.obj->counter->id, &now) && now.lpid == getpid() &&
	       now.nattch >= (unsigned long)r->from;
}

/* One round of all that is not settled; how many of them are not. */
static size_t round_of(struct job *job, bool strict)
{
	struct timespec pause = { .tv_nsec = STILL_MS * 1000000L };
	size_t left = 0, i;

	for (i = 0; i < job->count; i++) {
		if (!job->repairs[i].settled)
			repair(&job->repairs[i], strict);
		left += !job->repairs[i].settled;
	}
	if (!left)
		return 0;
	nanosleep(&pause, NULL);
	for (i = 0; i < job->count; i++) {
		if (job->repairs[i].settled || !still(&job->repairs[i]))
			continue;
		job->repairs[i].settled = true;
		left--;
	}
	return left;
}

static int repair_all(struct job *job, bool strict)
{
	int status = DONE, rounds = WAIT_MS / STILL_MS;
	size_t i;

	while (round_of(job, strict) && --rounds)
		;
	for (i = 0; i < job->count; i++) {
		if (!job->repairs[i].settled)
			job->repairs[i].error = -EAGAIN;
		status |= repair_tell(&job->repairs[i], strict);
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
		if (r.obj->counted && r.obj->value > 0 && row_certain(&r))
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
