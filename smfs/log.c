/* SPDX-License-Identifier: MIT */
/*
 * Whoever runs smfs reads its log only when something is wrong, so a line is whole, rare and names its object.
 *
 * syslog(3) waits for as long as nobody reads /dev/log, and with it would the thread that serves somebody. So lines go
 * there as datagrams that are never waited for; those that are not taken are counted, and the next one says how many.
 */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

#define QUIET_SECONDS 10

static _Atomic bool in_background;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of what follows; nothing blocks under it */
static int daemon_log = -1;
static unsigned lost;

static bool reconnect(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

	if (daemon_log >= 0)
		close(daemon_log);
	daemon_log = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (daemon_log < 0)
		return false;
	if (connect(daemon_log, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	close(daemon_log);
	daemon_log = -1;
	return false;
}

static bool send_datagram(int priority, const char *line)
{
	char text[1200], when[32];
	time_t now = time(NULL);
	struct tm tm;

	strftime(when, sizeof(when), "%b %e %H:%M:%S", localtime_r(&now, &tm));

	size_t n = (size_t)snprintf(text, sizeof(text), "<%d>%s smfs[%d]: %s", LOG_DAEMON | priority, when, (int)getpid(), line);

	if (daemon_log >= 0 && send(daemon_log, text, n, MSG_NOSIGNAL) >= 0)
		return true;
	/* full is full; else it was not there, or is another one now */
	return (daemon_log < 0 || errno != EAGAIN) && reconnect() && send(daemon_log, text, n, MSG_NOSIGNAL) >= 0;
}

static void send_line(int priority, const char *line)
{
	char notice[64];
	LOCKED(&lock);

	snprintf(notice, sizeof(notice), "lines lost before this one, since nobody read: %u", lost);
	if (lost && send_datagram(LOG_WARNING, notice))
		lost = 0;
	if (lost || !send_datagram(priority, line))
		lost++;
}

void log_to_syslog(void)
{
	reconnect();	/* now, and not as some caller */
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
		send_line(priority, line);
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
