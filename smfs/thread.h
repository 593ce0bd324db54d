/* SPDX-License-Identifier: MIT */
#ifndef SMFS_THREAD_H
#define SMFS_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/*
 * What each thread but the main one blocks: all signals, which are the main thread's, but SIGBUS and SIGSEGV. Those are
 * raised in the thread that looks at a page that is not there, and kill where they are blocked, whatever guard.c does.
 */
sigset_t thread_blocks(void);

/* pthread_create(3) of a thread that blocks those; STACK: bytes, or 0 for what is usual. Its errors, negative. */
int thread_start(pthread_t *thread, size_t stack, void *(*run)(void *arg), void *arg);

#endif
