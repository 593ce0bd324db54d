/* SPDX-License-Identifier: MIT */
#ifndef SMFS_EXTENT_H
#define SMFS_EXTENT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Copy what is data of SIZE bytes at FROM onto zeros at TO, both mapped, in time that goes with the data. Errors: EIO, and those
 * of asking what is data.
 *
 * FD is open on what is mapped at FROM, from its beginning.
 */
int extent_copy(void *to, const void *from, size_t size, int fd);

/*
 * The same where nothing can be opened: FROM is the segment ID, attached, by nobody else. Where what is swapped out hides some
 * of the data, everything is touched, which takes long and makes pages of the segment's holes.
 */
int extent_copy_attached(void *to, const void *from, size_t size, int id);

/* Resident and swapped bytes of the segment ID, as of now; UINT64_MAX: unknown. */
uint64_t extent_bytes(int id);

#endif
