/* SPDX-License-Identifier: MIT */
#ifndef SMFS_LIST_H
#define SMFS_LIST_H

#include "caller.h"
#include "keypath.h"
#include "listing.h"

/* What a directory of the mount lists. */

/*
 * The objects of the directory PATH below KEYDIR, as CALLER sees it, and the subdirectories that lead to a recorded
 * object; every X before its X.refcount. May hang with the file system, so it belongs on a pool thread, which has not
 * entered a caller. Errors: those of keypath_resolve() and opendir(3), ENOMEM; *OUT is safe to free then.
 */
int list_directory(const struct keydir *keydir, const char *path, const struct caller *caller, struct listing *out);

#endif
