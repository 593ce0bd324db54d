/* SPDX-License-Identifier: MIT */
#ifndef SMFS_CLEANUP_H
#define SMFS_CLEANUP_H

/* Descriptors, memory and locks that end with their scope. */

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(f) __attribute__((cleanup(f)))

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

static inline pthread_mutex_t *cleanup_lock(pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
	return lock;
}

#define AUTO_CLOSE AUTO(cleanup_close)
#define AUTO_FREE AUTO(cleanup_free)

/* Hold LOCK until the scope ends; once in a scope. */
#define LOCKED(lock) \
	pthread_mutex_t *held_lock AUTO(cleanup_unlock) __attribute__((unused)) = cleanup_lock(lock)

#endif
