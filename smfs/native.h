/* SPDX-License-Identifier: MIT */
#ifndef SMFS_NATIVE_H
#define SMFS_NATIVE_H

#include <libsm/sm.h>
#include <stdbool.h>

/*
 * A descriptor on the shmem inode behind an attachment, read-write whatever the attachment allows, close-on-exec.
 * It keeps the memory alive but counts in no nattch. The caller owns it and must see to it that nothing is written
 * beyond the size or truncated through it, and that it reaches only those whom shmat(2) let in.
 *
 * AT is an attachment of SEG that was made as the one who asks; the calling thread needs CAP_CHECKPOINT_RESTORE or
 * CAP_SYS_ADMIN. Errors: EPERM, EMFILE; EOPNOTSUPP (not an inode that can stand for the segment: hugetlb,
 * or truncated behind its back); ESTALE (the attachment is of another segment, or another mount's smfs is exchanging
 * this one).
 */
int native_descriptor(const void *at, const struct sm_segment *seg);

/*
 * Has nobody else a descriptor from native_descriptor() on this inode, in no process? Each holds a shared flock(2), and FD
 * then holds an exclusive one. native_unclaim() gives up FD's, for when another descriptor of ours is to ask.
 */
bool native_is_alone(int fd);
void native_unclaim(int fd);

/*
 * FUSE_FD is the session that files are to be registered with, after its handshake. Tries the whole way with a segment
 * of its own: 0, or why it cannot be had, as below; files can then not be registered.
 */
int native_start(int fuse_fd);

/*
 * Make FD a backing file of the session: a backing id > 0, valid after FD is closed, until native_unregister(). Errors: EPERM
 * (needs CAP_SYS_ADMIN), EOPNOTSUPP (no session, a kernel before 6.9, hugetlb).
 */
int native_register(int fd);
void native_unregister(int backing_id);

#endif
