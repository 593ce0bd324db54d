/* SPDX-License-Identifier: MIT */
#ifndef SMFS_BACKGROUND_H
#define SMFS_BACKGROUND_H

/* Going on in the background, where whoever started it still hears whether it could. For the main thread. */

/*
 * Go on in a child with a session of its own, before there is another thread. The parent does not come back: it waits, and
 * exits with 0 at background_ready() or else with the child's status, whose standard error is the parent's until then. -1: it
 * was said on standard error; it is also the parent that returns with it, if the child was killed.
 */
int background_begin(void);

/* It serves: the parent exits, and standard input, output and error are /dev/null. Without a parent: nothing. */
void background_ready(void);

#endif
