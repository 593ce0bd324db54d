/* SPDX-License-Identifier: MIT */
/* The kernel remembers processes by number only, and for as long as the segment lives; numbers come round again. */
#include "process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define NS 1000000000LL
#define TICKS_MAX 100000000000ULL	/* thirty years, and no overflow in nanoseconds */
#define SLACK (2 * NS)	/* the kernel's times of segments are cut off to the second; and the clock may have been set since */

static bool slurp(pid_t pid, const char *file, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);

	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The 22nd field of /proc/PID/stat, in ticks since the machine started; the second is a name that may hold anything. */
static bool start_ticks(pid_t pid, unsigned long long *ticks)
{
	char text[1024], *at;

	if (!slurp(pid, "stat", text, sizeof(text)) || !(at = strrchr(text, ')')))
		return false;
	for (int field = 2; field < 22; field++) {
		at = strchr(at + 1, ' ');
		if (!at)
			return false;
	}
	*ticks = strtoull(at + 1, NULL, 10);
	return true;
}

static long long clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static bool began_by(pid_t pid, time_t when)
{
	unsigned long long ticks;

	if (!start_ticks(pid, &ticks) || ticks > TICKS_MAX)
		return false;

	long long began = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) + (long long)ticks * (NS / sysconf(_SC_CLK_TCK));

	return began <= when * NS + SLACK;
}

bool process_name(pid_t pid, time_t when, char name[PROCESS_NAME_MAX])
{
	char text[64];

	if (pid <= 0 || !began_by(pid, when) || !slurp(pid, "comm", text, sizeof(text)))
		return false;
	text[strcspn(text, "\n")] = '\0';
	snprintf(name, PROCESS_NAME_MAX, "%.*s", PROCESS_NAME_MAX - 1, text);
	return true;
}
