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

/* It is held for as long as the directory is open, so it is small. */
struct list_entry {
	uint32_t name;		/* list_name() */
	uint8_t kind;		/* enum name_kind, not NAME_INFO */
	bool is_staged;		/* it has no segment yet */
	union {
		struct {
			int id;		/* of the data segment, or the counter; nothing for a directory */
			key_t key;
		};
		uint64_t serial;	/* struct staged_name's, if staged */
	};
};

struct listing {
	struct list_entry *entries;
	size_t count, capacity;
	char *names;
	size_t names_length, names_capacity;
};

/*
 * The objects of the directory PATH below KEYDIR, as CALLER sees it, and the subdirectories that lead to a recorded
 * object; every X before its X.refcount. May hang with the file system, so it belongs on a pool thread, which has not
 * entered a caller. Errors: those of keypath_resolve() and opendir(3), ENOMEM; *OUT is safe to free then.
 */
int list_directory(const struct keydir *keydir, const char *path, const struct caller *caller, struct listing *out);

/* One more entry; NAME is copied, SEG may be NULL. -ENOMEM. */
int list_add(struct listing *l, const char *name, enum name_kind kind, const struct sm_segment *seg);

const char *list_name(const struct listing *l, const struct list_entry *e);

/* Give back what was allocated for entries that did not come; list_bytes() is what L holds. */
void list_trim(struct listing *l);
size_t list_bytes(const struct listing *l);

void list_free(struct listing *l);

#endif
