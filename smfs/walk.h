/* SPDX-License-Identifier: MIT */
#ifndef SMFS_WALK_H
#define SMFS_WALK_H

#include <sys/types.h>

#include "keypath.h"

/* The rest of a path, with the links in it that are read already; longer ones are ENAMETOOLONG. */
#define WALK_LONGEST 8192

/*
 * Walk from START along PATH ("." and ".." included) to OUT, which gets a descriptor of its own. Of ROOT,
 * only root, protected_symlinks and mounts are used. Each component takes one of the STEPS that are left, those of
 * links included; NULL: KEYPATH_HINT_STEPS for a hint, else as many as 40 links may have, as for the kernel. Errors:
 * those of keypath_resolve(), EXDEV where the way leads into an smfs mount, and ELOOP when no step is left.
 */
int walk_path(const struct keydir *root, const struct keypath *start, const char *path, unsigned flags,
	      unsigned *steps, struct keypath *out);

/*
 * THREAD (gettid(2)) has not come back in time. Where it is in a mount that a hint led it into, no other hint leads there
 * until it is back. False: it is not.
 */
bool walk_give_up(pid_t thread);

/* May the calling thread search the directory DIR, a descriptor? CACHED as KEYPATH_CACHED. Errors: EACCES, EAGAIN. */
int walk_may_search(int dir, bool cached);

/*
 * Fill OUT, of which fd is open, with stat and mount; FROM (or NULL) is where it was found. No file system
 * is asked anything. Errors: EXDEV (in an smfs mount), ENOSYS (a kernel before 5.8), those of statx(2).
 */
int walk_look(const struct keydir *root, const struct keypath *from, struct keypath *out);

#endif
