/* SPDX-License-Identifier: MIT */
/*
 * A signal that a fault raises is not held back where it is blocked: the kernel gives it its default action first. So a
 * thread that blocked all signals died of what guard.c is there for, and the daemon with it.
 */
#include "thread.h"

sigset_t thread_blocks(void)
{
	sigset_t signals;

	sigfillset(&signals);
	sigdelset(&signals, SIGBUS);
	sigdelset(&signals, SIGSEGV);
	return signals;
}

int thread_start(pthread_t *thread, size_t stack, void *(*run)(void *arg), void *arg)
{
	const sigset_t blocks = thread_blocks();
	pthread_attr_t attr;

	/* in its attributes, so that not even its first instruction can be interrupted */
	pthread_attr_init(&attr);
	pthread_attr_setsigmask_np(&attr, &blocks);
	if (stack)
		pthread_attr_setstacksize(&attr, stack);

	const int err = pthread_create(thread, &attr, run, arg);

	pthread_attr_destroy(&attr);
	return -err;
}
