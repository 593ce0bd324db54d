// SPDX-License-Identifier: MIT
/*
 * wait. A counter can be read only by attaching it, which changes what others look at: the monitor would look
 * into a counter each time that a waiter read it. So it looks at what the kernel tells without attaching, ten
 * times a second, and reads the counter when that changed; less and less often when such reads find nothing new
 * (another waiter's reads are changes too), and every five seconds in any case.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>

#include "smctl.h"

const struct flag wait_flags[] = {
	{ OPT_REFCOUNT, "refcount", "N", "the value to wait for (0)" },
	{ OPT_TIMEOUT, "timeout", "T", "give up after T, with status 1" },
	{ 0 },
};

#define LOOK_MS 100
#define READ_MS_MAX 5000

struct watch {
	key_t key;		/* of the counter */
	struct sm_segment last;	/* as it was after the last read */
	int value;
	int pause_ms, since_ms;	/* between reads while they find nothing; since the last one */
};

static bool changed(const struct watch *w, const struct sm_segment *now)
{
	return now->lpid != w->last.lpid || now->atime != w->last.atime || now->dtime != w->last.dtime;
}

static bool due(const struct watch *w, const struct sm_segment *now)
{
	if (now->id != w->last.id || now->nattch != w->last.nattch)
		return true;
	return w->since_ms >= (changed(w, now) ? w->pause_ms : READ_MS_MAX);
}

/* 0, the value being known; or a negative errno. An object that is not there has the counter 0. */
static int look(struct watch *w)
{
	struct sm_segment now;
	int value = 0, error = sm_segment_stat_key(w->key, &now);

	if (error < 0) {
		w->value = 0;
		w->last.id = -1;
		return error == -ENOENT ? 0 : error;
	}
	w->since_ms += LOOK_MS;
	if (!due(w, &now))
		return 0;
	error = sm_counter_value(now.id, &value);
	if (error < 0)
		return error == -EIDRM ? 0 : error;
	w->pause_ms = value != w->value ? LOOK_MS : 2 * w->pause_ms;
	if (w->pause_ms > READ_MS_MAX)
		w->pause_ms = READ_MS_MAX;
	w->since_ms = 0;
	w->value = value;
	/* After our own attach, which is no news; if it is gone now, the next look finds out. */
	if (sm_segment_stat(now.id, &w->last) < 0)
		w->last.id = -1;
	return 0;
}

static bool reached(const struct watch *w, int wanted)
{
	return w->value == wanted || (!wanted && w->value < 0);
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* TIMEOUT is in seconds; below 0: none. */
static int wait_for(const struct target *t, int wanted, time_t timeout)
{
	struct watch w = { .key = sm_key_counter(t->key), .last.id = -1, .pause_ms = LOOK_MS };
	struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	long long end = now_ms() + timeout * 1000LL;
	int error;

	for (;;) {
		error = look(&w);
		if (error < 0)
			return target_fail(t, "read the counter of", error);
		if (reached(&w, wanted))
			return DONE;
		if (timeout >= 0 && now_ms() >= end)
			return fail("the counter of %s is %d still, not %d", target_name(t), w.value, wanted);
		nanosleep(&pause, NULL);
	}
}

int run_wait(int argc, char **argv)
{
	struct target t = NO_TARGET;
	uint64_t wanted = 0;
	time_t timeout = -1;
	int code, status = 0;

	while (!status && (code = flag_next(argc, argv, false)) != -1) {
		if (code == OPT_REFCOUNT)
			status = parse_number(optarg, INT_MAX, &wanted) < 0 ?
				 misuse("--refcount takes a number from 0 to %d", INT_MAX) : 0;
		else if (code == OPT_TIMEOUT)
			status = take_duration(optarg, &timeout);
		else
			status = USAGE;
	}
	status = status ? status : target_only(&t, argc - optind, argv + optind);
	status = status ? status : wait_for(&t, (int)wanted, timeout);
	target_free(&t);
	return status;
}
