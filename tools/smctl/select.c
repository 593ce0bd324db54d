// SPDX-License-Identifier: MIT
/* The options that choose among rows. */
#include "select.h"

int filter_option(struct filter *f, int code, const char *arg)
{
	switch (code) {
	case OPT_LEAKED:
		f->leaked = true;
		return 0;
	case OPT_ORPHANED:
		f->orphaned = true;
		return 0;
	case OPT_OWNER:
		f->by_owner = true;
		return take_owner(arg, &f->owner);
	case OPT_OLDER:
		f->by_age = true;
		return take_duration(arg, &f->age);
	default:
		return -1;
	}
}

bool filter_any(const struct filter *f)
{
	return f->leaked || f->orphaned || f->by_owner || f->by_age;
}

bool filter_objects(const struct filter *f)
{
	return f->leaked || f->orphaned;
}

bool filter_match(const struct filter *f, const struct row *r)
{
	if (filter_objects(f) && !row_certain(r))
		return false;
	if (f->leaked && !row_leaked(r))
		return false;
	if (f->orphaned && !row_orphaned(r))
		return false;
	if (f->by_owner && r->seg->uid != f->owner)
		return false;
	return !f->by_age || row_age(r) >= f->age;
}
