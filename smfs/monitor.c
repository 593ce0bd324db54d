/* SPDX-License-Identifier: MIT */
/*
 * A holder that dies detaches its counter, and the kernel stamps the segment with the second and the pid. So one pass over
 * the kernel's table shows which counters anything happened to, without attaching to any; only those are looked
 * into, and a system where nothing happens costs the pass.
 *
 * A repair is certain only once the stamps, our own attachment's too, are older than the current second. The sweep is
 * therefore made just before a second ends: then that wait is short, and a death is repaired at the next turn of the second.
 */
#include "monitor.h"

#include <errno.h>
#include <libsm/sm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "log.h"

#define NS 1000000000L
#define EARLY_NS 40000000L	/* before the turn of the second, on top of the time that a sweep takes */
#define MOST_EARLY_NS (NS / 2)
#define LONGEST_SKIP 10		/* sweeps */
#define WAIT_MS 600		/* from the attachments of a sweep to the turn of the second, at most */

/* A counter segment as it was when it was last looked into. */
struct known {
	int id;
	struct sm_segment seg;
	bool again;		/* it did not hold still: look at it again */
	unsigned sweep;		/* when it was last seen */
	UT_hash_handle hh;
};

static struct known *known;
static unsigned sweeps, every;
static bool unsettled;		/* something did not hold still in the last sweep */

static bool changed(const struct known *k, const struct sm_segment *now)
{
	return k->again || k->seg.nattch != now->nattch || k->seg.atime != now->atime || k->seg.dtime != now->dtime ||
	       k->seg.lpid != now->lpid || k->seg.ctime != now->ctime || k->seg.key != now->key;
}

/* What is remembered of the counter; NULL if nothing has happened to it, or memory is out. */
static struct known *find_changed(const struct sm_segment *counter)
{
	struct known *k;

	HASH_FIND_INT(known, &counter->id, k);
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return NULL;
		k->id = counter->id;
		k->again = true;
		HASH_ADD_INT(known, id, k);
		if (!hash_added(k->hh)) {
			free(k);
			return NULL;
		}
	}
	k->sweep = sweeps;
	return changed(k, counter) ? k : NULL;
}

static void forget_gone(void)
{
	struct known *k, *next;

	HASH_ITER(hh, known, k, next) {
		if (k->sweep != sweeps) {
			HASH_DEL(known, k);
			free(k);
		}
	}
}

/*
 * Does the counter say more than are attached, or has its last holder died while freeing? Attaching to see leaves its own
 * stamps, so what is remembered is the segment as it is afterwards.
 */
static bool needs_repair(struct known *k)
{
	int value, leaked;
	bool needs = sm_counter_leaked(k->id, &leaked) == 0 && leaked > 0;

	if (!needs && sm_counter_value(k->id, &value) == 0)
		needs = value <= 0;
	k->again = sm_segment_stat(k->id, &k->seg) != 0;
	return needs;
}

static void tell(const struct sm_repair *r, const struct sm_segment *counter)
{
	struct sm_counter c;
	char name[32];
	const char *path = name;

	snprintf(name, sizeof(name), "key 0x%08x", (unsigned)sm_key_data(counter->key));
	if (!r->freed && sm_counter_load(r->counter_id, &c) == 0 && c.path[0])
		path = c.path;
	if (r->error == -EPERM)
		log_line(LOG_WARNING, "%s:%c (segment %d): references %d -> 0, but it may not be freed: %s", path,
			 sm_key_proj(sm_key_data(counter->key)), r->data_id, r->from, strerror(EPERM));
	else if (r->from != r->to || r->freed)
		log_line(LOG_NOTICE, "%s:%c (segment %d): references %d -> %d, holders died%s", path,
			 sm_key_proj(sm_key_data(counter->key)), r->data_id, r->from, r->to,
			 r->freed ? "; freed" : "");
}

struct sweep {
	struct sm_segment *table;	/* moved to its front: the counters of the repairs */
	size_t count;
	struct sm_repair *repairs;
	size_t due;
};

/* Move to the table's front what something happened to. */
static size_t find_suspects(struct sweep *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		if (sm_key_is_counter(s->table[i].key) && find_changed(&s->table[i]))
			s->table[n++] = s->table[i];
	return n;
}

static void examine(struct sweep *s, size_t suspects)
{
	for (size_t i = 0; i < suspects; i++) {
		struct sm_segment *seg = &s->table[i];
		int data = sm_segment_find(sm_key_data(seg->key));	/* before the counter is attached */
		struct known *k;

		HASH_FIND_INT(known, &seg->id, k);
		if (needs_repair(k) && data >= 0) {
			s->repairs[s->due] = (struct sm_repair){ .counter_id = seg->id, .data_id = data };
			s->table[s->due++] = *seg;
		}
	}
}

static void repair(struct sweep *s)
{
	if (s->due)
		sm_counter_reap_many(s->repairs, s->due, WAIT_MS);
	for (size_t i = 0; i < s->due; i++) {
		struct known *k;

		tell(&s->repairs[i], &s->table[i]);
		HASH_FIND_INT(known, &s->repairs[i].counter_id, k);
		if (k) {
			k->again = s->repairs[i].error == -EAGAIN || sm_segment_stat(k->id, &k->seg);
			unsettled |= k->again;
		}
	}
}

static void sweep_once(void)
{
	struct sweep s = { 0 };
	ssize_t n = sm_segment_list(&s.table);

	if (n < 0)
		return;
	sweeps++;
	unsettled = false;
	s.count = (size_t)n;

	size_t suspects = find_suspects(&s);

	forget_gone();
	s.repairs = suspects ? calloc(suspects, sizeof(*s.repairs)) : NULL;
	if (s.repairs) {
		examine(&s, suspects);
		repair(&s);
	}
	free(s.repairs);
	free(s.table);
}

static long ns_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec % 1000000 * NS + t.tv_nsec;
}

/* Until EARLY nanoseconds before the turn of a second, SECONDS of them later. */
static void sleep_until_due(long early)
{
	struct timespec now, due;

	clock_gettime(CLOCK_REALTIME, &now);
	due.tv_sec = now.tv_sec + every - 1;
	due.tv_nsec = NS - early;
	if (every == 1 && now.tv_nsec >= due.tv_nsec)
		due.tv_sec++;
	do {	/* on a busy machine it may wake when the second has turned: then the next one, or the wait would be long */
		clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &due, NULL);
		clock_gettime(CLOCK_REALTIME, &now);
		due.tv_sec++;
	} while (now.tv_sec >= due.tv_sec && now.tv_sec - due.tv_sec < 2);
}

/*
 * Has no process ended since the last call? Then the number of threads and the last pid given out are the same, which the
 * kernel tells for nothing. A holder that became another program by exec does not show there, nor do others' pid
 * namespaces, so it is not asked for too long.
 */
static bool nobody_died(void)
{
	static char before[64];
	static unsigned skipped;
	char now[64] = "";
	FILE *f = fopen("/proc/loadavg", "re");

	if (f) {
		if (fscanf(f, "%*s %*s %*s %*[0-9]/%63[0-9 ]", now) != 1)
			now[0] = '\0';
		fclose(f);
	}

	bool same = now[0] && strcmp(before, now) == 0 && ++skipped < LONGEST_SKIP;

	if (!same)
		skipped = 0;
	strcpy(before, now);
	return same;
}

static void *run(void *unused)
{
	long early = EARLY_NS;

	for (;;) {
		sleep_until_due(early);
		if (!unsettled && nobody_died())
			continue;

		long start = ns_of(CLOCK_THREAD_CPUTIME_ID);

		sweep_once();
		early = EARLY_NS + 2 * (ns_of(CLOCK_THREAD_CPUTIME_ID) - start);
		if (early > MOST_EARLY_NS)
			early = MOST_EARLY_NS;
	}
	return unused;
}

int monitor_start(unsigned seconds)
{
	pthread_t thread;
	sigset_t all, before;
	int err;

	every = seconds;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_detach(thread);
	return -err;
}
