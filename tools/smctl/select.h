/* SPDX-License-Identifier: MIT */
#ifndef SMCTL_SELECT_H
#define SMCTL_SELECT_H

/* The options that choose among rows, for ls and rm alike. All that are given must match. */

#include "survey.h"

struct filter {
	bool leaked, orphaned, by_owner, by_age;
	uid_t owner;
	time_t age;
};

#define FILTER_FLAGS \
	{ OPT_LEAKED, "leaked", NULL, "objects with leaked references" }, \
	{ OPT_ORPHANED, "orphaned", NULL, "objects whose holders are all gone" }, \
	{ OPT_OWNER, "owner", "U", "what user U owns" }, \
	{ OPT_OLDER, "older-than", "T", "what nobody has attached, detached or changed for T" }

/* Takes one option. 0; USAGE (told); -1: not an option that chooses. */
int filter_option(struct filter *f, int code, const char *arg);
bool filter_any(const struct filter *f);
/* Whether only objects can match. */
bool filter_objects(const struct filter *f);
bool filter_match(const struct filter *f, const struct row *r);

#endif
