// SPDX-License-Identifier: MIT
/*
 * Waiting for another process that is in the middle of something: short sleeps, growing, bounded in all.
 *
 * Time alone is no bound: a process that was stopped, or that got no processor, comes back when it is over
 * and has looked once, at something that was long ago. So there is a least number of looks, too.
 */
#include "private.h"

#include <time.h>

#define NS 1000000000LL
#define SLEEPS_LEAST 32

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

struct retry retry_begin(int64_t total_ns, int64_t first_ns, int64_t longest_ns)
{
	return (struct retry){ now() + total_ns, first_ns, longest_ns, SLEEPS_LEAST };
}

bool retry_sleep(struct retry *retry)
{
	int64_t left = retry->deadline - now();
	int64_t ns = retry->pause < left || left <= 0 ? retry->pause : left;

	if (left <= 0 && retry->sleeps <= 0)
		return false;
	retry->sleeps--;
	/* A signal may cut the sleep short; the caller looks again and comes back. */
	nanosleep(&(struct timespec){ ns / NS, ns % NS }, NULL);
	retry->pause = retry->pause * 2 < retry->longest ? retry->pause * 2 : retry->longest;
	return true;
}
