/* SPDX-License-Identifier: MIT */
/*
 * A holder that dies detaches its counter, and the kernel stamps the segment with the second and the pid. So one pass over
 * the kernel's table shows which counters anything happened to, without attaching to any; only those are looked
 * into. And where no process has ended since, the pass is left out, too, unless it costs next to nothing.
 */
#include "monitor.h"

#include <errno.h>
#include <libsm/daemon.h>
#include <libsm/sm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "hash.h"
#include "log.h"
#include "repair.h"
#include "thread.h"

#define NS 1000000000L
#define SHARE 5000		/* one part of so many of a processor may go into passes that nothing asks for */
#define WAIT_MS 20		/* for a counter to hold still */

/* A counter segment as it was when it was last looked into. */
struct known {
	int id;
	struct sm_segment seg;
	bool again;		/* look at it again, whatever its stamps say */
	uint64_t mark;		/* segment_stamped_elsewhere() before it was looked into */
	bool busy, once_more;
	unsigned sweep;		/* when it was last seen */
	UT_hash_handle hh;
};

static struct known *known;
static unsigned sweeps, every;
static long cost;		/* of the last pass over the table, ns */
static bool unsettled;		/* something is to be looked at again soon, whether or not anybody ends */

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
 * Attaching leaves our own stamps, so what is remembered is the segment as it is afterwards; unless somebody came or went
 * since it was looked into, whom the stamps name, or may have named before another thread of ours left its own. NATTCH is
 * what it was before. What may not be attached tells nothing.
 */
static void remember(struct known *k, unsigned long nattch, bool attached)
{
	bool busy, hidden;

	k->again = sm_segment_stat(k->id, &k->seg) || (attached && (k->seg.lpid != getpid() || k->seg.nattch != nattch));
	hidden = k->mark != segment_stamped_elsewhere(&busy) || k->busy;
	k->again |= attached && hidden;
	unsettled |= k->again;
}

/* Does the counter say more than are attached, or was its last holder not able to free it? */
static bool needs_repair(struct known *k, unsigned long nattch)
{
	int value = 1, leaked = 0;
	int err = sm_counter_leaked(k->id, &leaked);
	bool attached = !err;

	if (attached && !leaked)
		err = sm_counter_value(k->id, &value);
	remember(k, nattch, attached);
	if (err == -ENOMEM)
		k->again = unsettled = true;
	/* who ended and who came between the look and our detaching hide each other: it is looked at once more, later */
	if (attached && !k->again)
		k->again = k->once_more = !k->once_more;
	return leaked > 0 || value <= 0;
}

struct sweep {
	struct sm_segment *table;
	size_t count;
	struct repair *repairs;
	size_t due;
};

/* By its key alone it could be anybody's: keys of 'A'..'z' less 58 are those of '\a'..'@', which programs use, too. */
static bool may_be_counter(const struct sm_segment *seg)
{
	return sm_key_is_counter(seg->key) && (seg->size == sizeof(int) || seg->size == SM_COUNTER_SIZE);
}

/* Move to the table's front what something happened to. */
static size_t find_suspects(struct sweep *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		if (may_be_counter(&s->table[i]) && find_changed(&s->table[i]))
			s->table[n++] = s->table[i];
	return n;
}

/*
 * Without data beside it, it is another program's, or half of an object that was being removed: only what libsm made tells
 * which, and only where nobody has it attached is there anything to finish.
 */
static bool may_be_looked_into(const struct sm_segment *seg, int data)
{
	return data >= 0 || (seg->size == SM_COUNTER_SIZE && seg->nattch == 0);
}

static void examine(struct sweep *s, size_t suspects)
{
	for (size_t i = 0; i < suspects; i++) {
		struct sm_segment *seg = &s->table[i];
		int data = sm_segment_find(sm_key_data(seg->key));	/* before the counter is attached */
		struct known *k;

		HASH_FIND_INT(known, &seg->id, k);
		if (!may_be_looked_into(seg, data)) {
			k->again = true;	/* data may come to it, which changes nothing of this one */
			continue;
		}
		k->mark = segment_stamped_elsewhere(&k->busy);
		if (needs_repair(k, seg->nattch)) {
			s->repairs[s->due++] = (struct repair){
				.counter = *seg, .data_id = data < 0 ? -1 : data, .path = repair_path(seg->id),
			};
		}
	}
}

/*
 * Waiting for a counter that does not hold still costs all others time, so of each creator one is waited for in a sweep: who
 * makes many of them keeps only his own from being repaired. They are begun with another one each time.
 */
static void settle_all(struct sweep *s)
{
	AUTO_FREE uid_t *restless = calloc(s->due + 1, sizeof(*restless));
	size_t known_restless = 0, from = s->due ? sweeps % s->due : 0;

	for (size_t n = 0; n < s->due; n++) {
		struct repair *r = &s->repairs[(from + n) % s->due];
		size_t at = 0;

		while (at < known_restless && restless[at] != r->counter.cuid)
			at++;
		r->error = at < known_restless ? -EAGAIN :
			   sm_counter_reap_free(r->counter.id, r->data_id, WAIT_MS, &r->from, &r->to, &r->freed);
		if (r->error == -EAGAIN && at == known_restless && restless)
			restless[known_restless++] = r->counter.cuid;
	}
}

static void repair(struct sweep *s)
{
	settle_all(s);
	for (size_t i = 0; i < s->due; i++) {
		const struct repair *r = &s->repairs[i];
		struct known *k;

		repair_tell(r);
		free(r->path);
		HASH_FIND_INT(known, &r->counter.id, k);
		if (k && !r->freed) {
			remember(k, r->counter.nattch, true);
			k->again |= r->error == -EAGAIN || r->error == -EBUSY || r->error == -ENOMEM;
			/* who keeps it busy may do so for long; his end will show */
			unsettled |= r->error == -EAGAIN || r->error == -ENOMEM;
		}
	}
}

static long cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec % 1000000 * NS + t.tv_nsec;
}

static void sweep_once(void)
{
	struct sweep s = { 0 };
	long start = cpu_ns();
	ssize_t n = sm_segment_list(&s.table);

	if (n < 0)
		return;
	sweeps++;
	unsettled = false;
	s.count = (size_t)n;

	size_t suspects = find_suspects(&s);

	forget_gone();
	cost = cpu_ns() - start;
	s.repairs = suspects ? calloc(suspects, sizeof(*s.repairs)) : NULL;
	if (s.repairs) {
		examine(&s, suspects);
		repair(&s);
	}
	free(s.repairs);
	free(s.table);
}

/*
 * Has no process ended since the last call? Then the number of threads and the last pid given out are the same, which the
 * kernel tells for nothing. A holder that became another program by exec does not show there, nor one whose parent does not
 * wait for it, nor do others' pid namespaces, so it is not all that is asked.
 */
static bool nobody_died(void)
{
	static char before[64];
	char now[64] = "";
	FILE *f = fopen("/proc/loadavg", "re");

	if (f) {
		if (fscanf(f, "%*s %*s %*s %*[0-9]/%63[0-9 ]", now) != 1)
			now[0] = '\0';
		fclose(f);
	}

	bool same = now[0] && strcmp(before, now) == 0;

	strcpy(before, now);
	return same;
}

static void *run(void *unused)
{
	/* Twice in the time that is promised. */
	const struct timespec pause = { every / 2, every % 2 * NS / 2 };
	long idle = 0;		/* since the last pass */

	for (;;) {
		nanosleep(&pause, NULL);
		idle += every * (NS / 2);
		log_left_out();
		if (nobody_died() && !unsettled && idle / SHARE < cost)
			continue;
		sweep_once();
		idle = 0;
	}
	return unused;
}

int monitor_start(unsigned seconds)
{
	pthread_t thread;
	int err;

	every = seconds;
	err = thread_start(&thread, 0, run, NULL);
	if (!err)
		pthread_detach(thread);
	return err;
}
