/* SPDX-License-Identifier: MIT */
#ifndef SMFS_REPAIR_H
#define SMFS_REPAIR_H

#include <libsm/sm.h>
#include <stdbool.h>

struct repair {
	struct sm_segment counter;	/* as it was before */
	int data_id;			/* as for sm_counter_reap_free() */
	char *path;			/* that the counter records, or NULL */
	int from, to;			/* what follows is the answer */
	bool freed;
	int error;			/* 0 or a negative errno */
};

/* The path that this counter records, to be freed; NULL: none, or memory is out. To be asked before it is freed. */
char *repair_path(int counter_id);

/* One line in the log of what R did; none if it did nothing, and few for each creator. */
void repair_tell(const struct repair *r);

#endif
