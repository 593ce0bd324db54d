/* SPDX-License-Identifier: MIT */
#ifndef SMFS_ROOM_H
#define SMFS_ROOM_H

#include <libsm/sm.h>
#include <stddef.h>

/*
 * Could it be had, as far as the limits of the namespace and memory go? 0, ENOSPC (memory, too) or EINVAL (SHMMAX). That is true
 * of this instant only. Thread-safe.
 */

/* COUNT segments (1 or 2), one of SIZE bytes, and another one of a byte. */
int room_for(size_t size, unsigned count);

/* An object of SIZE bytes in place of one of OLD bytes, or of none (0). */
int room_to_grow(size_t old, size_t size);

/* A segment of SIZE bytes where OLD is removed. Linear in the number of segments. */
int room_instead_of(const struct sm_segment *old, size_t size);

#endif
