/* SPDX-License-Identifier: MIT */
#ifndef SMFS_RIGHTS_H
#define SMFS_RIGHTS_H

#include <stdbool.h>

#include "caller.h"
#include "node.h"

/* All functions are thread-safe and return 0 or a negative errno. */

/*
 * Attach N's segment as CALLER, who may do so or not: *AT is to be let go with attach_unmap(), *SEG is what was
 * attached. Errors: EACCES, ESTALE (it is gone), ENOMEM. rights_check() only asks.
 */
int rights_attach(struct node *n, bool write, const struct caller *caller, struct sm_segment *seg, void **at);
int rights_check(struct node *n, bool write, const struct caller *caller);

/* access(2): may CALLER open N for reading (R_OK), writing (W_OK)? */
int rights_access(struct node *n, int mask, const struct caller *caller);

#endif
