// SPDX-License-Identifier: MIT
/*
 * To be preloaded: the clock that the kernel stamps segments with stands at the epoch, so that for the program no
 * stamp is ever old, and a repair never sees its segment hold still.
 */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock == CLOCK_REALTIME_COARSE) {
		*ts = (struct timespec){ 0 };
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, clock, ts);
}
