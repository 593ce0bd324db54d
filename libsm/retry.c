// SPDX-License-Identifier: MIT
/* Waiting for another process that is in the middle of something: short sleeps, growing, bounded in all. */
#include "private.h"

#include <time.h>

#define NS 1000000000LL

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

struct retry retry_begin(int64_t total_ns, int64_t first_ns, int64_t longest_ns)
{
	return (struct retry){ now() + total_ns, first_ns, longest_ns };
}

bool retry_sleep(struct retry *retry)
{
	int64_t left = retry->deadline - now();
	int64_t ns = retry->pause < left ? retry->pause : left;

	if (left <= 0)
		return false;
	/* A signal may cut the sleep short; the caller looks again and comes back. */
	nanosleep(&(struct timespec){ ns / NS, ns % NS }, NULL);
	retry->pause = retry->pause * 2 < retry->longest ? retry->pause * 2 : retry->longest;
	return true;
}
