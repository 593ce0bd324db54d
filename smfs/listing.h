/* SPDX-License-Identifier: MIT */
#ifndef SMFS_LISTING_H
#define SMFS_LISTING_H

#include <libsm/sm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "name.h"

/* The entries of one directory. Not thread-safe. */

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

/* One more entry; NAME is copied, SEG may be NULL. -ENOMEM. */
int list_add(struct listing *l, const char *name, enum name_kind kind, const struct sm_segment *seg);

const char *list_name(const struct listing *l, const struct list_entry *e);

/* Give back what was allocated for entries that did not come; list_bytes() is what L holds. */
void list_trim(struct listing *l);
size_t list_bytes(const struct listing *l);

void list_free(struct listing *l);

#endif
