/* SPDX-License-Identifier: MIT */
#ifndef SMFS_ATTACH_H
#define SMFS_ATTACH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Attaching segments of whatever size strangers chose: sm_segment_map() and sm_segment_unmap(), except that not all of
 * the addresses which this process has can be taken at once. Thread-safe.
 */

/* Bytes. What is larger is not kept attached, or mapped, for longer than it is needed, unless it is counted. */
#define ATTACH_LARGE ((size_t)1 << 30)

/* Errors: those of sm_segment_map(); ENOMEM also for what is larger than 64 TiB, or would be together with others. */
int attach_map(int id, size_t size, bool readonly, void **at);
void attach_unmap(const void *at, size_t size);

#endif
