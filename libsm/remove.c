// SPDX-License-Identifier: MIT
/*
 * The two segments of one object, removed together.
 *
 * Removing begins with the DEAD bit in the counter's word, which turns everybody away; then goes the data, then the counter.
 * One who died in the middle is helped by whoever comes next: the helper first changes the word, as a claim, and only
 * the one whose claim succeeded removes. Without the claim, a helper that was slow could remove what a third one had meanwhile
 * taken back into use.
 *
 * The hard fact here is that a maker who looked before DEAD was there may make new data at any time after it. Once the counter
 * is gone, whoever makes the next one takes that data over. So the counter goes only when the word says that the data is
 * gone (GONE), and only he can say so whose claim is the last one: then no slow helper is left that could still take
 * what it sees under the data key for the old one's. tests/model/pair.pml has all this.
 */
#include "private.h"

#include <errno.h>

#define CLAIMS 100	/* a word that changes that often between a look and a swap is not left alone on purpose */

/* The creator, not the owner: an owner can make anyone else the owner. */
bool counter_may_speak_for(const struct sm_segment *counter, const struct sm_segment *data)
{
	return counter->cuid == 0 || counter->cuid == data->uid || counter->cuid == data->cuid;
}

bool pair_may_remove(int data_id, int counter_id)
{
	struct sm_segment data, counter;
	bool has_data = data_id >= 0 && sm_segment_stat(data_id, &data) == 0;
	bool has_counter = counter_id >= 0 && sm_segment_stat(counter_id, &counter) == 0;

	return (!has_data || segment_may_remove(&data)) && (!has_counter || segment_may_remove(&counter)) &&
	       (!has_data || !has_counter || counter_may_speak_for(&counter, &data));
}

bool pair_is(int data_id, int counter_id)
{
	struct sm_segment seg;
	int data;

	if (sm_segment_stat(counter_id, &seg) < 0 || !sm_key_is_counter(seg.key))
		return false;
	data = sm_segment_find(sm_key_data(seg.key));
	return (data < 0 ? -1 : data) == data_id && sm_segment_find(seg.key) == counter_id;
}

static bool is_attached(int id)
{
	return id >= 0 && segment_is_attached(id);
}

bool pair_is_used(int data_id, int counter_id)
{
	struct sm_segment seg;

	return hold_others(counter_id, NULL, &seg) > 0 || is_attached(data_id);
}

/* The data is gone. False: another's claim came after this one, and he removes the counter. */
static bool tell_gone(struct page *page, struct word *claim)
{
	uint32_t mine = claim->seq;

	do
		if (page_swap(page, claim, word_next_gone(*claim)))
			return true;
	while (word_dead(*claim) && claim->seq == mine);	/* an old program counted */
	/* Not dead: a page that went, or garbage. Nobody joins by that who looks at the keys afterwards. */
	return !word_dead(*claim);
}

int pair_remove(struct page *page, struct word *claim, int data_id, int counter_id)
{
	if (!word_gone(*claim)) {
		if (data_id >= 0 && sm_segment_remove(data_id) == -EPERM)
			return -EPERM;
		if (!tell_gone(page, claim))
			return 0;
	}
	return sm_segment_remove(counter_id) == -EPERM ? -EPERM : 0;
}

/* CLAIM is the word of one who helps: he removes the data that there is now, unless somebody has claimed since. */
static int remove_claimed(struct page *page, struct word *claim, key_t data_key, int judged, int counter_id)
{
	int data_id = word_gone(*claim) ? -1 : sm_segment_find(data_key);

	if (page_load(page).seq != claim->seq)
		return 0;
	/* made a moment ago, by one who did not see DEAD */
	if (data_id >= 0 && data_id != judged && !pair_may_remove(data_id, counter_id))
		return -EPERM;
	return pair_remove(page, claim, data_id, counter_id);
}

void pair_help(struct page *page, struct word w, key_t counter_key, int data_id, int counter_id)
{
	struct sm_segment seg;

	if (sm_segment_find(counter_key) != counter_id)
		return;
	if (pair_may_remove(word_gone(w) ? -1 : data_id, counter_id)) {
		if (!page_swap(page, &w, word_next_dead(w)))
			return;
		if (remove_claimed(page, &w, sm_key_data(counter_key), data_id, counter_id) == 0)
			return;
	}
	/*
	 * Not ours to remove. While the last leaver or another helper is attached it will; if nobody is, the
	 * object lives again. W is older than the look at nattch: a helper that came after has changed it.
	 */
	if (hold_others(counter_id, NULL, &seg) == 0)
		page_swap(page, &w, word_next(w, 0));
}

/* ---- on request ---- */

static bool may_remove(int id)
{
	struct sm_segment seg;

	return id < 0 || sm_segment_stat(id, &seg) < 0 || segment_may_remove(&seg);
}

static int remove_data(int data_id)
{
	return data_id < 0 ? 0 : sm_segment_remove(data_id);
}

/* Data, then counter, and nobody is told. */
static int remove_plainly(int data_id, int counter_id)
{
	int r = remove_data(data_id);
	int counter = r == -EPERM ? 0 : sm_segment_remove(counter_id);

	return counter == -EPERM || data_id < 0 ? counter : r;
}

/* Data that was made meanwhile, beside this counter or a new one, was not asked for. */
static int remove_half(int data_id, int counter_id)
{
	struct sm_segment seg;

	if (data_id >= 0)
		return remove_data(data_id);
	return sm_segment_stat(counter_id, &seg) < 0 || seg.removed ? -EIDRM : -EPERM;
}

/*
 * Refused after all, what was alive lives on. The word may say that the data is gone, and there is some: an old program has
 * made it since, or whoever may write the counter has written that. It was asked for all the same.
 */
static int remove_or_revive(struct page *page, struct word *claim, struct word before, int data_id, int counter_id)
{
	int r = word_gone(*claim) ? remove_data(data_id) : 0;

	if (r != -EPERM)
		r = pair_remove(page, claim, data_id, counter_id);
	if (r == -EPERM && !word_dead(before))
		page_swap(page, claim, word_next(*claim, before.counter));
	return r;
}

static int destroy(struct page *page, int data_id, int counter_id, bool if_unused)
{
	for (int i = 0; i < CLAIMS; i++) {
		/* in this order: who joins, or removes, after the look at the keys has changed the word */
		struct word before = page_load(page), w = before;
		int there = pair_is(data_id, counter_id) ? data_id : -1;

		if (there < 0 && !pair_is(-1, counter_id))
			return remove_half(data_id, counter_id);
		if (if_unused && pair_is_used(there, counter_id))
			return -EBUSY;
		if (page_swap(page, &w, word_next_dead(w))) {
			int r = remove_or_revive(page, &w, before, there, counter_id);

			return r == 0 && there != data_id ? -EIDRM : r;
		}
	}
	return remove_plainly(data_id, counter_id);
}

/* One that a stranger made beside somebody's data must not keep the owner from what is his. */
static bool is_half_of(int counter_id, int data_id)
{
	struct sm_segment data, counter;

	return data_id < 0 || sm_segment_stat(data_id, &data) < 0 || sm_segment_stat(counter_id, &counter) < 0 ||
	       counter_may_speak_for(&counter, &data);
}

/* A lone one of an int only was asked for as a counter, and is to go in any case. */
static bool is_counter(int counter_id, int data_id)
{
	struct sm_segment seg;

	return (data_id < 0 && sm_segment_stat(counter_id, &seg) == 0 && seg.size == sizeof(int)) ||
	       counter_recognize(counter_id, data_id) == 0;
}

int pair_destroy(int data_id, int counter_id, bool if_unused)
{
	struct page *page;

	if (!may_remove(data_id))
		return -EPERM;
	if (!may_remove(counter_id)) {
		if (is_half_of(counter_id, data_id))
			return -EPERM;
		return if_unused && is_attached(data_id) ? -EBUSY : remove_data(data_id);
	}
	if (!is_counter(counter_id, data_id) || counter_attach(counter_id, false, &page, NULL))
		return if_unused && (is_attached(data_id) || is_attached(counter_id)) ? -EBUSY :
		       remove_plainly(data_id, counter_id);

	int r = destroy(page, data_id, counter_id, if_unused);

	counter_detach(page, 0);
	return r;
}
