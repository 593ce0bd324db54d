/* SPDX-License-Identifier: MIT */
#ifndef SMFS_REPAIR_H
#define SMFS_REPAIR_H

#include <libsm/sm.h>

/*
 * One line in the log of what R did to COUNTER, which need not be there any more; none if it did nothing, and few for each
 * creator.
 */
void repair_tell(const struct sm_repair *r, const struct sm_segment *counter);

#endif
