/* SPDX-License-Identifier: MIT */
#ifndef SMFS_DEVICE_H
#define SMFS_DEVICE_H

struct fuse_session;

/*
 * Talk to the kernel for the mounted session SE from now on, as libfuse does, but take two errors for what they are: see
 * device.c. Errors: ENOMEM.
 */
int device_start(struct fuse_session *se);

#endif
