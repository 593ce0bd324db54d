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
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

#define QUIET_SECONDS 10
#define TOLD 64

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

/*
 * Who was told of lately. There are more users than room for them: those who find none are counted together, so that many
 * of them are no flood either.
 */
struct told {
	const char *what;		/* NULL: not in use */
	unsigned uid, lines, left_out;
	long since;
};

static struct told told[TOLD];
static unsigned crowded_out;		/* lines of those who found no room */
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;	/* of these; no line is written under it */

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec;
}

/* The entry of WHAT and UID, a free one, or NULL. */
static struct told *find_told(const char *what, unsigned uid)
{
	struct told *free = NULL;

	for (struct told *t = told; t < told + TOLD; t++) {
		if (!t->what)
			free = t;
		else if (strcmp(t->what, what) == 0 && t->uid == uid)
			return t;
	}
	return free;
}

static bool may_tell(const char *what, unsigned lines, unsigned uid)
{
	LOCKED(&told_lock);
	struct told *t = find_told(what, uid);

	if (!t) {
		crowded_out++;
		return false;
	}
	if (!t->what)
		*t = (struct told){ .what = what, .uid = uid, .since = now() };
	if (t->lines >= lines) {
		t->left_out++;
		return false;
	}
	t->lines++;
	return true;
}

/* Take out one whose time is over. */
static bool take_over(struct told *out)
{
	long before = now() - QUIET_SECONDS;
	LOCKED(&told_lock);

	for (struct told *t = told; t < told + TOLD; t++) {
		if (t->what && t->since <= before) {
			*out = *t;
			t->what = NULL;
			return true;
		}
	}
	return false;
}

/* There is room for others again once somebody's time is over. */
static unsigned take_crowded_out(void)
{
	LOCKED(&told_lock);
	unsigned n = crowded_out;

	crowded_out = 0;
	return n;
}

void log_left_out(void)
{
	struct told over;
	unsigned others = 0;

	while (take_over(&over)) {
		if (over.left_out && over.uid == LOG_NOBODY)
			log_line(LOG_NOTICE, "%u more lines about %s left out", over.left_out, over.what);
		else if (over.left_out)
			log_line(LOG_NOTICE, "%u more lines about %s of user %u left out", over.left_out, over.what, over.uid);
		others += take_crowded_out();
	}
	if (others)
		log_line(LOG_NOTICE, "%u more lines about other users left out", others);
}

void log_limited(const char *what, unsigned lines, unsigned uid, int priority, const char *format, ...)
{
	va_list args;

	log_left_out();
	if (!may_tell(what, lines, uid))
		return;
	va_start(args, format);
	log_vline(priority, format, args);
	va_end(args);
}
