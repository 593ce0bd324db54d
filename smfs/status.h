/* SPDX-License-Identifier: MIT */
#ifndef SMFS_STATUS_H
#define SMFS_STATUS_H

#include "caller.h"

/*
 * Complete C, of which uid, gid and tid are filled, from /proc/TID: groups, and the effective capabilities
 * of root in the user namespace that the link text USERNS names. Leaves C as it is where the thread cannot
 * be looked at or is not of that user and group. Errors: ENOMEM.
 */
int status_read(struct caller *c, const char *userns);

/*
 * The same from the text of a status file, which is cut up by this. Returns 1 if TEXT is whole and of C's
 * user and group, 0 if it is not; then C is as before, or as ENOMEM leaves it.
 */
int status_parse(struct caller *c, char *text);

#endif
