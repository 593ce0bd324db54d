// SPDX-License-Identifier: MIT
/*
 * Repair: references whose holders are dead, taken off.
 *
 * The hard fact here is that the counter and nattch cannot be read in one step, and that old programs count
 * with a plain ++ that leaves no trace in the sequence number. What does leave a trace is attaching and
 * detaching: the kernel stamps the segment with the second and the pid. So: stay attached, wait until the
 * stamps are older than the current second, and look twice. If word, nattch, stamps and pid are the same
 * both times, nobody came or went between, because the stamp would be this second's; so at that moment
 * nattch (less our own) was the most that can be alive, and the swap succeeds only if nobody counted since.
 */
#include "private.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

#define NS 1000000000LL
#define MS 1000000LL
#define REAP_BATCH 512		/* attachments at a time */
#define SLICE (20 * MS)		/* how often the waiting looks whether it still makes sense */
#define TICK (5 * MS)		/* the coarse clock, and so the stamps, may be this much late */

struct look {
	struct word word;
	unsigned long others;
	struct sm_segment seg;
};

static struct look look(struct page *page, int id)
{
	struct look l;

	l.word = word_load(&page->word);
	l.others = hold_others(id, NULL, &l.seg);
	return l;
}

static bool look_same(const struct look *a, const struct look *b)
{
	return word_same(a->word, b->word) && a->others == b->others && a->seg.nattch == b->seg.nattch &&
	       a->seg.atime == b->seg.atime && a->seg.dtime == b->seg.dtime && a->seg.lpid == b->seg.lpid;
}

static int leaked_of(const struct look *l)
{
	if (l->word.counter <= 0 || l->others >= (unsigned long)l->word.counter)
		return 0;
	return l->word.counter - (int)l->others;
}

int sm_counter_leaked(int id, int *leaked)
{
	struct page *page;
	struct look l;
	int tries = 0;
	int r = counter_attach(id, true, &page, NULL);

	if (r < 0)
		return r;
	/* No repair hangs on this; a few tries for two readings that belong together are enough. */
	do
		l = look(page, id);
	while (!word_same(l.word, word_load(&page->word)) && ++tries < 8);
	*leaked = leaked_of(&l);
	counter_detach(page);
	return 0;
}

/* CLOCK_REALTIME_COARSE is the clock that the kernel stamps segments with. */
static bool stamps_are_old(time_t second, const struct sm_segment *seg)
{
	return second > seg->atime && second > seg->dtime;
}

static time_t coarse_second(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts.tv_sec;
}

static int64_t monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

/* Until the next second begins, but a slice at most, and not past DEADLINE. */
static bool wait_for_second(int64_t deadline)
{
	int64_t ns = SLICE, left = deadline - monotonic();
	struct timespec ts;

	if (left <= 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (NS - ts.tv_nsec + TICK < ns)
		ns = NS - ts.tv_nsec + TICK;
	if (left < ns)
		ns = left;
	nanosleep(&(struct timespec){ 0, ns }, NULL);
	return true;
}

/* What a repair is to make of a counter, given how many are alive. */
typedef struct word (*repair_fn)(struct word now, unsigned long alive);

static struct word repair_count(struct word now, unsigned long alive)
{
	return word_next(now, (int32_t)alive);
}

static struct word repair_or_kill(struct word now, unsigned long alive)
{
	return alive > 0 ? word_next(now, (int32_t)alive) : word_next_dead(now);
}

/*
 * *FROM and *TO are the counter before and after, *WORD what stands there after a repair.
 * 0: repaired, or nothing to repair (*FROM == *TO). -EAGAIN: it did not hold still.
 */
static int settle(struct page *page, int id, int wait_ms, repair_fn repair, int *from, int *to, struct word *word)
{
	int64_t deadline = monotonic() + (wait_ms > 0 ? wait_ms : 0) * MS;

	for (;;) {
		time_t second = coarse_second();	/* before looking: what comes later is stamped later */
		struct look a = look(page, id);

		*word = a.word;
		*from = *to = a.word.counter;
		if (leaked_of(&a) == 0)
			return 0;
		if (stamps_are_old(second, &a.seg)) {
			struct look b = look(page, id);

			if (look_same(&a, &b) && word_swap(&page->word, word, repair(a.word, a.others))) {
				*to = word->counter;
				return 0;
			}
		}
		if (!wait_for_second(deadline))
			return -EAGAIN;
	}
}

int sm_counter_reap(int id, int wait_ms, int *from, int *to)
{
	struct page *page;
	struct word word;
	int before, after;
	int r = counter_attach(id, false, &page, NULL);

	if (r < 0)
		return r;
	r = settle(page, id, wait_ms, repair_count, &before, &after, &word);
	counter_detach(page);
	if (r < 0)
		return r;
	if (from)
		*from = before;
	if (to)
		*to = after;
	return 0;
}

/* Both keys name these two ids. */
static bool is_pair(int data_id, int counter_id)
{
	struct sm_segment seg;

	return sm_segment_stat(counter_id, &seg) == 0 && sm_key_is_counter(seg.key) &&
	       sm_segment_find(sm_key_data(seg.key)) == data_id && sm_segment_find(seg.key) == counter_id;
}

/* A program that has only the data attached counts nowhere, and uses it all the same. */
static bool data_in_use(int data_id)
{
	struct sm_segment seg;

	return sm_segment_stat(data_id, &seg) == 0 && seg.nattch > 0 && seg.nattch > sm_segment_own(data_id);
}

/* The word is DEAD and ours; -EPERM: taken back, the counter is at 0. */
static int finish(struct page *page, struct word word, int data_id, int counter_id, bool *freed)
{
	if (pair_remove(data_id, counter_id) == 0) {
		*freed = true;
		return 0;
	}
	word_swap(&page->word, &word, word_next(word, 0));
	return -EPERM;
}

/* A dead word whose last leaver is no more. */
static int finish_dead(struct page *page, struct word word, int data_id, int counter_id, bool *freed)
{
	struct sm_segment seg;

	if (hold_others(counter_id, NULL, &seg) > 0 || data_in_use(data_id) || !pair_may_remove(data_id, counter_id) ||
	    !is_pair(data_id, counter_id) || !word_swap(&page->word, &word, word_next_dead(word)))
		return 0;
	return finish(page, word, data_id, counter_id, freed);
}

static int reap_free(struct page *page, int id, int data_id, int wait_ms, int *from, int *to, bool *freed)
{
	struct word word = word_load(&page->word);
	bool may;
	int r;

	if (word_dead(word)) {
		*from = *to = 0;
		return finish_dead(page, word, data_id, id, freed);
	}
	may = is_pair(data_id, id) && pair_may_remove(data_id, id) && !data_in_use(data_id);
	r = settle(page, id, wait_ms, may ? repair_or_kill : repair_count, from, to, &word);
	if (r < 0 || *from == *to || *to > 0)
		return r;
	/* The pair may have been torn apart by others while this slept. */
	if (word_dead(word) && !is_pair(data_id, id)) {
		word_swap(&page->word, &word, word_next(word, 0));
		return 0;
	}
	if (word_dead(word))
		return finish(page, word, data_id, id, freed);
	return pair_may_remove(data_id, id) ? 0 : -EPERM;
}

int sm_counter_reap_free(int id, int data_id, int wait_ms, int *from, int *to, bool *freed)
{
	struct page *page;
	int before = 0, after = 0;
	bool gone = false;
	int r = counter_attach(id, false, &page, NULL);

	if (r < 0)
		return r;
	r = reap_free(page, id, data_id, wait_ms, &before, &after, &gone);
	counter_detach(page);
	if (r < 0 && r != -EPERM)
		return r;
	if (from)
		*from = before;
	if (to)
		*to = after;
	if (freed)
		*freed = gone;
	return r;
}

/* Attached, none of them is stamped again by us, so one wait serves all. */
static void wait_for_all(int wait_ms)
{
	int64_t deadline = monotonic() + (wait_ms > 0 ? wait_ms : 0) * MS;
	time_t second = coarse_second();

	while (coarse_second() == second && wait_for_second(deadline))
		;
}

static void reap_batch(struct sm_repair *r, size_t n, int wait_ms)
{
	struct page *pages[REAP_BATCH];

	for (size_t i = 0; i < n; i++) {
		r[i].from = r[i].to = 0;
		r[i].freed = false;
		r[i].error = counter_attach(r[i].counter_id, false, &pages[i], NULL);
	}
	wait_for_all(wait_ms);
	for (size_t i = 0; i < n; i++) {
		if (r[i].error)
			continue;
		r[i].error = reap_free(pages[i], r[i].counter_id, r[i].data_id, 0, &r[i].from, &r[i].to, &r[i].freed);
		counter_detach(pages[i]);
	}
}

void sm_counter_reap_many(struct sm_repair *repairs, size_t n, int wait_ms)
{
	for (size_t done = 0; done < n; done += REAP_BATCH)
		reap_batch(repairs + done, n - done < REAP_BATCH ? n - done : REAP_BATCH, wait_ms);
}
