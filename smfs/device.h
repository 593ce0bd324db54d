/* SPDX-License-Identifier: MIT */
#ifndef SMFS_DEVICE_H
#define SMFS_DEVICE_H

struct fuse_buf;
struct fuse_session;

/*
 * Talk to the kernel for the mounted session SE from now on, as libfuse does, but take two errors for what they are: see
 * device.c. Errors: ENOMEM.
 */
int device_start(struct fuse_session *se);

/*
 * fuse_session_process_buf() for a request in memory; but one that gives something back (RELEASE, FORGET and the like) is
 * done again until there is memory for it, where what it was about would else be kept for good.
 */
void device_process(struct fuse_session *se, const struct fuse_buf *request);

#endif
