/* SPDX-License-Identifier: MIT */
#ifndef SMFS_EXTENT_H
#define SMFS_EXTENT_H

#include <libsm/sm.h>
#include <stdatomic.h>
#include <stddef.h>

/*
 * Copy what is data of SIZE bytes at FROM onto zeros at TO, both mapped, in time that goes with the data. Errors: EIO, and those
 * of asking what is data. STOP, unless it is NULL, makes it end early once it is true: EINTR.
 *
 * FD is open on what is mapped at FROM, from its beginning.
 */
int extent_copy(void *to, const void *from, size_t size, int fd, const atomic_bool *stop);

/* Without a descriptor, the time goes with SIZE too; where this much was looked through and data is still missing: EFBIG. */
#define EXTENT_MOST ((size_t)1 << 36)

/*
 * The same where nothing can be opened: FROM is the segment SEG, attached, by nobody else, and SIZE at most its own. Where
 * what is swapped out hides some of the data, everything is touched, which takes long and makes pages of the segment's holes.
 */
int extent_copy_attached(void *to, const void *from, size_t size, const struct sm_segment *seg, const atomic_bool *stop);

/* How much memory the segment ID has, as of now. Errors: EIDRM, and those of reading the kernel's table. */
int extent_usage(int id, struct sm_usage *out);

#endif
