/* SPDX-License-Identifier: MIT */
#ifndef SMFS_TOUCH_H
#define SMFS_TOUCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What is thought to be in the page table of a shared mapping: pages may be gone again, or never have come. Thread-safe.
 * A struct touch may be NULL, of which everything is new.
 */
struct touch;

/* For a mapping of SIZE bytes; free(3) it with the mapping. NULL when memory is out, which only makes writes slower. */
struct touch *touch_new(size_t size);

/* Was any of these bytes never in touch_range()? */
bool touch_is_new(struct touch *t, size_t offset, size_t n);

/* Bytes OFFSET to OFFSET + N of the mapping at AT are about to be written. */
void touch_range(struct touch *t, void *at, size_t offset, size_t n);

#endif
