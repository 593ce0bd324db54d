/* SPDX-License-Identifier: MIT */
/*
 * References that were taken off are told in one form, whoever asked for it. Whoever made a counter can have any number of them
 * taken off it, so he is told of a few times only. (The creator: an owner can make anyone else the owner.)
 */
#include "repair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "cleanup.h"
#include "log.h"

#define LINES 16	/* of one creator, in ten seconds */

/* False: there is nothing to tell. */
static bool say(const struct repair *r, char *to, size_t room)
{
	if (r->error == -EPERM)
		snprintf(to, room, "references %d -> 0, but it may not be freed: %s", r->from, strerror(EPERM));
	else if (r->from != r->to)
		snprintf(to, room, "references %d -> %d, holders died%s", r->from, r->to, r->freed ? "; freed" : "");
	else if (r->freed)
		snprintf(to, room, "its last holder left it; freed");
	return r->error == -EPERM || r->from != r->to || r->freed;
}

char *repair_path(int counter_id)
{
	AUTO_FREE struct sm_counter *c = calloc(1, sizeof(*c));

	return c && sm_counter_load(counter_id, c) == 0 && c->path[0] ? strdup(c->path) : NULL;
}

void repair_tell(const struct repair *r)
{
	key_t data_key = sm_key_data(r->counter.key);
	char name[32], what[128];

	if (!say(r, what, sizeof(what)))
		return;
	snprintf(name, sizeof(name), "key 0x%08x", (unsigned)data_key);
	log_limited("repairs", LINES, r->counter.cuid, r->error == -EPERM ? LOG_WARNING : LOG_NOTICE, "%s:%c (segment %d): %s",
		    r->path ? r->path : name, sm_key_proj(data_key), r->data_id < 0 ? r->counter.id : r->data_id, what);
}
