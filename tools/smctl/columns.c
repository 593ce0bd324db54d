// SPDX-License-Identifier: MIT
/* Every column of ls, which is every line of stat and every member of a JSON object too. */
#include <stdlib.h>
#include <string.h>

#include "view.h"

static struct value number(long long n)
{
	return (struct value){ .type = NUMBER, .number = n };
}

static struct value text(const char *s)
{
	return (struct value){ .type = TEXT, .text = need(strdup(s)) };
}

/* TEXT is given away; NULL is nothing. */
static struct value given(char *s)
{
	return (struct value){ .type = s ? TEXT : NOTHING, .text = s };
}

static struct value typed(int type, long long n)
{
	return (struct value){ .type = type, .number = n };
}

static struct value moment(time_t t)
{
	return t ? typed(TIME, t) : typed(NOTHING, 0);
}

static struct value get_id(const struct row *r) { return number(r->seg->id); }
static struct value get_key(const struct row *r) { return typed(KEY, (unsigned)r->seg->key); }
static struct value get_name(const struct row *r) { return given(row_name_raw(r)); }

static struct value get_path(const struct row *r)
{
	return given(r->obj && r->obj->path ? need(strdup(r->obj->path)) : NULL);
}

static struct value get_proj(const struct row *r)
{
	const struct object *o = r->obj;

	if (!o)
		return given(NULL);
	return given(text_new("%c", sm_key_proj(o->data ? o->data->key : sm_key_data(o->counter->key))));
}

static struct value get_kind(const struct row *r)
{
	if (!r->obj)
		return text("plain");
	if (r->whole && r->obj->data)
		return text("object");
	return text(r->seg == r->obj->data ? "data" : "counter");
}

static struct value get_state(const struct row *r)
{
	bool leaked = row_leaked(r), orphaned = row_orphaned(r);

	if (!r->obj)
		return r->seg->nattch ? text("held") : given(NULL);
	if (leaked && orphaned)
		return text("leaked,orphaned");
	if (leaked || orphaned)
		return text(leaked ? "leaked" : "orphaned");
	if (!row_unattached(r))
		return text("held");
	return text(r->obj->data && r->obj->counted ? "new" : "unheld");
}

static struct value get_size(const struct row *r) { return typed(SIZE, (long long)r->seg->size); }

static struct value get_resident(const struct row *r)
{
	const struct sm_usage *u = survey_usage(r->survey, r->seg->id);

	return u ? typed(SIZE, (long long)u->resident) : given(NULL);
}

static struct value get_swapped(const struct row *r)
{
	const struct sm_usage *u = survey_usage(r->survey, r->seg->id);

	return u ? typed(SIZE, (long long)u->swapped) : given(NULL);
}

static struct value get_mode(const struct row *r) { return typed(MODE, r->seg->mode); }
static struct value get_owner(const struct row *r) { return text(user_name(r->seg->uid)); }
static struct value get_uid(const struct row *r) { return number(r->seg->uid); }
static struct value get_group(const struct row *r) { return text(group_name(r->seg->gid)); }
static struct value get_creator(const struct row *r) { return text(user_name(r->seg->cuid)); }
static struct value get_cgroup(const struct row *r) { return text(group_name(r->seg->cgid)); }
static struct value get_nattch(const struct row *r) { return number((long long)row_nattch(r)); }

static struct value get_refcount(const struct row *r)
{
	return r->obj && r->obj->counted ? number(r->obj->value) : given(NULL);
}

static struct value get_leaked(const struct row *r)
{
	return r->obj && r->obj->counted ? number(r->obj->leaked) : given(NULL);
}

static struct value get_counter(const struct row *r)
{
	return r->obj && r->obj->counter ? number(r->obj->counter->id) : given(NULL);
}

static struct value get_cpid(const struct row *r) { return number(r->seg->cpid); }
static struct value get_lpid(const struct row *r) { return number(r->seg->lpid); }
static struct value get_atime(const struct row *r) { return moment(r->seg->atime); }
static struct value get_dtime(const struct row *r) { return moment(r->seg->dtime); }
static struct value get_ctime(const struct row *r) { return moment(r->seg->ctime); }
static struct value get_age(const struct row *r) { return typed(SPAN, row_age(r)); }

static struct value get_flags(const struct row *r)
{
	if (r->seg->removed && r->seg->locked)
		return text("removed,locked");
	return r->seg->removed ? text("removed") : r->seg->locked ? text("locked") : given(NULL);
}

static struct value get_holders(const struct row *r) { return typed(HOLDERS, 0); }

const struct column columns[] = {
	{ "id", get_id, true, 0, "shmid; of an object, its data segment's" },
	{ "key", get_key, false, 0, "key, eight hexadecimal digits" },
	{ "name", get_name, false, SURVEY_COUNTERS, "an object's recorded path, a colon, its proj_id" },
	{ "path", get_path, false, SURVEY_COUNTERS, "the path alone, as recorded by its maker" },
	{ "proj", get_proj, false, SURVEY_COUNTERS, "the proj_id alone" },
	{ "kind", get_kind, false, SURVEY_COUNTERS, "object, data, counter or plain" },
	{ "state", get_state, false, SURVEY_COUNTERS,
	  "held, leaked, orphaned, new (no holder yet), unheld (not known)" },
	{ "size", get_size, true, 0, "bytes" },
	{ "resident", get_resident, true, SURVEY_USAGE, "bytes in memory" },
	{ "swapped", get_swapped, true, SURVEY_USAGE, "bytes swapped out" },
	{ "mode", get_mode, false, 0, "permissions" },
	{ "owner", get_owner, false, 0, "user who owns it" },
	{ "uid", get_uid, true, 0, "the same as a number" },
	{ "group", get_group, false, 0, "group that owns it" },
	{ "creator", get_creator, false, 0, "user who made it" },
	{ "cgroup", get_cgroup, false, 0, "group of who made it" },
	{ "nattch", get_nattch, true, 0, "attachments; of an object, the larger number of its halves'" },
	{ "refcount", get_refcount, true, SURVEY_COUNTERS, "the counter" },
	{ "leaked", get_leaked, true, SURVEY_COUNTERS, "references whose holders died" },
	{ "counter", get_counter, true, SURVEY_COUNTERS, "shmid of the counter segment" },
	{ "cpid", get_cpid, true, 0, "process that made it" },
	{ "lpid", get_lpid, true, 0, "process that attached or detached last" },
	{ "atime", get_atime, false, 0, "last attached" },
	{ "dtime", get_dtime, false, 0, "last detached" },
	{ "ctime", get_ctime, false, 0, "made, or last changed" },
	{ "age", get_age, true, 0, "since it was last attached, detached or changed" },
	{ "flags", get_flags, false, 0, "removed (goes with its last user), locked" },
	{ "holders", get_holders, false, SURVEY_HOLDERS, "processes that have it attached" },
	{ 0 },
};
