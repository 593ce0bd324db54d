/* SPDX-License-Identifier: MIT */
#ifndef SMFS_LOOP_H
#define SMFS_LOOP_H

struct fuse_session;

/* The largest write that one request may bring, in bytes: what Linux puts into one by default. */
#define LOOP_MAX_WRITE (1u << 20)

/*
 * Serve the requests of SE, whose conn.max_write is at most LOOP_MAX_WRITE, until it is unmounted or fuse_session_exit()
 * was called by a signal handler. There is always a thread that waits for a request, up to MAX_THREADS; of those that
 * wait, MAX_IDLE stay. SERVES(ARG) is called when the first one is there. 0, or a negative errno of the device or for want of
 * the first thread; then the session is as before the call. For the main thread, once at a time.
 */
int loop_run(struct fuse_session *se, unsigned max_threads, unsigned max_idle, void (*serves)(void *arg), void *arg);

#endif
