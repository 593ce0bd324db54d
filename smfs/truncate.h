/* SPDX-License-Identifier: MIT */
#ifndef SMFS_TRUNCATE_H
#define SMFS_TRUNCATE_H

#include <sys/types.h>

#include "file.h"

/* DEVICE is the mount's own, to find who has mapped a segment through it. Before any other call; 0: unknown. */
void truncate_start(dev_t device);

/*
 * truncate(2) of N, or ftruncate(2) where F is not NULL, as CALLER: 0 fills with zeros and leaves the size, the size that it
 * has changes nothing, any other puts another segment in its place. Errors: EBUSY (in use), EACCES (may not write),
 * EPERM (may not remove; or IPC_PRIVATE, which has no key to find the new one by), those of store_resize().
 */
int truncate_node(struct node *n, struct file *f, off_t size, const struct caller *caller);

/*
 * May truncate_node() of the segment N wait, copy, or give back pages, for long? Then it belongs on a pool thread. Waits for
 * nobody.
 */
bool truncate_is_long(struct node *n, off_t size);

#endif
