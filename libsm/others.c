// SPDX-License-Identifier: MIT
/*
 * Who else has a segment attached. nattch counts attachments, this process' passing ones too; its holders, though,
 * count like anybody's. So the holders of this process stand in a list.
 */
#include "private.h"

#include <pthread.h>
#include <unistd.h>

/* This process' holds, so that its references are not taken for passing attachments. Guarded by lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hold *holds;
static unsigned generation;	/* of forks */

static void lock_holds(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_holds(void)
{
	pthread_mutex_unlock(&lock);
}

static void begin_as_child(void)
{
	generation++;
	unlock_holds();
}

/* A fork while another thread is in here would leave the child a lock that nobody opens. */
__attribute__((constructor)) static void guard_fork(void)
{
	pthread_atfork(lock_holds, unlock_holds, begin_as_child);
}

void hold_enlist(struct hold *hold)
{
	lock_holds();
	hold->generation = generation;
	hold->next = holds;
	holds = hold;
	unlock_holds();
}

void hold_delist(struct hold *hold)
{
	lock_holds();
	for (struct hold **at = &holds; *at; at = &(*at)->next) {
		if (*at == hold) {
			*at = hold->next;
			break;
		}
	}
	unlock_holds();
}

bool hold_is_mine(const struct hold *hold)
{
	return hold->pid != 0 && hold->pid == getpid() && hold->generation == generation;
}

static unsigned long count_holds(int counter_id, const struct hold *except)
{
	unsigned long n = 0;

	lock_holds();
	for (const struct hold *h = holds; h; h = h->next) {
		if (h != except && h->counter_id == counter_id && hold_is_mine(h))
			n++;
	}
	unlock_holds();
	return n;
}

/* One try; false if a thread of this process attached the segment meanwhile. */
static bool others_once(int id, const struct hold *self, struct sm_segment *seg, unsigned long *others)
{
	unsigned long own, mine;
	bool busy, still_busy;
	uint64_t mark = segment_attach_mark(id, &busy);

	if (sm_segment_stat(id, seg) < 0) {
		*others = 1;		/* cannot be, with the segment attached; careful */
		return true;
	}
	if (seg->nattch <= 1) {
		*others = 0;		/* the caller's own */
		return true;
	}
	mine = count_holds(id, self);
	own = sm_segment_own(id);
	if (own <= mine)
		own = mine + 1;
	*others = seg->nattch > own - mine ? seg->nattch - (own - mine) : 0;
	return !busy && mark == segment_attach_mark(id, &still_busy);
}

/* One try; false if a thread of this process attached the segment meanwhile, which would then be taken off too often. */
static bool attached_once(int id, bool *attached)
{
	bool busy, still_busy;
	uint64_t mark = segment_attach_mark(id, &busy);
	struct sm_segment seg;

	*attached = sm_segment_stat(id, &seg) == 0 && seg.nattch > 0 && seg.nattch > sm_segment_own(id);
	return *attached || (!busy && mark == segment_attach_mark(id, &still_busy));
}

bool segment_is_attached(int id)
{
	bool attached;

	for (int tries = 0; tries < 16; tries++) {
		if (attached_once(id, &attached))
			return attached;
	}
	return true;
}

unsigned long hold_others(int id, const struct hold *self, struct sm_segment *seg)
{
	unsigned long others;

	for (int tries = 0; tries < 16; tries++) {
		if (others_once(id, self, seg, &others))
			return others;
	}
	return seg->nattch - 1;
}
