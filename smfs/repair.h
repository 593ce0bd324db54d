/* SPDX-License-Identifier: MIT */
#ifndef SMFS_REPAIR_H
#define SMFS_REPAIR_H

#include <libsm/sm.h>

/* The path that this counter records, to be freed; NULL: none, or memory is out. To be asked before it is freed. */
char *repair_path(int counter_id);

/*
 * One line in the log of what R did to COUNTER, which need not be there any more, and which records PATH, or NULL; none if it did
 * nothing, and few for each creator.
 */
void repair_tell(const struct sm_repair *r, const struct sm_segment *counter, const char *path);

#endif
