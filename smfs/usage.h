/* SPDX-License-Identifier: MIT */
#ifndef SMFS_USAGE_H
#define SMFS_USAGE_H

#include <stdint.h>

/*
 * Resident plus swapped bytes of segment ID, for st_blocks; 0 if unknown. The kernel tells this only of all segments
 * at once, so one pass serves every question for ten times as long as it took. Thread-safe.
 */
uint64_t usage_of(int id);

/* The same apart: *RESIDENT and *SWAPPED in bytes. */
void usage_get(int id, uint64_t *resident, uint64_t *swapped);

#endif
