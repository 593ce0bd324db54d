/* SPDX-License-Identifier: MIT */
#ifndef SMFS_WATCH_H
#define SMFS_WATCH_H

#include <libsm/sm.h>
#include <stdbool.h>

/*
 * Waiting for a counter or the record of a segment to change. The kernel announces neither, so one thread looks ten times
 * a second while someone waits; nobody waits, nothing runs. All functions are thread-safe.
 *
 * A counter is looked at through a descriptor where that can be had, else through an attachment, for as long as someone
 * waits and half a second more at the most: attaching for each look would leave a stamp each time, which others (smctl wait,
 * the monitor) take for news.
 */

/* What a reader was shown. */
struct watch_state {
	bool record;		/* the record of SEG matters, too */
	struct sm_segment seg;
	int counter;		/* shmid of the counter whose value matters, or -1 */
	int value;
};

struct watch;

/*
 * WAKE tells the one who waits, and DROP forgets him; both take over a handle. Called without any lock of this file.
 * Nothing runs before the first handle is given.
 */
void watch_start(void (*wake)(void *handle), void (*drop)(void *handle));

/* Wait for nothing any more, and join the thread. No watch_poll() afterwards. */
void watch_stop(void);

struct watch *watch_new(void);		/* NULL: out of memory */
void watch_free(struct watch *w);	/* NULL is fine */

/*
 * Has what is there now changed against SEEN (or is it gone)? If not, and HANDLE is not NULL, it is woken when it has; it may be
 * woken earlier. HANDLE is this function's. Of several handles of one watch the last one is kept.
 */
bool watch_poll(struct watch *w, const struct watch_state *seen, void *handle);

#endif
