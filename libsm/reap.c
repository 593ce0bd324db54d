// SPDX-License-Identifier: MIT
/*
 * Repair: references whose holders are dead, taken off.
 *
 * The hard fact here is that the counter and nattch cannot be read in one step, and that old programs count
 * with a plain ++ that leaves no trace in the sequence number. What does leave a trace is attaching and
 * detaching: the kernel stamps the segment with the pid of who did it last, dying and forking included. So:
 * attach, which makes that pid ours, and look twice. If word, nattch and stamps are the same both times, the
 * pid is still ours and no other thread of this process attached meanwhile, nobody came or went between; so
 * at that moment nattch (less our own) was the most that can be alive, and the swap succeeds only if nobody
 * counted since.
 *
 * (One look would do, but for a freak: the kernel lets go of a dying process' memory in the name of whoever
 * happens to read its files in /proc, which may be another thread of ours.)
 */
#include "private.h"

#include <errno.h>
#include <limits.h>

struct look {
	struct word word;
	unsigned long others;
	struct sm_segment seg;
};

static struct look look(struct page *page, int id)
{
	struct look l;

	l.word = page_load(page);
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
	while (!word_same(l.word, page_load(page)) && ++tries < 8);
	*leaked = leaked_of(&l);
	return counter_detach(page, 0);
}

/* Nobody but this process has attached or detached since; what it did itself, its mark tells. */
static bool look_is_ours(const struct look *l)
{
	return l->seg.lpid == getpid();
}

/* Make the last pid ours again. The caller has it attached, so this only fails where memory does. */
static void sign(int id)
{
	void *at;

	if (sm_segment_attach(id, true, &at) == 0)
		sm_segment_detach(at);
}

/* What a repair is to make of a counter, given how many are alive. */
typedef struct word (*repair_fn)(struct word now, unsigned long alive);

static struct word repair_count(struct word now, unsigned long alive)
{
	return word_next(now, (int32_t)alive);
}

static struct word repair_and_leave(struct word now, unsigned long alive)
{
	return alive > 0 ? word_next(now, (int32_t)alive) : word_next_left(now);
}

/*
 * Two looks with nobody but us between them; -EAGAIN: there was somebody. *LEAKED is 0 where there is nothing
 * to repair.
 */
static int look_alone(struct page *page, int id, struct look *a, int *leaked)
{
	bool busy, still_busy;
	uint64_t mark = segment_attach_mark(id, &busy);
	struct look b;

	*a = look(page, id);
	*leaked = leaked_of(a);
	if (*leaked == 0)
		return 0;
	b = look(page, id);
	return look_same(a, &b) && look_is_ours(&b) && !busy && mark == segment_attach_mark(id, &still_busy) ? 0 : -EAGAIN;
}

/*
 * *FROM and *TO are the counter before and after, *WORD what stands there after a repair.
 * 0: repaired, or nothing to repair (*FROM == *TO). -EAGAIN: it did not hold still.
 */
static int settle(struct page *page, int id, int wait_ms, repair_fn repair, int *from, int *to, struct word *word)
{
	struct retry retry = retry_begin((wait_ms > 0 ? wait_ms : 0) * MS, 50 * US, 5 * MS);
	struct look l;
	int leaked;

	for (;;) {
		int r = look_alone(page, id, &l, &leaked);

		*word = l.word;
		*from = *to = l.word.counter;
		if (leaked == 0)
			return 0;
		if (r == 0 && page_swap(page, word, repair(l.word, l.others))) {
			*to = word->counter;
			return 0;
		}
		if (!retry_sleep(&retry))
			return -EAGAIN;
		sign(id);
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
	r = counter_detach(page, settle(page, id, wait_ms, repair_count, &before, &after, &word));
	if (r < 0)
		return r;
	if (from)
		*from = before;
	if (to)
		*to = after;
	return 0;
}

/* The word is DEAD and ours; -EPERM: taken back, the counter is at 0. */
static int finish(struct page *page, struct word word, int data_id, int counter_id, bool *freed)
{
	if (pair_remove(page, &word, data_id, counter_id) == 0) {
		*freed = true;
		return 0;
	}
	page_swap(page, &word, word_next(word, 0));
	return -EPERM;
}

/* A word that is dead, and its last leaver is no more, or left. */
static int finish_left(struct page *page, struct word word, int data_id, int counter_id, bool *freed)
{
	if (!pair_may_remove(data_id, counter_id) || !pair_is(data_id, counter_id))
		return 0;
	if (pair_is_used(data_id, counter_id))
		return -EBUSY;
	/* Data that came when the old one was gone: it may be in its maker's hands, and is no leftover. The object lives again. */
	if (word_gone(word) && data_id >= 0) {
		page_swap(page, &word, word_next(word, 0));
		return 0;
	}
	if (!page_swap(page, &word, word_next_dead(word)))
		return 0;
	return finish(page, word, data_id, counter_id, freed);
}

static int reap_free(struct page *page, int id, int data_id, int wait_ms, int *from, int *to, bool *freed)
{
	struct word word = page_load(page);
	int r;

	*from = *to = 0;
	if (word_dead(word) || word_left(word))
		return finish_left(page, word, data_id, id, freed);
	r = settle(page, id, wait_ms, repair_and_leave, from, to, &word);
	if (r < 0 || *from == *to || *to > 0)
		return r;
	if (!pair_may_remove(data_id, id))
		return -EPERM;		/* who may, and sees it, does */
	return finish_left(page, word, data_id, id, freed);
}

int sm_counter_reap_free(int id, int data_id, int wait_ms, int *from, int *to, bool *freed)
{
	struct page *page;
	int before = 0, after = 0;
	bool gone = false;
	int r = counter_recognize(id, data_id);

	if (r == 0)
		r = counter_attach(id, false, &page, NULL);
	if (r < 0)
		return r;
	r = counter_detach(page, reap_free(page, id, data_id, wait_ms, &before, &after, &gone));
	if (r < 0 && r != -EPERM && r != -EBUSY)
		return r;
	if (from)
		*from = before;
	if (to)
		*to = after;
	if (freed)
		*freed = gone;
	return r;
}
