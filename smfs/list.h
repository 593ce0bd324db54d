/* SPDX-License-Identifier: MIT */
#ifndef SMFS_LIST_H
#define SMFS_LIST_H

#include <libsm/sm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "caller.h"
#include "keypath.h"
#include "name.h"

/* What a directory of the mount lists. */

struct list_entry {
	char *name;
	enum name_kind kind;	/* not NAME_INFO */
	struct sm_segment seg;	/* the data segment, or the counter; nothing for a directory */
	uint64_t staged;	/* struct staged_name's serial for what has no segment yet, else 0 */
};

struct listing {
	struct list_entry *entries;
	size_t count, capacity;
};

/*
 * The objects of the directory PATH below KEYDIR, as CALLER sees it, and the subdirectories that lead to a recorded
 * object; every X before its X.refcount. May hang with the file system, so it belongs on a pool thread, which has not
 * entered a caller. Errors: those of keypath_resolve() and opendir(3), ENOMEM; *OUT is safe to free then.
 */
int list_directory(const struct keydir *keydir, const char *path, const struct caller *caller, struct listing *out);

/* One more entry; NAME is copied, SEG may be NULL. -ENOMEM. */
int list_add(struct listing *l, const char *name, enum name_kind kind, const struct sm_segment *seg);

void list_free(struct listing *l);

#endif
