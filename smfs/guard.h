/* SPDX-License-Identifier: MIT */
#ifndef SMFS_GUARD_H
#define SMFS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Memory that may not be there: a page of a segment that was truncated by somebody, or of a hugetlb segment whose
 * pool is empty, raises SIGBUS. These calls give -EIO instead. Thread-safe. Without guard_start() the signal still
 * kills; with it, libsm's looks at counters are guarded, too.
 */
int guard_start(void);

/* FN(ARG), which holds nothing that a jump out of it could leave behind; false if memory was not there. */
bool guard_run(void (*fn)(void *), void *arg);

int guard_copy(void *to, const void *from, size_t n);
int guard_zero(void *to, size_t n);

/*
 * Zeros too, but whole pages are given back (MADV_REMOVE) where the mapping is writable and shared. AT + N may be the end
 * of what is used of the last page: if WHOLE_END, that page is given back too.
 */
int guard_discard(void *at, size_t n, bool whole_end);

/* The same copy onto zeros: pages that are zero in FROM are left as they are, so they need no memory in TO. */
int guard_copy_sparse(void *to, const void *from, size_t n);

#endif
