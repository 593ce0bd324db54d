// SPDX-License-Identifier: MIT
/* Making an object whose data is new, beside counters that are dead, go, or are strangers'. */
#include "held.h"

#include <errno.h>
#include <sys/shm.h>
#include <unistd.h>

static int make_new(void)
{
	return pair_create_new(unit_data_key('H'), 4096, 0640, unit_key);
}

static void test_made_anew(void **state)
{
	struct sm_counter c;
	int id = make_new();

	assert_true(id >= 0);
	assert_int_equal(data_id(), id);
	assert_int_equal(sm_counter_load(counter_id(), &c), 0);
	assert_string_equal(c.path, unit_key);
	assert_int_equal(make_new(), -EEXIST);
	assert_int_equal(unit_segments(), 2);
	sm_segment_remove(id);
	assert_true(make_new() >= 0);
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

/* Its last leaver died over it: the next one would take the new data for the old. */
static void test_beside_a_dead_counter(void **state)
{
	static const uint32_t words[] = { WORD_DEAD | 3, WORD_DEAD | WORD_GONE | 3 };
	struct hold h;

	for (int i = 0; i < 2; i++) {
		make();
		unit_put_word(counter_id(), 0, words[i]);
		sm_segment_remove(data_id());

		int id = make_new();

		assert_true(id >= 0);
		join(&h);
		assert_int_equal(h.data_id, id);
		hold_leave(&h);
		assert_int_equal(unit_segments(), 0);
	}
}

/* The counter that it found is removed at any step: it has one in the end, or the data is not there either. */
static void remove_as_last_leaver(void *arg)
{
	if (counter_id() >= 0)
		pair_destroy(data_id(), counter_id(), false);
}

static void test_the_counter_goes_meanwhile(void **state)
{
	static const enum fault_call calls[] = { FAULT_SHMGET, FAULT_SHMAT, FAULT_STAT, FAULT_MADVISE };

	for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
		for (int nth = 1; nth < 20; nth++) {
			assert_true(sm_counter_create(unit_counter_key('H'), 0640, NULL) >= 0);
			fault_clear();
			fault_hook(calls[c], nth, remove_as_last_leaver, NULL);
			assert_true(make_new() >= 0);

			bool happened = fault_clear();

			assert_int_equal(data_id() < 0, counter_id() < 0);
			remove_both();
			if (!happened)
				break;
		}
	}
}

static void stay_with_a_dead_counter(void *uid)
{
	unit_become(*(unsigned *)uid, *(unsigned *)uid);

	int id = sm_counter_create(unit_counter_key('H'), 0666, NULL);

	unit_put_word(id, 0, WORD_DEAD | 3);
	if (shmat(id, NULL, 0) == (void *)-1)
		_exit(1);
	unit_ready();
	alarm(10);
	pause();
}

static int make_new_as_user(void *arg)
{
	unit_become(4242, 4242);
	return make_new() < 0;
}

static void test_a_stranger_leaves_his_counter_dead_and_stays(void **state)
{
	pid_t pid = unit_start(stay_with_a_dead_counter, &(unsigned){ 4343 });

	assert_int_equal(unit_in_child(make_new_as_user, NULL), 0);
	assert_true(data_id() >= 0);
	unit_end(pid);
	remove_both();
}

static void say_dead(void *arg)
{
	unit_put_word(counter_id(), 0, WORD_DEAD | 3);
}

/* Root's counter, which has a say, is written to when the data is there. */
static int fail_to_make_new(void *arg)
{
	unit_become(4242, 4242);
	fault_clear();
	fault_hook(FAULT_SHMGET, *(int *)arg, say_dead, NULL);

	int r = make_new();

	fault_clear();
	return r == -EAGAIN ? data_id() >= 0 : r < 0;
}

static void test_what_was_made_in_vain_is_taken_back(void **state)
{
	for (int nth = 1; nth < 12; nth++) {
		pid_t pid;

		assert_true(sm_counter_create(unit_counter_key('H'), 0666, NULL) >= 0);
		pid = attach_elsewhere(10000);
		assert_int_equal(unit_in_child(fail_to_make_new, &nth), 0);
		unit_end(pid);
		remove_both();
	}
}

static void mark_dead(void *arg)
{
	if (counter_id() >= 0)
		unit_put_word(counter_id(), 0, WORD_DEAD | 3);
}

/* It is dead at any step: what was made beside it goes with it, and is made again. */
static void test_the_counter_dies_meanwhile(void **state)
{
	for (int nth = 1; nth < 20; nth++) {
		assert_true(sm_counter_create(unit_counter_key('H'), 0640, NULL) >= 0);
		fault_clear();
		fault_hook(FAULT_SHMGET, nth, mark_dead, NULL);
		assert_true(make_new() >= 0);

		bool happened = fault_clear();

		assert_true(data_id() >= 0 && counter_id() >= 0);
		remove_both();
		if (!happened)
			break;
	}
}

static void remove_both_plainly(void *arg)
{
	remove_both();
}

/* Whoever removes it as soon as it is made does not find it made again. */
static void test_what_is_removed_at_once_stays_removed(void **state)
{
	int removed = 0;

	for (int nth = 1; nth < 20; nth++) {
		fault_clear();
		fault_hook(FAULT_SHMGET, nth, remove_both_plainly, NULL);
		assert_true(make_new() >= 0);

		bool happened = fault_clear();

		assert_int_equal(data_id() < 0, counter_id() < 0);
		removed += data_id() < 0;
		remove_both();
		if (!happened)
			break;
	}
	assert_true(removed > 0);
}

static void test_a_counter_that_cannot_be_attached(void **state)
{
	assert_true(sm_counter_create(unit_counter_key('H'), 0640, NULL) >= 0);
	fault_fail(FAULT_SHMAT, 0, EACCES);
	assert_true(make_new() >= 0);
	assert_true(fault_clear());
	assert_int_equal(unit_segments(), 2);
	remove_both();
}

static const struct CMUnitTest tests[] = {
	UNIT(test_made_anew),
	UNIT(test_beside_a_dead_counter),
	UNIT(test_the_counter_goes_meanwhile),
	UNIT(test_the_counter_dies_meanwhile),
	UNIT(test_what_is_removed_at_once_stays_removed),
	UNIT(test_a_stranger_leaves_his_counter_dead_and_stays),
	UNIT(test_what_was_made_in_vain_is_taken_back),
	UNIT(test_a_counter_that_cannot_be_attached),
};

UNIT_MAIN(tests)
