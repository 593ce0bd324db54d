/* SPDX-License-Identifier: MIT */
#ifndef SMFS_SHARE_H
#define SMFS_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * What one user may have of the daemon, so that nobody's use costs another's: bytes that files in the making, and
 * objects whose size is being changed, hold here, open files, of which each may be a descriptor and a registration with the
 * kernel, and listings of open directories. Thread-safe.
 */

void share_start(size_t most_bytes, size_t most_listed, unsigned most_files);

/* 0, or -ENOSPC (beyond the user's share), -ENOMEM. */
int share_take(uid_t uid, size_t bytes);
void share_return(uid_t uid, size_t bytes);

/* One more open file or directory: 0, or -EMFILE (beyond the user's share), -ENOMEM. */
int share_open(uid_t uid);
void share_close(uid_t uid);

/*
 * A directory that the user has open holds a listing of HAS bytes in place of one of HAD. 0, or -ENOMEM: with it the user's
 * listings would be beyond what they may hold together; one alone may be of any size.
 */
int share_list(uid_t uid, size_t had, size_t has);

/* What share_open() would say. */
int share_check(uid_t uid);

/*
 * Is FD among the last descriptors that this process may have? Those are for key paths, which every request needs; what can
 * do without a descriptor of its own then goes without.
 */
bool share_is_scarce(int fd);

#endif
