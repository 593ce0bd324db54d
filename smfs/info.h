/* SPDX-License-Identifier: MIT */
#ifndef SMFS_INFO_H
#define SMFS_INFO_H

#include <libsm/sm.h>
#include <stdbool.h>
#include <stddef.h>

#include "caller.h"
#include "keypath.h"
#include "watch.h"

/* The text of `.info` files. The names in it are a contract: smfs(5) lists them. */

#define INFO_SIZE 4096		/* what stat says; the text is as long as it is */

struct info_question {
	const struct keydir *keydir;
	const struct caller *caller;	/* as whom to look */
	struct sm_segment seg;		/* as it was just now */
	const char *named;		/* the key file, below KEYDIR, if it was asked for by name; else NULL */
	bool native;			/* how its bytes are reached, or would be if it has ordinary pages */
};

/* DEVICE is the mount's own, to find who has mapped a segment through it. Before any other call; 0: unknown. */
void info_start(dev_t device);

/*
 * Gather everything: *TEXT is malloc'd, its length is the return value; *SEEN is what to watch for it to change. May hang
 * with the key file's file system, so it belongs on a pool thread, which has not entered a caller. Errors: those of
 * caller_enter(), ENOMEM.
 */
ssize_t info_gather(const struct info_question *q, char **text, struct watch_state *seen);

#endif
