/* SPDX-License-Identifier: MIT */
#ifndef SMFS_TEXT_H
#define SMFS_TEXT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "node.h"
#include "watch.h"

/*
 * What an open `.refcount` or `.info` file says: as of its last reading from offset 0, so that it can be read in pieces.
 * All functions are thread-safe.
 */
struct text {
	pthread_mutex_t lock;		/* of the rest */
	char *bytes;
	size_t length;
	bool was_read, is_known;	/* IS_KNOWN: SEEN is filled */
	struct watch_state seen;	/* what BYTES tell of */
	struct watch *watch;		/* since the first poll */
};

void text_init(struct text *t);
void text_destroy(struct text *t);

/* Read the counter that N is of. Errors: EIDRM (gone), EACCES, ENOMEM. */
int text_refresh_counter(struct text *t, struct node *n);

/* Take over BYTES, malloc'd, that tell of SEEN. */
void text_set(struct text *t, char *bytes, size_t length, const struct watch_state *seen);

/* Copy what there is at OFFSET: its length. */
size_t text_read(struct text *t, off_t offset, char *to, size_t length);

/* Has it been read from its start since it was opened? True from now on. */
bool text_was_read(struct text *t);

/* Has what it tells of changed since? If not, HANDLE (or NULL), which it takes over, is woken then: see watch_poll(). */
int text_poll(struct text *t, void *handle, bool *changed);

#endif
