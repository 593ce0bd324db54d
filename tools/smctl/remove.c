// SPDX-License-Identifier: MIT
/*
 * rm. Time passes between the list and the answer to the question, and a shmid is used again: right before
 * it acts, rm looks again whether the id is still that segment (key, size, creating process, time of
 * change), and whether what the options chose still is what they asked for.
 */
#include <errno.h>
#include <getopt.h>
#include <libsm/daemon.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "select.h"
#include "view.h"

const struct flag rm_flags[] = {
	{ OPT_ID, "id", "N", "the segment with this shmid only, not its other half" },
	FILTER_FLAGS,
	{ OPT_DRY_RUN, "dry-run", NULL, "list only" },
	{ 'y', "yes", NULL, "do not ask" },
	{ 0 },
};

struct removal {
	struct filter filter;
	struct target target;
	bool dry, yes, chosen;	/* CHOSEN: by options, so nothing attached may go */
	struct row *rows;
	size_t count, held;
};

static bool same(const struct sm_segment *a, const struct sm_segment *b)
{
	return a->key == b->key && a->size == b->size && a->cpid == b->cpid && a->ctime == b->ctime;
}

/* Whether SEG may still go; tells why not. */
static bool check(const struct removal *rm, const struct sm_segment *seg)
{
	struct sm_segment now;
	int error = sm_segment_stat(seg->id, &now);

	if (error < 0)
		fail("segment %d: %s", seg->id, error_text(error));
	else if (!same(seg, &now))
		fail("segment %d is another one now, or was changed since it was listed; it stays", seg->id);
	else if (rm->chosen && now.nattch)
		fail("segment %d was attached since it was listed; it stays", seg->id);
	else
		return true;
	return false;
}

static bool still_leaked(const struct row *r)
{
	int leaked;

	return !sm_counter_leaked(r->obj->counter->id, &leaked) && leaked > 0;
}

static int segment_remove(const struct sm_segment *seg)
{
	int error = sm_segment_remove(seg->id);

	return error < 0 ? fail("cannot remove segment %d: %s", seg->id, error_text(error)) : DONE;
}

/* Both halves of R; nobody is left with one of them. */
static int object_remove(const struct removal *rm, const struct row *r)
{
	const struct object *o = r->obj;
	int error = pair_destroy(o->data ? o->data->id : -1, o->counter->id, rm->chosen);

	if (error == -EBUSY)
		return fail("segment %d was attached since it was listed; it stays", r->seg->id);
	return error < 0 ? fail("cannot remove segment %d: %s", r->seg->id, error_text(error)) : DONE;
}

static int row_remove(const struct removal *rm, const struct row *r)
{
	bool pair = r->whole && r->obj && r->obj->counter;

	if (!check(rm, r->seg) || (pair && r->obj->counter != r->seg && !check(rm, r->obj->counter)))
		return FAILED;
	if (rm->filter.leaked && !still_leaked(r))
		return fail("segment %d is not leaked any more; it stays", r->seg->id);
	return pair ? object_remove(rm, r) : segment_remove(r->seg);
}

static void row_keep(struct removal *rm, const struct row *r)
{
	if (!filter_match(&rm->filter, r))
		return;
	if (row_nattch(r))
		rm->held++;
	else
		rm->rows[rm->count++] = *r;
}

/* An object goes as a whole, and counts as what its data segment is. */
static void choose(struct removal *rm, const struct survey *s)
{
	struct row r;
	size_t i;

	for (i = 0; i < s->object_count; i++) {
		r = survey_object(s, i);
		row_keep(rm, &r);
	}
	for (i = 0; i < s->count; i++) {
		r = survey_segment(s, i);
		if (!r.obj)
			row_keep(rm, &r);
	}
}

static void list_print(const struct removal *rm)
{
	struct choice c = { 0 };
	struct table *t;
	size_t i;

	choice_set(&c, "id,counter,owner,size,nattch,age,kind,state,name");
	t = table_new(&c, true, true);
	for (i = 0; i < rm->count; i++)
		table_add(t, &rm->rows[i]);
	if (rm->count)
		table_print(t);
	table_free(t);
	if (rm->held)
		warn_user("%zu more match%s but %s attached, and stay%s; 'smctl rm --id N' removes such a one",
			  rm->held, rm->held == 1 ? "es" : "", rm->held == 1 ? "is" : "are",
			  rm->held == 1 ? "s" : "");
	if (!rm->count)
		warn_user("nothing to remove");
}

static bool agreed(const struct removal *rm)
{
	char *line = NULL;
	size_t room = 0;
	bool yes;

	fflush(stdout);
	if (rm->count == 1)
		fprintf(stderr, "Remove it? [y/N] ");
	else
		fprintf(stderr, "Remove these %zu? [y/N] ", rm->count);
	yes = getline(&line, &room, stdin) > 0 && (line[0] == 'y' || line[0] == 'Y');
	free(line);
	if (!isatty(STDIN_FILENO))
		fputc('\n', stderr);	/* nobody pressed Enter */
	return yes;
}

static int act(const struct removal *rm)
{
	int status = DONE;
	size_t i;

	list_print(rm);
	if (!rm->count || rm->dry)
		return DONE;
	if (!rm->yes && !agreed(rm))
		return fail("nothing removed: the answer was not yes (--yes asks nothing)");
	for (i = 0; i < rm->count; i++)
		status |= row_remove(rm, &rm->rows[i]);
	return status;
}

static int run(struct removal *rm)
{
	struct survey s;
	int status = survey_take(&s, rm->chosen ? SURVEY_COUNTERS : 0);

	rm->rows = need(calloc(s.count + s.object_count + 1, sizeof *rm->rows));
	if (!status && rm->chosen)
		choose(rm, &s);
	else if (!status && survey_find(&s, &rm->target, rm->rows))
		rm->count = 1;
	else if (!status)
		status = target_absent(&rm->target);
	if (!status && !rm->chosen)
		row_name_check(rm->rows, &rm->target);
	status = status ? status : act(rm);
	free(rm->rows);
	survey_free(&s);
	return status;
}

static int option_take(struct removal *rm, int code)
{
	int status = filter_option(&rm->filter, code, optarg);

	if (status >= 0)
		return status;
	switch (code) {
	case OPT_ID:
		return target_id(&rm->target, optarg);
	case OPT_DRY_RUN:
		rm->dry = true;
		return 0;
	case 'y':
		rm->yes = true;
		return 0;
	default:
		return USAGE;
	}
}

int run_rm(int argc, char **argv)
{
	struct removal rm = { .target = NO_TARGET };
	int code, status = 0;

	while (!status && (code = flag_next(argc, argv, false)) != -1)
		status = option_take(&rm, code);
	rm.chosen = filter_any(&rm.filter);
	if (!status && rm.chosen && (rm.target.id >= 0 || optind < argc))
		status = misuse("name one thing, or choose by options: not both");
	if (!status && !rm.chosen)
		status = target_only(&rm.target, argc - optind, argv + optind);
	status = status ? status : run(&rm);
	target_free(&rm.target);
	return status;
}
