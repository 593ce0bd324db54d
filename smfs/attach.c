/* SPDX-License-Identifier: MIT */
/*
 * A segment costs nothing until it is touched, so anybody can make one of 2^46 bytes; a process has 2^47 of addresses, and
 * shmat(2) knows no windows. Where two such attachments would leave nothing for others, the second one is refused.
 */
#include "attach.h"

#include <errno.h>
#include <libsm/sm.h>
#include <pthread.h>

#include "cleanup.h"

#define VAST ((size_t)1 << 40)		/* bytes; smaller ones that few threads attach at once need not be counted */
#define VAST_MOST ((size_t)1 << 46)	/* of all those that are larger, together */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t vast;			/* bytes that are attached, or about to be */

static bool take(size_t size)
{
	if (size <= VAST)
		return true;
	LOCKED(&lock);

	if (size > VAST_MOST || vast > VAST_MOST - size)
		return false;
	vast += size;
	return true;
}

static void give_back(size_t size)
{
	if (size <= VAST)
		return;
	LOCKED(&lock);

	vast -= size;
}

int attach_map(int id, size_t size, bool readonly, void **at)
{
	if (!take(size))
		return -ENOMEM;

	const int err = sm_segment_map(id, size, readonly, at);
	if (err)
		give_back(size);
	return err;
}

void attach_unmap(const void *at, size_t size)
{
	sm_segment_unmap(at, size);
	give_back(size);
}
