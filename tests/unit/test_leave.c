// SPDX-License-Identifier: MIT
/* Leaving, removing at the end, and finishing what another leaver began. */
#include "held.h"

#include <errno.h>
#include <time.h>

static long ms_since(struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static int join_as_a_stranger(void *arg)
{
	static struct hold h;
	int r;

	unit_become(4242, 4242);
	r = hold_join(&h, unit_data_key('H'), 0);
	if (r < 0)
		return -r;
	if (value() != 1)
		return 200;
	hold_leave(&h);
	return value() == 0 ? 0 : 201;
}

static void test_who_may_not_remove_leaves_the_counter_at_0(void **state)
{
	make();
	assert_int_equal(unit_in_child(join_as_a_stranger, NULL), 0);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(value(), 0);
	remove_both();
}

static void test_removal_refused_after_all(void **state)
{
	for (int nth = 1; nth <= 2; nth++) {
		static struct hold h;

		make();
		join(&h);
		fault_fail(FAULT_RMID, nth, EPERM);
		hold_leave(&h);
		assert_true(fault_clear());
		assert_int_equal(value(), 0);
		make();		/* where the data went, it is made again */
		join(&h);
		assert_int_equal(value(), 1);
		hold_leave(&h);
		assert_int_equal(unit_segments(), 0);
	}
}

static void test_what_others_have_attached_stays(void **state)
{
	struct timespec start;
	static struct hold h;
	pid_t pid;

	make();
	join(&h);
	pid = attach_elsewhere(10000);
	clock_gettime(CLOCK_MONOTONIC, &start);
	hold_leave(&h);
	assert_true(ms_since(&start) >= 900);
	assert_int_equal(unit_segments(), 2);
	assert_int_equal(value(), 0);
	unit_end(pid);
	/* Who lets go in time has been on its way. */
	join(&h);
	pid = attach_elsewhere(100);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
	unit_end(pid);
}

static void test_ones_own_passing_attachments_do_not_count(void **state)
{
	static struct hold h;
	void *at;

	make();
	join(&h);
	assert_int_equal(sm_segment_attach(h.counter_id, true, &at), 0);
	hold_leave(&h);
	assert_int_equal(sm_segment_find(unit_counter_key('H')), -ENOENT);
	assert_int_equal(sm_segment_find(unit_data_key('H')), -ENOENT);
	sm_segment_detach(at);
}

/* But its other references do, even where the count has lost them. */
static void test_ones_own_other_holds_do_count(void **state)
{
	static struct hold a, b;

	make();
	join(&a);
	join(&b);
	unit_put_word(counter_id(), 1, 9);
	hold_leave(&a);
	assert_int_equal(value(), 0);
	assert_int_equal(unit_segments(), 2);
	hold_leave(&b);
	assert_int_equal(unit_segments(), 0);
}

/* Somebody removed the counter, and the data has another one now: that one's holders use it. */
static void test_an_orphaned_holder_does_not_remove_others_data(void **state)
{
	static struct hold old, new;

	make();
	join(&old);
	sm_segment_remove(counter_id());
	make();
	join(&new);
	hold_leave(&old);
	assert_int_equal(new.data_id, data_id());
	assert_int_equal(value(), 1);
	hold_leave(&new);
	assert_int_equal(unit_segments(), 0);
}

static void test_a_dead_object_is_finished(void **state)
{
	static struct hold h;

	make();
	unit_put_word(counter_id(), 0, WORD_DEAD | 5);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -ENOENT);
	assert_int_equal(unit_segments(), 0);
	/* An old program counted on top of it. */
	make();
	unit_put_word(counter_id(), 1, WORD_DEAD | 5);
	assert_int_equal(hold_join(&h, unit_data_key('H'), 0), -ENOENT);
	assert_int_equal(unit_segments(), 0);
	/* A holder that finds its object dead leaves it to whoever is removing it. */
	make();
	join(&h);
	unit_put_word(counter_id(), 0, WORD_DEAD | 5);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

static void revive(void *arg)
{
	unit_put_word(counter_id(), 1, 6);
}

/* Between seeing that it is dead and helping, another took it back into use. */
static void test_a_late_helper_removes_nothing(void **state)
{
	static struct hold h;
	int data, counter;

	make();
	data = data_id();
	counter = counter_id();
	unit_put_word(counter_id(), 0, WORD_DEAD | 5);
	fault_hook(FAULT_SHMGET, 3, revive, NULL);
	join(&h);
	assert_true(fault_clear());
	assert_int_equal(h.data_id, data);
	assert_int_equal(h.counter_id, counter);
	assert_int_equal(value(), 2);
	unit_put_word(counter_id(), 1, 9);
	hold_leave(&h);
	assert_int_equal(unit_segments(), 0);
}

static void test_who_may_not_finish_a_dead_object_revives_it(void **state)
{
	make();
	unit_put_word(counter_id(), 0, WORD_DEAD | 5);
	assert_int_equal(unit_in_child(join_as_a_stranger, NULL), 0);
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

static void test_but_not_while_its_last_leaver_may_be_alive(void **state)
{
	int r = EAGAIN;
	pid_t pid;

	make();
	unit_put_word(counter_id(), 0, WORD_DEAD | 5);
	pid = attach_elsewhere(10000);
	assert_int_equal(unit_in_child(join_as_a_stranger, NULL), EAGAIN);
	unit_end(pid);
	pid = attach_elsewhere(300);
	/* on a loaded machine that may take longer than a join waits */
	for (int i = 0; i < 10 && r == EAGAIN; i++)
		r = unit_in_child(join_as_a_stranger, NULL);
	assert_int_equal(r, 0);
	unit_end(pid);
	remove_both();
}

static const struct CMUnitTest tests[] = {
	UNIT(test_who_may_not_remove_leaves_the_counter_at_0),
	UNIT(test_removal_refused_after_all),
	UNIT(test_what_others_have_attached_stays),
	UNIT(test_ones_own_passing_attachments_do_not_count),
	UNIT(test_ones_own_other_holds_do_count),
	UNIT(test_an_orphaned_holder_does_not_remove_others_data),
	UNIT(test_a_dead_object_is_finished),
	UNIT(test_a_late_helper_removes_nothing),
	UNIT(test_who_may_not_finish_a_dead_object_revives_it),
	UNIT(test_but_not_while_its_last_leaver_may_be_alive),
};

UNIT_MAIN(tests)
