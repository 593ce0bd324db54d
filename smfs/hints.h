/* SPDX-License-Identifier: MIT */
#ifndef SMFS_HINTS_H
#define SMFS_HINTS_H

#include <sys/types.h>

#include "keypath.h"

/*
 * Hints, which are paths that strangers recorded, and symbolic links of theirs, while one answer is gathered: how far
 * each stranger's are followed. One thread.
 */

struct hints_owner;

struct hints {
	unsigned own;		/* steps that everybody has, whatever others do */
	unsigned each;		/* more of those with each of his hints */
	unsigned reserve;	/* what is left for all who need more */
	uid_t trusted;		/* has a lot of his own, as root has */
	unsigned walked;	/* steps, in all */
	unsigned nowners;
	struct hints_owner *owners;
};

/* For paths recorded in segments, of which there are as many as the system allows. */
void hints_of_records(struct hints *h);

/* For the entries of a directory that belongs to OWNER; strangers can make any number of links in some. */
void hints_of_links(struct hints *h, uid_t owner);

/*
 * keypath_at() as far as the hints of UID may lead. What leads further is said in the log. Errors: those of
 * keypath_resolve(); ELOOP (too far).
 */
int hints_follow(struct hints *h, uid_t uid, const struct keydir *keydir, const struct keypath *dir, const char *path,
		 struct keypath *out);

/* The same for the entry NAME of DIR, a hint of whoever that entry belongs to. */
int hints_follow_entry(struct hints *h, const struct keydir *keydir, const struct keypath *dir, const char *name,
		       struct keypath *out);

void hints_free(struct hints *h);

#endif
