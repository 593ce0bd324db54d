/* SPDX-License-Identifier: MIT */
#ifndef SMFS_SHARE_H
#define SMFS_SHARE_H

#include <stddef.h>
#include <sys/types.h>

/* What one user's files in the making may hold together, in bytes, so that nobody's cost another's. Thread-safe. */

void share_start(size_t most_per_user);

/* 0, or -ENOSPC (beyond the user's share), -ENOMEM. */
int share_take(uid_t uid, size_t bytes);
void share_return(uid_t uid, size_t bytes);

#endif
