/* SPDX-License-Identifier: MIT */
#ifndef SMFS_MOUNTS_H
#define SMFS_MOUNTS_H

#include <stdint.h>

/* What matters of a mount when a path leads into it. */
enum mount_flags {
	MOUNT_SMFS = 1,		/* never to be entered */
	MOUNT_PROC = 2,
	MOUNT_NOSYMFOLLOW = 4,
	MOUNT_FUSE = 8,		/* served by a process, maybe a stranger's, who can keep us waiting */
};

struct mounts;

/* The mounts that PATH, a mountinfo file of /proc, lists now and later. Errors: those of open(2), ENOMEM. */
int mounts_open(struct mounts **out, const char *path);
void mounts_free(struct mounts *mounts);

/*
 * The flags of the mount with ID (of statx), which the caller holds by an open descriptor, so that the id is
 * not another's meanwhile. Thread-safe. Errors: ENOENT (not listed: detached, or of another namespace),
 * ENOMEM, those of read(2).
 */
int mounts_flags(struct mounts *mounts, uint64_t id);

#endif
