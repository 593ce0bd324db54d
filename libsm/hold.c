// SPDX-License-Identifier: MIT
/*
 * One holder: joining and leaving.
 *
 * The hard fact here is that the count is only a number, while nattch is the truth: the kernel takes a
 * holder's attachment away however it ends. So a holder has the counter attached from before it counts
 * until after it has counted down, a last leaver removes nothing that somebody else has attached, and a
 * forked child, which holds no reference, does not inherit the attachment (MADV_DONTFORK).
 *
 * Between finding the segments and counting, they may be removed and made again. So the one who joined looks
 * once more: if both keys still name the ids that it holds, nobody can remove them any more, because a last
 * leaver's compare-and-swap to DEAD needs a counter of 1 or less.
 */
#include "private.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

/* One on. -EAGAIN: dead meanwhile. */
static int count_up(struct page *page)
{
	struct word w = word_load(&page->word);
	int32_t counter;

	do {
		if (word_dead(w))
			return -EAGAIN;
		counter = w.counter < 0 ? 0 : w.counter;
		if (counter == INT_MAX)
			return -EOVERFLOW;
	} while (!word_swap(&page->word, &w, word_next(w, counter + 1)));
	return 0;
}

static int attach_data(struct hold *hold, size_t size)
{
	struct sm_segment seg;
	int r = sm_segment_stat(hold->data_id, &seg);

	if (r < 0)
		return r == -EIDRM ? -EAGAIN : r;
	hold->size = seg.size;
	if (seg.size < size)
		return -EINVAL;
	r = segment_attach_reserved(hold->data_id, seg.size, &hold->data, &hold->reserved);
	return r == -EIDRM ? -EAGAIN : r;
}

/* With the counter attached: everything that can fail, then count, then look again. */
static int join_attached(struct hold *hold, key_t data_key, size_t size)
{
	struct word w = word_load(&hold->page->word);
	int r;

	if (word_dead(w)) {
		pair_help(hold->page, w, hold->counter_key, hold->data_id, hold->counter_id);
		return -EAGAIN;
	}
	if (madvise(hold->page, sizeof *hold->page, MADV_DONTFORK) < 0)
		return -errno;
	r = attach_data(hold, size);
	if (r < 0)
		return r;
	r = count_up(hold->page);
	if (r == 0 && (sm_segment_find(data_key) != hold->data_id ||
		       sm_segment_find(hold->counter_key) != hold->counter_id)) {
		/* Only the count: what else is here belongs to others. */
		counter_take(hold->page);
		r = -EAGAIN;
	}
	if (r < 0)
		segment_detach_reserved(hold->data, hold->reserved);
	return r;
}

static int join_once(struct hold *hold, key_t data_key, size_t size)
{
	size_t counter_size;
	int r;

	/* Data first: see pair_help(). */
	hold->data_id = sm_segment_find(data_key);
	if (hold->data_id < 0)
		return hold->data_id;
	hold->counter_key = sm_key_counter(data_key);
	hold->counter_id = sm_segment_find(hold->counter_key);
	if (hold->counter_id < 0)
		return hold->counter_id;
	r = counter_attach(hold->counter_id, false, &hold->page, &counter_size);
	if (r < 0)
		return r == -EIDRM ? -EAGAIN : r;
	counter_mark(hold->page, counter_size, NULL);
	r = join_attached(hold, data_key, size);
	if (r < 0)
		counter_detach(hold->page, 0);
	return r;
}

int hold_join(struct hold *hold, key_t data_key, size_t size)
{
	struct retry retry = retry_begin(2000 * MS, 50 * US, 1 * MS);
	struct hold h = { 0 };
	int r;

	do
		r = join_once(&h, data_key, size);
	while (r == -EAGAIN && retry_sleep(&retry));
	hold->size = h.size;
	if (r < 0)
		return r;
	*hold = h;
	hold->pid = getpid();
	hold_enlist(hold);
	return 0;
}

/* Attached, it is there, with its key or removed; unless this process has gone to another IPC namespace, where it is another's. */
static bool is_still(int id, key_t key)
{
	struct sm_segment seg;

	return sm_segment_stat(id, &seg) == 0 && (seg.removed || seg.key == key);
}

/* False if the counter's key has passed to another segment, which now counts who uses the data. */
static bool counter_is_current(const struct hold *hold)
{
	int now = sm_segment_find(hold->counter_key);

	return (now < 0 || now == hold->counter_id) && is_still(hold->counter_id, hold->counter_key) &&
	       is_still(hold->data_id, sm_key_data(hold->counter_key));
}

/* The word says DEAD, by us (W): remove, or take it back where that is refused. */
static void remove_as_last(struct hold *hold, struct word w)
{
	if (pair_remove(hold->page, &w, hold->data_id, hold->counter_id) == -EPERM)
		word_swap(&hold->page->word, &w, word_next(w, 0));
}

/*
 * Count down, or, as the last, remove both. Others that have the counter attached although the count is 1
 * or less are joiners about to count, leavers about to detach, or programs whose count was lost: wait for
 * the first two kinds, and leave the object to the third, or to the monitor.
 */
static void leave_word(struct hold *hold)
{
	struct retry retry = retry_begin(1000 * MS, 200 * US, 25 * MS);
	_Atomic uint64_t *at = &hold->page->word;
	struct word w = word_load(at);
	struct sm_segment seg;
	bool others, mine;

	for (;;) {
		if (word_dead(w))
			return;		/* somebody is removing it */
		if (w.counter > 1) {
			if (word_swap(at, &w, word_next(w, w.counter - 1)))
				return;
			continue;
		}
		others = hold_others(hold->counter_id, hold, &seg) > 0;
		if (others && retry_sleep(&retry)) {
			w = word_load(at);
			continue;
		}
		mine = pair_may_remove(hold->data_id, hold->counter_id) && counter_is_current(hold);
		if (!word_swap(at, &w, !mine ? word_next(w, 0) : others ? word_next_left(w) : word_next_dead(w)))
			continue;
		if (mine && !others)
			remove_as_last(hold, w);
		return;
	}
}

void hold_leave(struct hold *hold)
{
	if (hold->pid == 0)
		return;
	hold_delist(hold);
	if (hold_is_mine(hold)) {
		leave_word(hold);
		segment_detach_reserved(hold->data, hold->reserved);
		counter_detach(hold->page, 0);
	} else {
		/* A forked child: the counter was not inherited, its reference is the parent's. */
		segment_detach_reserved(hold->data, hold->reserved);
	}
	*hold = (struct hold){ 0 };
}
