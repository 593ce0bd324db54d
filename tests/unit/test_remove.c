// SPDX-License-Identifier: MIT
/* Removing an object that one was asked to remove, beside programs that come and go. */
#include "held.h"

#include <errno.h>
#include <string.h>

static struct hold joined;

static int destroy(bool if_unused)
{
	return pair_destroy(data_id(), counter_id(), if_unused);
}

static void make_and_join(void *arg)
{
	make();
	join(&joined);
}

static void check_joined(void)
{
	assert_int_equal(data_id(), joined.data_id);
	assert_int_equal(counter_id(), joined.counter_id);
	assert_int_equal(value(), 1);
	hold_leave(&joined);
	assert_int_equal(unit_segments(), 0);
}

static void test_both_go_whoever_holds_them(void **state)
{
	struct hold h;

	make();
	assert_int_equal(destroy(false), 0);
	assert_int_equal(unit_segments(), 0);
	make();
	join(&h);
	memset(h.data, 'x', h.size);
	assert_int_equal(destroy(false), 0);
	assert_int_equal(data_id(), -ENOENT);
	assert_int_equal(counter_id(), -ENOENT);
	assert_int_equal(unit_segments(), 2);
	make();
	assert_int_equal(*(char *)h.data, 'x');
	hold_leave(&h);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(destroy(false), 0);
}

/* At each step of the removal: whoever makes and joins it then holds an object, and it stays. */
static void test_who_comes_meanwhile_has_both(void **state)
{
	static const enum fault_call calls[] = { FAULT_RMID, FAULT_SHMGET, FAULT_SHMAT, FAULT_STAT, FAULT_MADVISE };

	for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
		for (int nth = 1; nth < 20; nth++) {
			make();

			int data = data_id(), counter = counter_id();

			fault_clear();
			fault_hook(calls[c], nth, make_and_join, NULL);
			assert_int_equal(pair_destroy(data, counter, false), 0);
			if (!fault_clear())
				break;
			/* Who joined before DEAD holds what was to be removed. */
			if (joined.data_id == data) {
				assert_int_equal(joined.counter_id, counter);
				hold_leave(&joined);
				assert_int_equal(unit_segments(), 0);
			} else {
				check_joined();
			}
		}
	}
}

/* It finds the old one's data, and the counter of the one that came in its place. */
static void test_a_counter_of_another_stays(void **state)
{
	int data;

	make();
	data = data_id();
	remove_both();
	make_and_join(NULL);
	assert_int_equal(pair_destroy(data, counter_id(), false), -EIDRM);
	check_joined();
}

static void test_only_what_nobody_uses(void **state)
{
	int data, counter;
	pid_t pid;

	make();
	pid = attach_elsewhere(10000);
	assert_int_equal(destroy(true), -EBUSY);
	assert_int_equal(unit_segments(), 2);
	unit_end(pid);
	data = data_id();
	counter = counter_id();
	/* since the last look at who has it attached */
	for (int nth = 1; nth < 20; nth++) {
		fault_clear();
		fault_hook(FAULT_STAT, nth, make_and_join, NULL);

		int r = pair_destroy(data, counter, true);

		if (!fault_clear())
			break;
		assert_int_equal(r, -EBUSY);
		assert_int_equal(joined.data_id, data);
		check_joined();
		make();
		data = data_id();
		counter = counter_id();
	}
	assert_int_equal(unit_segments(), 0);
	make();
	assert_int_equal(destroy(true), 0);
	assert_int_equal(unit_segments(), 0);
}

static void test_a_counter_without_data(void **state)
{
	static const size_t sizes[] = { SM_COUNTER_SIZE, sizeof(int) };	/* libsm's, and the class's */

	for (int i = 0; i < 2; i++) {
		if (sizes[i] == sizeof(int))
			assert_true(sm_segment_create(unit_counter_key('H'), sizeof(int), 0666) >= 0);
		make();

		int counter = counter_id();

		/* it has found a use */
		assert_int_equal(pair_destroy(-1, counter, false), -EPERM);
		assert_int_equal(unit_segments(), 2);
		sm_segment_remove(data_id());
		assert_int_equal(pair_destroy(-1, counter, false), 0);
		assert_int_equal(unit_segments(), 0);
		assert_int_equal(pair_destroy(-1, counter, false), -EIDRM);
	}
}

static int destroy_as_a_stranger(void *arg)
{
	unit_become(4242, 4242);
	return -destroy(false);
}

static void test_who_may_not_changes_nothing(void **state)
{
	struct hold h;

	make();
	join(&h);
	assert_int_equal(unit_in_child(destroy_as_a_stranger, NULL), EPERM);
	assert_int_equal(value(), 1);
	/* the counter alone is not his */
	assert_int_equal(sm_segment_set(data_id(), 4242, 4242, 0666), 0);
	assert_int_equal(unit_in_child(destroy_as_a_stranger, NULL), EPERM);
	assert_int_equal(value(), 1);
	assert_int_equal(unit_segments(), 2);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

/* The kernel refuses what it seemed to allow: the data is there as before, and so is who holds it. */
static void test_refused_after_all(void **state)
{
	struct hold h;

	make();
	join(&h);
	fault_fail(FAULT_RMID, 1, EPERM);
	assert_int_equal(destroy(false), -EPERM);
	assert_true(fault_clear());
	assert_int_equal(value(), 1);
	assert_int_equal(data_id(), h.data_id);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

/* An old program made data beside a counter that was as good as gone; or somebody wrote that word. */
static void test_data_that_the_word_says_is_gone(void **state)
{
	for (int counter = 0; counter < 2; counter++) {
		make();
		unit_put_word(counter_id(), counter, WORD_DEAD | WORD_GONE | 3);
		assert_int_equal(destroy(counter), 0);
		assert_int_equal(unit_segments(), 0);
	}
	make();
	unit_put_word(counter_id(), 0, WORD_DEAD | WORD_GONE | 3);
	fault_fail(FAULT_RMID, 1, EPERM);
	assert_int_equal(destroy(false), -EPERM);
	assert_true(fault_clear());
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

/* The monitor is not asked for it: it leaves such data its counter, and does not say that it is freed. */
static void test_the_monitor_leaves_it_its_counter(void **state)
{
	int from, to;
	bool freed = true;

	make();
	unit_put_word(counter_id(), 1, WORD_DEAD | WORD_GONE | 3);
	assert_int_equal(sm_counter_reap_free(counter_id(), data_id(), 100, &from, &to, &freed), 0);
	assert_false(freed);
	assert_int_equal(value(), 0);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(destroy(true), 0);
}

static int make_data_as_its_owner(void *arg)
{
	unit_become(4242, 4242);
	return sm_segment_create(unit_data_key('H'), 100, 0644) < 0;
}

static int make_a_counter_beside_it(void *arg)
{
	unit_become(4343, 4343);
	return sm_counter_create(unit_counter_key('H'), 0666, NULL) < 0;
}

static void test_a_strangers_counter_keeps_nobody_from_it(void **state)
{
	assert_int_equal(unit_in_child(make_data_as_its_owner, NULL), 0);
	assert_int_equal(unit_in_child(make_a_counter_beside_it, NULL), 0);
	assert_int_equal(unit_in_child(destroy_as_a_stranger, NULL), 0);
	assert_int_equal(data_id(), -ENOENT);
	assert_int_equal(unit_segments(), 1);
	sm_segment_remove(counter_id());
}

/* Of a counter that cannot be had, or is none, the word is not touched. */
static void test_what_is_no_counter(void **state)
{
	make();
	fault_fail(FAULT_SHMAT, 0, ENOMEM);
	assert_int_equal(destroy(false), 0);
	assert_true(fault_clear());
	assert_int_equal(unit_segments(), 0);
	make();

	pid_t pid = attach_elsewhere(10000);

	fault_fail(FAULT_SHMAT, 0, ENOMEM);
	assert_int_equal(destroy(true), -EBUSY);
	assert_true(fault_clear());
	unit_end(pid);
	remove_both();
	assert_true(sm_segment_create(unit_data_key('H'), 100, 0666) >= 0);
	assert_true(sm_segment_create(unit_counter_key('H'), 100, 0666) >= 0);
	fault_clear();
	assert_int_equal(destroy(false), 0);
	assert_int_equal(fault_count(FAULT_SHMAT), 0);
	assert_int_equal(unit_segments(), 0);
}

/* An old program that knows no DEAD counts between the claim and the end. */
static void count_on_top(void *arg)
{
	struct page *page;

	assert_int_equal(counter_attach(counter_id(), false, &page, NULL), 0);

	struct word w = word_load(&page->word);

	assert_true(word_dead(w));
	unit_put_word(counter_id(), w.counter + 1, w.seq);
	counter_detach(page, 0);
}

static void test_an_old_program_counts_meanwhile(void **state)
{
	make();
	fault_hook(FAULT_RMID, 1, count_on_top, NULL);
	assert_int_equal(destroy(false), 0);
	assert_true(fault_clear());
	assert_int_equal(unit_segments(), 0);
}

static const struct CMUnitTest tests[] = {
	UNIT(test_both_go_whoever_holds_them),
	UNIT(test_who_comes_meanwhile_has_both),
	UNIT(test_a_counter_of_another_stays),
	UNIT(test_only_what_nobody_uses),
	UNIT(test_a_counter_without_data),
	UNIT(test_who_may_not_changes_nothing),
	UNIT(test_refused_after_all),
	UNIT(test_data_that_the_word_says_is_gone),
	UNIT(test_the_monitor_leaves_it_its_counter),
	UNIT(test_a_strangers_counter_keeps_nobody_from_it),
	UNIT(test_what_is_no_counter),
	UNIT(test_an_old_program_counts_meanwhile),
};

UNIT_MAIN(tests)
