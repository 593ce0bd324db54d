// SPDX-License-Identifier: MIT
/* What can be said of one row of a survey: its name, and whether it is leaked or orphaned. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "survey.h"

unsigned long row_nattch(const struct row *r)
{
	unsigned long most = r->seg->nattch;

	if (r->whole && r->obj && r->obj->counter && r->obj->counter->nattch > most)
		most = r->obj->counter->nattch;
	return most;
}

bool row_leaked(const struct row *r)
{
	return r->obj && r->obj->leaked > 0;
}

bool row_certain(const struct row *r)
{
	return r->obj && r->obj->counter && (r->obj->marked || r->obj->counter->size == sizeof(int));
}

bool row_unattached(const struct row *r)
{
	const struct object *o = r->obj;

	return o && !(o->counter && o->counter->nattch) && !(o->data && o->data->nattch);
}

bool row_orphaned(const struct row *r)
{
	if (!row_unattached(r))
		return false;
	return r->obj->data ? r->obj->counted && r->obj->used : r->obj->path != NULL;
}

static time_t touched(const struct row *r)
{
	const struct sm_segment *seg = r->seg;
	time_t last = seg->ctime;

	/* Whoever looks at a counter attaches it: its attach and detach times say nothing. */
	if (r->obj && seg == r->obj->counter)
		return last;
	if (seg->atime > last)
		last = seg->atime;
	return seg->dtime > last ? seg->dtime : last;
}

time_t row_age(const struct row *r)
{
	time_t age = time(NULL) - touched(r);

	return age < 0 ? 0 : age;	/* somebody set the clock back */
}

char *row_name_raw(const struct row *r)
{
	const struct object *o = r->obj;

	if (!o)
		return NULL;
	return text_new("%s:%c", o->path ? o->path : "?",
			sm_key_proj(o->data ? o->data->key : sm_key_data(o->counter->key)));
}

char *row_name(const struct row *r)
{
	char *raw = row_name_raw(r), *name = raw ? text_clean(raw) : NULL;

	free(raw);
	return name;
}

void row_name_check(const struct row *r, const struct target *t)
{
	char real[PATH_MAX], *clean;
	const char *recorded = r->obj ? r->obj->path : NULL;

	if (!t->path || !recorded || !strcmp(recorded, t->path))
		return;
	if (realpath(t->path, real) && !strcmp(recorded, real))
		return;
	clean = text_clean(recorded);
	warn_user("it was made as %s:%c; that is another name of the file, or another file with the same key",
		  clean, t->proj);
	free(clean);
}
