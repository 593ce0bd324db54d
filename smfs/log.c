/* SPDX-License-Identifier: MIT */
/* Whoever runs smfs reads its log only when something is wrong, so a line is whole, rare and names its object. */
#include "log.h"

#include <stdio.h>
#include <syslog.h>
#include <time.h>

#define QUIET_SECONDS 10

static bool in_background;

void log_to_syslog(void)
{
	openlog("smfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);	/* now, and not as some caller */
	in_background = true;
}

/* Paths come from strangers, and must neither begin a line of their own nor speak to a terminal. */
static void clean(char *line)
{
	for (; *line; line++)
		if ((unsigned char)*line < ' ' || *line == 0x7f)
			*line = '?';
}

void log_vline(int priority, const char *format, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, args);
	clean(line);
	if (in_background)
		syslog(priority, "%s", line);
	else
		fprintf(stderr, "smfs: %s\n", line);	/* one write: lines of several threads do not mix */
}

void log_line(int priority, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_vline(priority, format, args);
	va_end(args);
}

void log_limited(long *last, int priority, const char *format, ...)
{
	struct timespec now;
	va_list args;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);

	long then = __atomic_load_n(last, __ATOMIC_RELAXED);

	if (then && now.tv_sec - then < QUIET_SECONDS)
		return;
	if (!__atomic_compare_exchange_n(last, &then, now.tv_sec, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	va_start(args, format);
	log_vline(priority, format, args);
	va_end(args);
}
