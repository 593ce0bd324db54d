/* SPDX-License-Identifier: MIT */
#ifndef SMFS_MOUNTPOINT_H
#define SMFS_MOUNTPOINT_H

#include <sys/types.h>

/* What must be right before mounting. Each function returns 0, or -1 after one line on standard error. */

/* PATH must be a directory; what a killed smfs left mounted there is cleared. */
int mountpoint_prepare(const char *path);

/* The device number of what is mounted on PATH, without asking it: it may be ourselves. 0: unknown. */
dev_t mountpoint_device(const char *path);

/* /dev/fuse must be there and open. */
int mountpoint_check_device(void);

#endif
