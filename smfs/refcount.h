/* SPDX-License-Identifier: MIT */
#ifndef SMFS_REFCOUNT_H
#define SMFS_REFCOUNT_H

#include <libsm/sm.h>
#include <stddef.h>

/* The text of a `.refcount` file, and the words that may be written to it. */

#define REFCOUNT_TEXT_MAX 16

enum refcount_word { REFCOUNT_DECR, REFCOUNT_REAP };

/* The counter of segment COUNTER_ID in decimal and a newline: its length, or a negative errno (EACCES, EIDRM ...). */
int refcount_text(int counter_id, char text[REFCOUNT_TEXT_MAX]);

/* One of the words, with or without a newline: 0, or -EINVAL. Pure. */
int refcount_parse(const char *bytes, size_t n, enum refcount_word *word);

/*
 * Do it, with the calling thread's credentials. REAP may take some seconds, and tells the log what it took off. Errors:
 * ERANGE, EACCES, EIDRM, EAGAIN.
 */
int refcount_do(const struct sm_segment *counter, enum refcount_word word);

#endif
